"""Files of trained predictors: safetensors for the arrays, JSON inside its header for the rest.

The safetensors form is simple (8 bytes of header length, a JSON header, the raw arrays), so the
numpy-only predictors need no package for it; any safetensors reader opens these files.
"""

from __future__ import annotations

import hashlib
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
ONLINE = "swarmplan/length-online/1"
MAX_BYTES = 64 * 2**20
_MAX_HEADER = 4 * 2**20
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}

#: What bytes that are no such file may raise on the way.
_BAD = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)

Arrays = Mapping[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Arrays, card: Mapping[str, Any], form: str = FORMAT) -> None:
    """Write arrays and the card that describes them; equal content gives equal bytes.

    A digest of all of it goes along: a file that was damaged on its way is known by that.

    Raises
    ------
    CalibrationError
        If the file cannot be written.
    """
    text = json.dumps({**card, "format": form}, sort_keys=True, allow_nan=False)
    header: dict[str, Any] = {}
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
    if at > MAX_BYTES - _MAX_HEADER:
        raise CalibrationError(
            f"{path}: would be larger than {MAX_BYTES >> 20} MiB: keep fewer models in one file"
        )
    body = b"".join(parts)
    about = {"card": text, "sha256": _digest(text, header, body)}
    head = json.dumps({"__metadata__": about, **header}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:  # never through a link
            file.write(len(head).to_bytes(8, "little") + head + body)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CalibrationError(f"{path}: cannot be written: {error.strerror}") from error


def read_arrays(
    path: Path, form: str = FORMAT, *, mend: str = "train it again"
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays (read-only) and card of a file.

    Parameters
    ----------
    form : the format that is wanted; mend : what helps when the file has another.

    Raises
    ------
    CalibrationError
        If the file is missing, is not of this form, has another version or is damaged.
    """
    raw = _read(path)
    try:
        header, about, body = _parts(raw)
        text = about["card"]
        card = json.loads(text)
        found = card.get("format")
    except _BAD as error:
        raise CalibrationError(
            f"{path}: is no file that swarmplan length wrote, or its beginning is damaged "
            f"({_line(error)}): {mend}"
        ) from error
    if found != form:
        raise CalibrationError(f"{path}: has format {found!r}, wanted is {form!r}: {mend}")
    if about.get("sha256", digest := _digest(text, header, body)) != digest:
        raise CalibrationError(
            f"{path}: is damaged, its content does not fit the digest written with it: "
            f"fetch the file anew, or {mend}"
        )
    arrays = {}
    for name, entry in header.items():
        try:
            arrays[name] = _array(entry, body)
        except _BAD as error:
            raise CalibrationError(f"{path}: {name}: {_line(error)}: {mend}") from error
    return arrays, card


def format_of(path: Path) -> str:
    """The format that a file says it has.

    Raises
    ------
    CalibrationError
        If it is no file of this kind.
    """
    try:
        return str(json.loads(_parts(_read(path))[1]["card"])["format"])
    except _BAD as error:
        raise CalibrationError(
            f"{path}: is no file that swarmplan length wrote, or its beginning is damaged "
            f"({_line(error)}): name another, or make it again"
        ) from error


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CalibrationError(
                f"{path}: larger than {MAX_BYTES >> 20} MiB, no length predictor is: name another"
            )
        return path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror}") from error


def _parts(raw: bytes) -> tuple[dict[str, Any], dict[str, Any], memoryview]:
    """Entries of the arrays, what is said of them, and their bytes."""
    size = int.from_bytes(raw[:8], "little")
    if not 2 <= size <= min(_MAX_HEADER, len(raw) - 8):
        raise ValueError("no header")
    header = json.loads(raw[8 : 8 + size])
    return header, header.pop("__metadata__"), memoryview(raw)[8 + size :]


def _digest(card: str, header: Mapping[str, Any], body: bytes | memoryview) -> str:
    entries = json.dumps(header, sort_keys=True, separators=(",", ":"))
    found = hashlib.sha256(f"{len(card)} {card}{entries}".encode("utf-8", "surrogatepass"))
    found.update(body)
    return found.hexdigest()


def _line(error: Exception) -> str:
    """What an error says, on one line of sensible length."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]


def _array(entry: Mapping[str, Any], body: memoryview) -> NDArray[Any]:
    dtype = np.dtype(_TYPES[entry["dtype"]])
    shape = tuple(int(n) for n in entry["shape"])
    begin, end = (int(n) for n in entry["data_offsets"])
    if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(body):
        raise ValueError("an array lies outside the file")
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("an array has another size than its shape says")
    return np.frombuffer(body[begin:end], dtype=dtype).reshape(shape)
