"""What this machine can make of a plan's precision and adapters, before blocks are let go for it.

PETALS would find out while it loads the blocks, and a server that fails there is gone. So what it
needs is tried first; what cannot be had is left out, in one line of the log each.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from petals.utils.convert_block import QuantType, quantize_module

from .compat.adapters import CONFIG, WEIGHTS

#: Precision as scenarios name it -> PETALS' kind of quantisation.
KINDS = {"bf16": QuantType.NONE, "int8": QuantType.INT8, "nf4": QuantType.NF4}
#: Of a product with quantised weights, as a share of its norm: 0.01 at 8 bit, 0.1 at 4.
MOST_ERROR = 0.3
_PACKAGES = ("bitsandbytes", "peft")


def quantising_fails(kind: QuantType, device: torch.device) -> str:
    """Why blocks cannot be quantised here; empty = they can. Tried on two layers."""
    if kind == QuantType.NONE:
        return ""
    if importlib.util.find_spec("bitsandbytes") is None:
        return "the package bitsandbytes is not installed"
    drawn = torch.random.get_rng_state()
    layers = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False)).requires_grad_(False)
    given = torch.randn(4, 64)
    torch.random.set_rng_state(drawn)
    wanted = layers(given)
    try:
        # PETALS moves blocks to their device twice; some versions quantise them twice then.
        layers = quantize_module(layers, quant_type=kind).to(device).to(device)
        with torch.inference_mode():
            got = layers(given.to(device)).cpu()
    # Versions without kernels for this device fail by an assertion, or deep below.
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"bitsandbytes cannot on {device.type}: {said}"
    if not (got - wanted).norm() < MOST_ERROR * wanted.norm():
        return f"this version of bitsandbytes makes wrong blocks on {device.type}"
    return ""


def loadable(names: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Adapters that PETALS can load here, and why it cannot load the others."""
    lacking = [p for p in _PACKAGES if importlib.util.find_spec(p) is None]
    wrong = {}
    for name in names:
        why = f"{' and '.join(lacking)} not installed" if lacking else _unloadable(name)
        if why:
            wrong[name] = why
    return tuple(name for name in names if name not in wrong), wrong


def _unloadable(name: str) -> str:
    folder = Path(name)
    if folder.is_dir():
        return _wrong_folder(folder)
    from petals.utils import peft

    try:
        there = peft.check_peft_repository(name)
    # Whatever the index or the network raises.
    except Exception as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"no folder here, and no repository: {said}"
    return "" if there else f"no folder here, and no repository with {WEIGHTS}"


def _wrong_folder(folder: Path) -> str:
    """What is wrong with an adapter's folder."""
    if not (folder / WEIGHTS).is_file():
        return f"its folder has no {WEIGHTS}"
    try:
        config: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"its {CONFIG} cannot be read: {type(error).__name__}"
    kind = config.get("peft_type") if isinstance(config, dict) else None
    return "" if kind == "LORA" else f"PETALS loads LoRA alone, its {CONFIG} says {kind!r:.40}"
