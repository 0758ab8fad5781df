"""bitsandbytes loads torch's compiler as a server imports it: a third of what its start takes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any

from .later import will_run

_PACKAGE = "bitsandbytes"
#: Its operations for any device, compiled as they are defined.
_OPERATIONS = Path("backends", "default", "ops.py")


def compiler_is_loaded_at_once() -> bool:
    """Whether bitsandbytes is yet to be imported, and asks torch to compile on the way."""
    return will_run(_PACKAGE, _OPERATIONS, ["torch.compile("])


def compile_at_first_call() -> None:
    """Import bitsandbytes; what it has compiled is compiled when it is called."""
    import torch

    at_once = torch.compile

    def at_first_call(model: Callable[..., Any] | None = None, **how: Any) -> Callable[..., Any]:
        if model is None:
            return lambda given: at_first_call(given, **how)
        compiled = cache(partial(at_once, model, **how))

        @wraps(model)
        def called(*args: Any, **named: Any) -> Any:
            return compiled()(*args, **named)

        return called

    torch.compile = at_first_call
    try:
        importlib.import_module(_PACKAGE)
    finally:
        torch.compile = at_once
