"""The parts of a predictor out of the arrays and the card of its file, each checked (``sound``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray
from . import sound
from .dataset import Finished
from .distribution import LEVELS
from .features import HASHED, LEXICAL
from .las import LasHead
from .universal import Maps

Arrays = Mapping[str, NDArray[Any]]

_K = len(LEVELS)
_LAS = (
    *("mean", "scale", "squeeze", "bias_squeeze", "excite", "bias_excite"),
    *("weight_in", "bias_in", "weight_out", "bias_out"),
)
_MAPS = ("edges", "centres", "pooled", "place", "spread", "tables", "constant", "count")
_KNOWN = (
    *("line.weights", "prior.weights", "seen", "left_out"),
    *("answers.model", "answers.verbosity", "answers.tokens"),
    *(f"maps.{name}" for name in _MAPS),
    *(f"las.{name}" for name in _LAS),
)
#: The widest encoder.
_WIDEST = 65_536


def maps_of(arrays: Arrays, card: Mapping[str, Any]) -> Maps:
    """The maps of all models.

    Raises
    ------
    sound.Unsound
        Naming the field that is wrong.
    """
    sound.levels(card)
    sound.nothing_else(arrays, *_KNOWN)
    models = sound.names(card, "models")
    edges = sound.rising("maps.edges", sound.floats(arrays, "maps.edges", (-1,)))
    rows, bins = len(models) + 1, len(edges) + 1
    centres = sound.floats(arrays, "maps.centres", (bins,))
    by_level = {
        name: sound.rising(f"maps.{name}", sound.floats(arrays, f"maps.{name}", shape))
        for name, shape in {
            "pooled": (bins, _K),
            "tables": (rows, bins, _K),
            "constant": (rows, _K),
        }.items()
    }
    spread = sound.floats(arrays, "maps.spread", (rows,))
    return Maps(
        models=models,
        edges=edges,
        centres=sound.rising("maps.centres", centres, strictly=True),
        place=sound.floats(arrays, "maps.place", (rows,)),
        spread=sound.above_zero("maps.spread", spread),
        count=sound.wholes(arrays, "maps.count", (rows,)),
        **by_level,
    )


def weights_of(arrays: Arrays, name: str, kind: str) -> FloatArray:
    """Weights of a line; those of words alone are of one length, with an encoder there are more."""
    weights = sound.floats(arrays, name, (-1,))
    own = LEXICAL + HASHED
    if kind == "lexical" and len(weights) != own:
        raise sound.Unsound(f"{name} has {len(weights)} weights, for words alone there are {own}")
    if kind != "lexical" and (len(weights) <= own or (len(weights) - own) % 2):
        raise sound.Unsound(f"{name} has {len(weights)} weights, no encoder has so many features")
    return weights


def las_of(arrays: Arrays, card: Mapping[str, Any], kind: str, view: int) -> LasHead | None:
    """The modulated network of kind ``las``, made for features of width ``view``."""
    given = [name for name in arrays if name.startswith("las.")]
    if kind != "las":
        if given:
            raise sound.Unsound(f"{given[0]} is there, but the predictor is of kind {kind}")
        return None
    width = int(sound.number(card, "width"))
    if not 0 < width <= _WIDEST:
        raise sound.Unsound(f"width of its card is {width}")
    members = len(sound.floats(arrays, "las.bias_out", (-1, 1)))
    inner = sound.floats(arrays, "las.bias_squeeze", (members, -1)).shape[1]
    hidden = sound.floats(arrays, "las.bias_in", (members, -1)).shape[1]
    if not members:
        raise sound.Unsound("las.bias_out has no member")
    shapes = {
        "mean": (view,),
        "scale": (view,),
        "squeeze": (inner, 2 * width),
        "bias_squeeze": (inner,),
        "excite": (width, inner),
        "bias_excite": (width,),
        "weight_in": (hidden, view),
        "bias_in": (hidden,),
        "weight_out": (1, hidden),
        "bias_out": (1,),
    }
    found = {n: sound.floats(arrays, f"las.{n}", (members, *s)) for n, s in shapes.items()}
    return LasHead(form="universal", width=width, arrays=found)


def finished_of(arrays: Arrays, models: int) -> Finished:
    """The answers that models were learnt from after training; none in older files."""
    if not any(name.startswith("answers.") for name in arrays):
        return Finished.none()
    model = sound.wholes(arrays, "answers.model", (-1,))
    if len(model) and int(model.max()) >= models:
        raise sound.Unsound(f"answers.model names model {int(model.max())} of {models}")
    return Finished(
        model=model,
        verbosity=sound.floats(arrays, "answers.verbosity", (len(model),)),
        tokens=np.asarray(sound.wholes(arrays, "answers.tokens", (len(model),))),
    )
