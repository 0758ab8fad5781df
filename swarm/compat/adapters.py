"""Adapters of PETALS' server: from folders of this machine too, and on 8-bit blocks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_GONE = "memory_efficient_backward"


def _peft() -> Any:
    """PETALS' module of adapters where it is no stand-in (``before.stub_lora``), else None."""
    from .before import lora_packages_are_missing

    if lora_packages_are_missing():
        return None
    from petals.utils import peft

    return peft if getattr(peft, "__file__", None) else None


def folders_are_not_found() -> bool:
    """Whether an adapter is looked for on a hub alone, whatever its name is."""
    peft = _peft()
    return peft is not None and "HfFileSystem" in peft.check_peft_repository.__code__.co_names


def find_folders() -> None:
    """What is a folder here is read from there; PETALS' own loader does so once it is asked to."""
    peft = _peft()
    on_hub, from_hub = peft.check_peft_repository, peft.load_peft

    def check_peft_repository(repo_id: str) -> bool:
        folder = Path(repo_id)
        return (folder / WEIGHTS).is_file() if folder.is_dir() else bool(on_hub(repo_id))

    def load_peft(repo_id: str, block_idx: int | None = None, *rest: Any, **more: Any) -> Any:
        if not Path(repo_id).is_dir():
            return from_hub(repo_id, block_idx, *rest, **more)
        # Not through its loop, which asks the hub again, for ever.
        return peft.get_adapter_from_repo(repo_id, block_idx)

    peft.check_peft_repository, peft.load_peft = check_peft_repository, load_peft


def layers_refuse_peft() -> bool:
    """Whether bitsandbytes' 8-bit layer no longer knows an argument that PETALS' peft gives it."""
    if _peft() is None:
        return False
    import bitsandbytes
    from peft.tuners import lora

    given = lora.Linear8bitLt.__init__.__code__.co_consts
    words = [word for one in given if isinstance(one, tuple) for word in one]
    known = inspect.signature(bitsandbytes.nn.Linear8bitLt.__init__).parameters
    return _GONE in words and _GONE not in known


def leave_out_what_is_gone() -> None:
    """The layer is made without it; its default, which PETALS means, is all there is now."""
    import bitsandbytes

    layer = bitsandbytes.nn.Linear8bitLt
    make = layer.__init__

    def __init__(self: Any, *rest: Any, memory_efficient_backward: bool = False, **m: Any) -> None:
        make(self, *rest, **m)

    layer.__init__ = __init__
