"""Files of trained predictors: safetensors for the arrays, JSON inside its header for the rest.

The safetensors form is simple (8 bytes of header length, a JSON header, the raw arrays), so the
numpy-only predictors need no package for it; any safetensors reader opens these files.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import CalibrationError

FORMAT = "swarmplan/length/2"
MAX_BYTES = 64 * 2**20
_MAX_HEADER = 4 * 2**20
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}

Arrays = Mapping[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Arrays, card: Mapping[str, Any]) -> None:
    """Write arrays and the card that describes them; equal content gives equal bytes.

    Raises
    ------
    CalibrationError
        If the file cannot be written.
    """
    text = json.dumps({**card, "format": FORMAT}, sort_keys=True, allow_nan=False)
    header: dict[str, Any] = {"__metadata__": {"card": text}}
    parts: list[bytes] = []
    at = 0
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"))
        raw = array.tobytes()
        header[name] = {
            "dtype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(raw)],
        }
        at += len(raw)
        parts.append(raw)
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(parts))
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CalibrationError(f"{path}: cannot be written: {error.strerror}") from error


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays (read-only) and card of a file.

    Raises
    ------
    CalibrationError
        If the file is missing, is not of this form or has another version.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CalibrationError(f"{path}: larger than any length predictor")
        raw = path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        size = int.from_bytes(raw[:8], "little")
        if not 2 <= size <= min(_MAX_HEADER, len(raw) - 8):
            raise ValueError("no header")
        header = json.loads(raw[8 : 8 + size])
        card = json.loads(header.pop("__metadata__")["card"])
        body = memoryview(raw)[8 + size :]
        if card.get("format") != FORMAT:
            found = card.get("format")
            raise CalibrationError(
                f"{path}: has format {found!r}, this version reads {FORMAT!r}: train it again"
            )
        return {name: _array(entry, body) for name, entry in header.items()}, card
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CalibrationError(f"{path}: is not a length predictor file: {error}") from error


def _array(entry: Mapping[str, Any], body: memoryview) -> NDArray[Any]:
    dtype = np.dtype(_TYPES[entry["dtype"]])
    shape = tuple(int(n) for n in entry["shape"])
    begin, end = (int(n) for n in entry["data_offsets"])
    if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(body):
        raise ValueError("an array lies outside the file")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("an array has another size than its shape says")
    return np.frombuffer(body[begin:end], dtype=dtype).reshape(shape)
