"""Predictors of the output length from the prompt's text: training, prediction, files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray, IntArray
from ...core.errors import CalibrationError, MissingExtraError
from . import sound
from .dataset import Finished, Observations
from .distribution import LEVELS, LengthQuantiles
from .features import HASHED, LEXICAL, hashed, lexical, normalised
from .las import LasHead, train_las
from .parts import finished_of, las_of, maps_of, weights_of
from .ridge import fit_ridge, fit_scaling
from .store import read_arrays, write_arrays
from .universal import Maps, fit_maps, verbosity

if TYPE_CHECKING:
    from .encoder import Encoder

Kind = Literal["lexical", "minilm", "las"]
KINDS: tuple[Kind, ...] = ("lexical", "minilm", "las")
#: Share of the total variance that each block of features gets: encoder, lexical, hashed.
WEIGHTS = {"encoder": 1.0, "lexical": 0.3, "hashed": 0.5, "prior": 0.5}
#: More prompts than this add time but little knowledge: a sample is drawn.
MAX_PROMPTS = 12_000
#: Shipped predictors: for words alone, and for the encoder of the extra.
_SHIPPED = Path(__file__).with_name("default.safetensors")
_SHIPPED_MINILM = Path(__file__).with_name("minilm.safetensors")


class Reader(Protocol):
    """Turns prompts into pooled token features."""

    identity: str
    width: int

    def __call__(self, prompts: Sequence[str]) -> FloatArray:
        """(N, 2 * width) average and maximum over each prompt's token features."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A linear figure of the features: ``table @ weights + bias``."""

    weights: FloatArray
    bias: float

    def __call__(self, table: FloatArray) -> FloatArray:
        """(N,) verbosities."""
        found: FloatArray = table @ self.weights + self.bias
        return found


@dataclass(frozen=True, kw_only=True)
class TextPredictor:
    """Prompt text and model to quantiles of the output length.

    Attributes
    ----------
    kind : ``lexical`` (numpy only), ``minilm`` (a line on encoder features) or ``las``.
    line : the linear head; las : the modulated network, whose answer is averaged with it.
    prior : a line learnt on other data, whose answer is one more figure for ``las``.
    reader : the encoder, None for ``lexical``; reader_identity names the one trained with.
    seen : fingerprints of the training prompts, sorted.
    left_out : verbosity of each of these by models that never saw it; empty = not known.
    finished : answers that models were learnt from since training (``update``).
    card : what it was trained on and how well it does.
    """

    kind: Kind
    maps: Maps
    line: Line
    las: LasHead | None = None
    prior: Line | None = None
    reader: Reader | None = None
    reader_identity: str = ""
    seen: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    left_out: FloatArray = field(default_factory=lambda: np.zeros(0))
    finished: Finished = field(default_factory=Finished.none)
    card: dict[str, Any]

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.maps.models)}

    def rows_of(self, models: Sequence[str]) -> IntArray:
        """Rows of models in the maps; models never seen take the last row, an average model."""
        unknown = len(self.maps.models)
        return np.array([self._rows.get(m, unknown) for m in models], dtype=np.int64)

    def verbosity(self, prompts: Sequence[str]) -> FloatArray:
        """(N,) how long answers to these prompts are, in standard deviations of log lengths."""
        return self.verbosity_of(features(prompts, self.reader))

    def fair_verbosity(self, prompts: Sequence[str]) -> FloatArray:
        """The same for learning from answers: of training prompts as if they had not been seen.

        What is said of a prompt that was trained on fits its answers better than it will fit those
        to new prompts; quantiles learnt from that would be too narrow.
        """
        found = self.verbosity(prompts)
        if not len(self.left_out):
            return found
        prints = fingerprints(prompts)
        at = np.minimum(np.searchsorted(self.seen, prints), len(self.seen) - 1)
        return np.where(self.seen[at] == prints, self.left_out[at], found)

    def verbosity_of(self, table: FloatArray) -> FloatArray:
        """The same from the table that ``features`` makes."""
        said = self.line(table)
        if self.las is None:
            return said
        mixed: FloatArray = 0.5 * (said + self.las(las_view(table, self.las.width, self.prior)))
        return mixed

    def __call__(self, prompts: Sequence[str], models: Sequence[str]) -> LengthQuantiles:
        """Quantiles of the output tokens of each (prompt, model)."""
        return self.maps(self.verbosity(prompts), self.rows_of(models))

    def with_reader(self, reader: Reader) -> TextPredictor:
        """The same with its encoder at hand.

        Raises
        ------
        CalibrationError
            If it was trained on the features of another encoder.
        """
        if reader.identity != self.reader_identity:
            raise CalibrationError(
                f"this predictor was trained with encoder {self.reader_identity}, not with "
                f"{reader.identity}: name the right one, or train again"
            )
        if len(self.line.weights) != 2 * reader.width + LEXICAL + HASHED:
            raise CalibrationError(
                f"this predictor has {len(self.line.weights)} weights, its encoder gives "
                f"{2 * reader.width} features: train again"
            )
        return replace(self, reader=reader)


