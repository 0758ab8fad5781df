"""Text of files as they are published: plain, gzip, bzip2, xz or zip, in UTF-8 or UTF-16.

The kind is told by the first bytes, not by the name. Lines are read one at a time, so that the
first rows of a file of gigabytes cost no more than those of a small one.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..core.errors import ScenarioError
from .files import check_file, unreadable

#: As much of a file is read at most, unpacked; a line of a table is far shorter.
MAX_TEXT_BYTES = 256 * 2**20
_MAX_LINE = 2**20
#: Endings of what is unpacked, for names that tell a kind of file.
PACKED = (".gz", ".bz2", ".xz", ".zip")
#: A zip of a gzip, and no deeper.
_MAX_LAYERS = 3
_UNREAD = {
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"SQLite": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


@contextmanager
def opened(path: Path, field: str) -> Iterator[Iterator[str]]:
    """The lines of a text file that ``field`` refers to, unpacked and decoded.

    Raises
    ------
    ScenarioError
        If it is missing, of another kind (which is named), damaged, or no text.
    """
    check_file(path, field)
    try:
        with path.open("rb") as file:
            stream = _unpacked(file, path, field)
            utf16 = stream.peek(2)[:2] in _UTF16
            encoding = "utf-16" if utf16 else "utf-8-sig"
            with io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
                yield _lines(text, path, field)
    except OSError as error:
        raise unreadable(path, field, error) from error


def unpacked(path: Path, field: str, limit: int) -> bytes:
    """The bytes of a file that ``field`` refers to, unpacked.

    Raises
    ------
    ScenarioError
        As ``opened``, and if there are more than ``limit`` of them.
    """
    check_file(path, field)
    try:
        with path.open("rb") as file:
            content = _unpacked(file, path, field).read(limit + 1)
    except _DAMAGE as error:
        raise _damaged(path, field, error) from error
    if len(content) > limit:
        message = f"{str(path)!r} is larger than {limit / 2**20:g} MiB"
        raise ScenarioError.single(field, message)
    return content


def starts_with(path: Path, magic: bytes) -> bool:
    """Whether a file that can be read begins like this."""
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError:
        return False


def _unpacked(file: io.BufferedReader, path: Path, field: str) -> io.BufferedReader:
    """The innermost stream of bytes."""
    stream = file
    for _ in range(_MAX_LAYERS):
        try:
            head = stream.peek(512)[:512]
            inner = _layer(stream, head, path, field)
        except _DAMAGE as error:
            raise _damaged(path, field, error) from error
        if inner is None:
            return stream
        stream = io.BufferedReader(inner)  # type: ignore[arg-type]
    raise ScenarioError.single(field, f"{str(path)!r} is packed more than {_MAX_LAYERS - 1} times")


def _layer(stream: IO[bytes], head: bytes, path: Path, field: str) -> IO[bytes] | None:
    """What is inside of a packed file; None for one that is not packed."""
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if head[:3] == b"BZh":
        return bz2.BZ2File(stream)
    if head[:6] == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(stream)
    if head[:4] == b"PK\x03\x04":
        return _member(stream, path, field)
    kind = next((kind for magic, kind in _UNREAD.items() if head.startswith(magic)), None)
    if head[257:262] == b"ustar":
        kind = "a tar archive"
    if kind is not None:
        message = f"{str(path)!r} is {kind}: unpack it, or write it as CSV"
        raise ScenarioError.single(field, message)
    return None


def _member(stream: IO[bytes], path: Path, field: str) -> IO[bytes]:
    """The one file of a zip archive."""
    archive = zipfile.ZipFile(stream)
    names = [
        entry.filename
        for entry in archive.infolist()
        if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
    ]
    if any(name.startswith("xl/") for name in names):
        raise ScenarioError.single(field, f"{str(path)!r} is an Excel workbook: save it as CSV")
    if len(names) != 1:
        held = ", ".join(names)[:200] or "none"
        message = f"{str(path)!r} is a zip archive of {len(names)} files, not of one: {held}"
        raise ScenarioError.single(field, message)
    return archive.open(names[0])


def _lines(text: io.TextIOWrapper, path: Path, field: str) -> Iterator[str]:
    """Decoded lines with their ends, at most ``MAX_TEXT_BYTES`` of them."""
    size = 0
    try:
        while line := text.readline(_MAX_LINE):
            size += len(line)
            if len(line) == _MAX_LINE or size > MAX_TEXT_BYTES:
                what = "a line" if len(line) == _MAX_LINE else "text"
                limit = (_MAX_LINE if len(line) == _MAX_LINE else MAX_TEXT_BYTES) / 2**20
                raise ScenarioError.single(
                    field, f"{str(path)!r} has {what} of more than {limit:g} MiB"
                )
            yield line
    except UnicodeError as error:
        raise ScenarioError.single(field, f"{str(path)!r} is not UTF-8 text: {error}") from error
    except _DAMAGE as error:
        raise _damaged(path, field, error) from error


def _damaged(path: Path, field: str, error: Exception) -> ScenarioError:
    return ScenarioError.single(field, f"{str(path)!r} cannot be unpacked: {error}")
