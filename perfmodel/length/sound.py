"""Whether what a file of a predictor or of online quantiles holds can be one: field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.content import FloatArray
from .distribution import LEVELS

#: No figure of a sound file is larger.
LARGEST = 1e6

Shape = tuple[int, ...]
Numbers = TypeVar("Numbers", bound=NDArray[Any])


class Unsound(ValueError):
    """A field of a file, and what is wrong with it."""


def floats(arrays: Mapping[str, NDArray[Any]], name: str, shape: Shape) -> FloatArray:
    """An array of finite numbers of a shape; -1 fits any length.

    Raises
    ------
    Unsound
        If it is missing, is of another shape, or holds what is no sensible number.
    """
    if name not in arrays:
        raise Unsound(f"{name} is missing")
    found = np.asarray(arrays[name], dtype=np.float64)
    if not _fits(found.shape, shape):
        wanted = " x ".join("any" if n < 0 else str(n) for n in shape)
        raise Unsound(f"{name} has shape {found.shape}, wanted is {wanted}")
    if not np.isfinite(found).all():
        bad = int((~np.isfinite(found)).sum())
        raise Unsound(f"{name} has {bad} values that are no finite numbers (NaN or infinite)")
    if found.size and float(np.abs(found).max()) > LARGEST:
        raise Unsound(f"{name} has values beyond {LARGEST:g}")
    return found


def wholes(arrays: Mapping[str, NDArray[Any]], name: str, shape: Shape) -> NDArray[np.int64]:
    """An array of whole numbers from 0 on; otherwise as ``floats``."""
    if name not in arrays:
        raise Unsound(f"{name} is missing")
    found = arrays[name]
    if found.dtype.kind not in "iu":
        raise Unsound(f"{name} is of type {found.dtype}, wanted are whole numbers")
    if not _fits(found.shape, shape):
        raise Unsound(f"{name} has shape {found.shape}, wanted are {len(shape)} dimensions {shape}")
    if found.size and int(found.min()) < 0:
        raise Unsound(f"{name} has numbers below 0")
    return np.asarray(found, dtype=np.int64)


def rising(name: str, values: Numbers, *, strictly: bool = False) -> Numbers:
    """The same, if its values do not fall along the last axis."""
    steps = np.diff(values, axis=-1)
    # Single precision may turn equal values round by its last bit.
    if (steps <= 0).any() if strictly else (steps < -1e-4).any():
        raise Unsound(f"{name} must {'rise' if strictly else 'not fall'} along its last axis")
    return values


def above_zero(name: str, values: FloatArray) -> FloatArray:
    """The same, if all of it is above 0."""
    if values.size and float(values.min()) <= 0.0:
        raise Unsound(f"{name} must be above 0")
    return values


def text(card: Mapping[str, Any], name: str) -> str:
    """A text of the card."""
    if not isinstance(card.get(name), str):
        raise Unsound(f"{name} of its card is no text")
    return str(card[name])


def number(card: Mapping[str, Any], name: str) -> float:
    """A finite number of the card."""
    value = card.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise Unsound(f"{name} of its card is no number within {LARGEST:g}")
    return float(value)


def names(card: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Distinct texts of the card."""
    found = card.get(name)
    if not isinstance(found, list) or not all(isinstance(m, str) for m in found):
        raise Unsound(f"{name} of its card is no list of texts")
    if len(set(found)) < len(found):
        raise Unsound(f"{name} of its card has the same name twice")
    return tuple(found)


def levels(card: Mapping[str, Any]) -> None:
    """The quantile levels of the card are those of this version."""
    if card.get("levels") != list(LEVELS):
        raise Unsound(f"levels of its card are not {', '.join(map(str, LEVELS))}")


def nothing_else(arrays: Mapping[str, object], *known: str) -> None:
    """No array by a name that nothing knows."""
    if rest := sorted(set(arrays) - set(known)):
        raise Unsound(f"{rest[0]!r:.60} is nothing that this version knows")


def _fits(found: Shape, wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(
        w in (-1, f) for f, w in zip(found, wanted, strict=True)
    )