def features(prompts: Sequence[str], reader: Reader | None) -> FloatArray:
    """(N, d) encoder features if there is an encoder, lexical figures, hashed words."""
    blocks = [lexical(prompts), hashed(prompts)]
    if reader is not None:
        blocks.insert(0, reader(prompts))
    return np.concatenate(blocks, axis=1)


def las_view(table: FloatArray, width: int, prior: Line | None) -> FloatArray:
    """Encoder features and lexical figures, without the hashed words; what the prior says."""
    view = table[:, : 2 * width + LEXICAL]
    return view if prior is None else np.column_stack([view, prior(table)])


def fingerprints(prompts: Sequence[str]) -> IntArray:
    """(N,) short hashes of normalised prompts: to find out whether a prompt was seen."""
    found = [
        int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "little")
        for text in (normalised(p).encode("utf-8", "surrogatepass") for p in prompts)
    ]
    return np.array(found, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A predictor and what it says of each training prompt without having seen it.

    Attributes
    ----------
    left_out : (P,) verbosity of the training prompts by models that never saw them.
    """

    predictor: TextPredictor
    left_out: FloatArray


def train(
    given: Observations,
    kind: Kind,
    *,
    reader: Reader | None = None,
    table: FloatArray | None = None,
    prior: Line | None = None,
    seed: int = 0,
    card: dict[str, Any] | None = None,
) -> Fitted:
    """Train a predictor; the same observations and seed give the same predictor.

    Parameters
    ----------
    reader : the encoder, needed for ``minilm`` and ``las``.
    table : ``features`` of the prompts when they are known already.
    prior : a line learnt on other data (``shipped_line``), one more figure to learn from.

    Raises
    ------
    CalibrationError
        With fewer than 20 distinct prompts. MissingExtraError: without torch for ``las``.
    """
    if len(given.prompts) < 20:
        raise CalibrationError(
            f"{len(given.prompts)} distinct prompts are too few to train on: at least 20"
        )
    if kind != "lexical" and reader is None:
        raise MissingExtraError("length")
    reader = None if kind == "lexical" else reader
    if len(given.prompts) > MAX_PROMPTS:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(len(given.prompts), MAX_PROMPTS, replace=False))
        given, table = given.of_prompts(chosen), None if table is None else table[chosen]
    if table is None:
        table = features(given.prompts, reader)
    line, left_out = _fit_line(given, table, 0 if reader is None else 2 * reader.width, prior)
    las = None
    if kind == "las":
        assert reader is not None
        view = las_view(table, reader.width, prior)
        trained = train_las(given, view, reader.width, seed=seed)
        las, left_out = trained.head, 0.5 * (left_out + trained.left_out)
    seen, first = np.unique(fingerprints(given.prompts), return_index=True)
    predictor = TextPredictor(
        kind=kind,
        maps=fit_maps(given, left_out[given.prompt]),
        line=line,
        las=las,
        reader=reader,
        prior=prior if kind == "las" else None,
        reader_identity="" if reader is None else reader.identity,
        seen=seen,
        left_out=left_out[first],
        card={
            **(card or {}),
            "prompts": len(given.prompts),
            "observations": len(given),
            "seed": seed,
        },
    )
    return Fitted(predictor=predictor, left_out=left_out)


def _fit_line(
    given: Observations, table: FloatArray, encoded: int, prior: Line | None
) -> tuple[Line, FloatArray]:
    label, count = verbosity(given)
    ends = [encoded, encoded + LEXICAL, table.shape[1]]
    blocks = [table[:, a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    if prior is not None:
        blocks.append(prior(table)[:, None])
    scaling = fit_scaling(blocks, list(WEIGHTS.values())[: len(blocks)])
    # A label that averages many models is hardly better than one of a few: the prompt's share.
    found = fit_ridge(scaling(np.concatenate(blocks, axis=1)), label, np.minimum(count, 8.0))
    weights = found.weights * scaling.scale
    bias = float(found.bias - scaling.mean @ weights)
    if prior is None:
        return Line(weights=weights, bias=bias), found.left_out
    # The prior is a line too: its share folds into the weights.
    share = float(weights[-1])
    folded = weights[:-1] + share * prior.weights
    return Line(weights=folded, bias=bias + share * prior.bias), found.left_out


def save(predictor: TextPredictor, path: Path) -> None:
    """Write a predictor, without its encoder, to one small file.

    Raises
    ------
    CalibrationError
        If the file cannot be written.
    """
    maps = predictor.maps
    arrays: dict[str, NDArray[Any]] = {
        "line.weights": predictor.line.weights.astype(np.float32),
        **{
            f"maps.{name}": getattr(maps, name).astype(np.float32)
            for name in ("edges", "centres", "pooled", "place", "spread", "tables", "constant")
        },
        "maps.count": maps.count,
        "seen": predictor.seen,
    }
    if len(predictor.left_out):
        arrays["left_out"] = predictor.left_out.astype(np.float32)
    if len(predictor.finished):
        for name in ("model", "verbosity", "tokens"):
            arrays[f"answers.{name}"] = getattr(predictor.finished, name)
    if predictor.prior is not None:
        arrays["prior.weights"] = predictor.prior.weights.astype(np.float32)
    if predictor.las is not None:
        exact = ("mean", "scale")
        for name, value in predictor.las.arrays.items():
            arrays[f"las.{name}"] = value.astype(np.float32 if name in exact else np.float16)
    write_arrays(
        path,
        arrays,
        {
            "about": predictor.card,
            "kind": predictor.kind,
            "bias": predictor.line.bias,
            "prior_bias": 0.0 if predictor.prior is None else predictor.prior.bias,
            "models": list(maps.models),
            "levels": list(LEVELS),
            "encoder": predictor.reader_identity,
            "width": 0 if predictor.las is None else predictor.las.width,
        },
    )


def load(path: Path | None = None, *, reader: Reader | None = None) -> TextPredictor:
    """Read a predictor; without a path the shipped one that fits what is installed.

    Parameters
    ----------
    reader : the encoder; the default one is loaded when the predictor needs one.

    Raises
    ------
    CalibrationError
        If the file is not one, is of another version or needs another encoder.
    MissingExtraError
        If it needs an encoder and the extra is not installed.
    """
    if path is None:
        return shipped(reader or (default_reader() if encoder_available() else None))
    predictor = _read(path)
    if predictor.kind == "lexical":
        return predictor
    return predictor.with_reader(reader or default_reader())


def _read(path: Path) -> TextPredictor:
    arrays, card = read_arrays(path)
    try:
        return _rebuilt(arrays, card)
    except sound.Unsound as error:
        raise CalibrationError(
            f"{path}: {error}: fetch the file anew, or train it again"
        ) from error


def shipped(reader: Reader | None = None) -> TextPredictor:
    """The predictor that ships with the package: for this encoder, or for words alone.

    Another encoder than the one it was trained with gets the one for words alone.
    """
    if reader is not None:
        predictor = _read(_SHIPPED_MINILM)
        if predictor.reader_identity == reader.identity:
            return predictor.with_reader(reader)
    return _read(_SHIPPED)


def shipped_line(kind: Kind, reader: Reader | None = None) -> Line | None:
    """What shipped weights know of prompts, as a prior for training; None if nothing fits."""
    predictor = shipped(None if kind == "lexical" else reader)
    return predictor.line if (predictor.kind == "lexical") == (kind == "lexical") else None


def encoder_available() -> bool:
    """Whether the extra is installed."""
    from .encoder import available

    return available()


def default_reader(path: Path | None = None) -> Encoder:
    """The encoder of a folder, or the one that the extra installs.

    Raises
    ------
    MissingExtraError
        If the extra is not installed.
    """
    from .encoder import Encoder

    return Encoder(path)


def _rebuilt(arrays: dict[str, Any], card: dict[str, Any]) -> TextPredictor:
    maps = maps_of(arrays, card)
    kind = card.get("kind")
    if kind not in KINDS:
        raise sound.Unsound(f"kind of its card is {kind!r:.60}, wanted is {', '.join(KINDS)}")
    weights = weights_of(arrays, "line.weights", kind)
    prior = None
    if "prior.weights" in arrays:
        other = weights_of(arrays, "prior.weights", kind)
        if len(other) != len(weights):
            raise sound.Unsound("prior.weights has another length than line.weights")
        prior = Line(weights=other, bias=sound.number(card, "prior_bias"))
    view = len(weights) - HASHED + (prior is not None)
    about = card.get("about")
    if not isinstance(about, dict):
        raise sound.Unsound("about of its card is no object")
    seen = sound.rising("seen", sound.wholes(arrays, "seen", (-1,)), strictly=True)
    left_out = np.zeros(0)
    if "left_out" in arrays:
        left_out = sound.floats(arrays, "left_out", (len(seen),))
    return TextPredictor(
        kind=kind,
        maps=maps,
        line=Line(weights=weights, bias=sound.number(card, "bias")),
        las=las_of(arrays, card, kind, view),
        prior=prior,
        reader_identity=sound.text(card, "encoder"),
        seen=seen,
        left_out=left_out,
        finished=finished_of(arrays, len(maps.models)),
        card=about,
    )
