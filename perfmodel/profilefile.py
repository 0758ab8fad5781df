"""Profile files: what ``swarmplan calibrate`` and ``swarmplan swarm measure`` write."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core.errors import CalibrationError
from .calibration import Calibration
from .catalogue import block_parameters, model_spec, shipped_architecture
from .devices import Device, device_of
from .measurements import read_text
from .overhead import overhead_ms
from .shape import usual_block
from .timing import timing_ms

_RATES = ("forward_rps", "inference_rps", "network_rps")
_RANGES = ("prompt_tokens", "context_tokens", "rows")


def write_profiles(path: Path | str, name: str, found: Sequence[Calibration]) -> None:
    """Write profiles as JSON (times in ms); a crash leaves the old file or the new one.

    Raises
    ------
    CalibrationError
        If the file cannot be written.
    """
    path = Path(path)
    document = {"name": name, "profiles": [_entry(one) for one in found]}
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("x", encoding="utf-8") as file:  # never through a link
            file.write(json.dumps(document, indent=2) + "\n")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CalibrationError(f"cannot write the profile: {error}") from error


def _entry(one: Calibration) -> dict[str, Any]:
    ranges = {name: getattr(one.validity, name) for name in _RANGES}
    return {
        "name": one.name,
        "source": one.source,
        "model": one.model,
        "precision": one.precision,
        "style": one.style,
        "gpu": one.gpu,
        "timing_ms": timing_ms(one.timing),
        "hop_ms": overhead_ms(one.hop) if one.hop else None,
        "measured": {name: list(span) for name, span in ranges.items() if span is not None},
        "fit_mean_error_percent": one.mean_error_percent,
        "fit_max_error_percent": one.max_error_percent,
        **{name: getattr(one, name) for name in _RATES},
        "missing": list(one.missing),
        "warnings": list(one.warnings),
    }


def read_profiles(path: Path | str) -> tuple[Device, ...]:
    """The profiles of a file.

    Raises
    ------
    CalibrationError
        If the file cannot be read or is none that ``write_profiles`` writes.
    """
    path = Path(path)
    return parse_profiles(read_text(path), source=path.name)


def parse_profiles(text: str, *, source: str) -> tuple[Device, ...]:
    """The profiles of a file's text; of older files the only one, for whatever model is asked for.

    Raises
    ------
    CalibrationError
        If it is none that ``write_profiles`` writes.
    """
    try:
        content = json.loads(text)
        entries = content.get("profiles", [content])
        if not entries:
            raise ValueError("no profile in it")
        return tuple(_device(entry, source) for entry in entries)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        message = f"{source}: no profile of swarmplan calibrate ({error!r})"
        raise CalibrationError(message) from error


def _device(entry: dict[str, Any], source: str) -> Device:
    """One profile, with the size of its blocks where the model is in the catalogue."""
    model, precision = (str(entry.get(key, "")) for key in ("model", "precision"))
    rates = {name: entry.get(name) for name in _RATES}
    for name, rate in rates.items():
        if rate is not None and (isinstance(rate, bool) or not 0 < rate <= 1e9):
            raise ValueError(f"{name} must be positive, got {rate!r:.40}")
    known: dict[str, Any] = {
        "name": str(entry.get("name", source)),
        "source": str(entry.get("source", source)),
        "timing_ms": entry["timing_ms"],
        "hop_ms": entry.get("hop_ms"),
        "measured": entry.get("measured", {}),
        "model": model,
        "precision": precision,
        "style": str(entry.get("style", "")),
        "gpu": str(entry.get("gpu", "")),
        "fit_mean_error_percent": entry.get("fit_mean_error_percent"),
        "fit_max_error_percent": entry.get("fit_max_error_percent"),
        **rates,
    }
    if shipped_architecture(model) is not None and precision:
        spec = usual_block(model_spec(model, precision))
        known |= {
            "block_parameters": block_parameters(spec),
            "block_bytes": spec.block_bytes,
            "cache_bytes_per_token": int(spec.mean_cache_bytes_per_token),
        }
    return device_of(known)
