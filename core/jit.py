"""numba, where it is there: the one module that knows it.

Functions that it compiles are plain Python as well, and give the same floats to the last bit
(``NUMBA_DISABLE_JIT=1``); some hundred times slower.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

from .errors import SwarmplanWarning

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function, compiled when it is first called and kept on disk where that is possible."""
    try:
        from numba import njit
    except ImportError as error:
        _tell(str(error))
        return function
    try:
        made: Any = njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:  # no folder to keep it in
        made = njit(error_model="numpy", nogil=True)(function)
    return cast("Function", made)


_told: list[str] = []


def _tell(reason: str) -> None:
    """One note, however many functions there are."""
    if not _told:
        _told.append(reason)
        warnings.warn(
            f"numba cannot be imported ({reason}): simulations run as plain Python, some hundred "
            "times slower",
            SwarmplanWarning,
            stacklevel=3,
        )
