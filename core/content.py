"""Frozen data with arrays: equal when the content is equal, and hashable."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def frozen_array(values: ArrayLike, dtype: type[Any]) -> NDArray[Any]:
    """A read-only copy of ``values``."""
    array = np.array(values, dtype=dtype)
    array.setflags(write=False)
    return array


class ByContent:
    """``==`` and ``hash`` for frozen dataclasses that hold arrays (declared with ``eq=False``).

    Arrays are equal when type, shape and bytes are; fields with ``compare=False`` do not count.
    """

    __slots__ = ()

    def _content(self) -> tuple[Any, ...]:
        # fields() wants a dataclass, which every subclass is.
        shown = (f.name for f in fields(self) if f.compare)  # type: ignore[arg-type]
        return tuple(_key(getattr(self, name)) for name in shown)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._content()))


def _key(value: Any) -> Any:
    """A value, or what identifies an array."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value
