"""What must be mended before ``import petals`` succeeds."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any, NoReturn

#: Names that PETALS imports from hivemind's root, by the module that defines them.
_EXPORTS = {
    "hivemind.compression": (
        "deserialize_tensor_stream",
        "deserialize_torch_tensor",
        "serialize_torch_tensor",
    ),
    "hivemind.p2p": ("P2P", "P2PContext", "PeerID"),
    "hivemind.utils": (
        "MAX_DHT_TIME_DISCREPANCY_SECONDS",
        "MSGPackSerializer",
        "TensorDescriptor",
        "TimedStorage",
        "get_dht_time",
        "get_logger",
        "nested_flatten",
        "nested_pack",
    ),
    "hivemind.utils.asyncio": ("anext",),
    "hivemind.utils.nested": ("nested_compare",),
    "hivemind.utils.tensor_descr": ("BatchTensorDescriptor",),
}
#: A socket's whole path has 107 characters at most, its name some 35.
_LONGEST_FOLDER = 70


def _missing() -> list[tuple[str, str]]:
    root = importlib.import_module("hivemind")
    return [
        (module, name)
        for module, names in _EXPORTS.items()
        for name in names
        if not hasattr(root, name)
    ]


def exports_are_missing() -> bool:
    """Whether hivemind's root lacks a name that PETALS imports from it."""
    return bool(_missing())


def add_exports() -> None:
    """Set the missing names on hivemind's root."""
    root = importlib.import_module("hivemind")
    for module, name in _missing():
        setattr(root, name, getattr(importlib.import_module(module), name))


def lora_packages_are_missing() -> bool:
    """Whether ``petals.utils.peft`` cannot be imported and no stand-in is there yet."""
    if "petals.utils.peft" in sys.modules:
        return False
    return any(importlib.util.find_spec(name) is None for name in ("bitsandbytes", "peft"))


def stub_lora() -> None:
    """A module in place of ``petals.utils.peft`` that serves no adapters and says so."""
    stub = types.ModuleType("petals.utils.peft")

    @contextlib.contextmanager
    def using_adapter(name: str | None = None) -> Iterator[None]:
        if name:
            refuse()
        yield

    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise RuntimeError("adapters need the packages bitsandbytes and peft")

    stub.__dict__.update(
        using_adapter=using_adapter,
        create_lora_adapter=refuse,
        add_adapter_to_block=refuse,
        load_peft=refuse,
        estimate_adapter_memory_per_block=refuse,
    )
    sys.modules[stub.__name__] = stub


def sockets_ignore_tmpdir() -> bool:
    """Whether hivemind's sockets go elsewhere than other temporary files, and could go there."""
    from hivemind.p2p.p2p_daemon import P2P

    folder = tempfile.gettempdir()
    wanted = f"/unix{folder}/hivemind-"
    return len(folder) <= _LONGEST_FOLDER and wanted != P2P._UNIX_SOCKET_PREFIX


def move_sockets() -> None:
    """Put the sockets into the folder of temporary files."""
    from hivemind.p2p.p2p_daemon import P2P

    P2P._UNIX_SOCKET_PREFIX = f"/unix{tempfile.gettempdir()}/hivemind-"
