"""Reading and writing the files that a user names: never a traceback, never half a file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from ..core.errors import ScenarioError

#: Larger files are not scenarios, plans or matrices. TOML is parsed slowly and written by hand.
MAX_BYTES = 64 * 2**20
MAX_TOML_BYTES = 16 * 2**20
#: Signs that are escaped in quotes: controls, breaks of lines, marks of byte order, lone halves.
_UNQUOTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
#: A key of a hundred parts. tomllib takes quadratic time for such keys: 100,000 parts, minutes.
_LONG_KEY = re.compile(
    r"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}"""
)


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The content of a file.

    Raises
    ------
    ScenarioError
        If it does not exist, cannot be read or is larger than ``limit``.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ScenarioError.single("", f"cannot be read: {reason}", source=str(path)) from error
    except ValueError as error:  # a NUL character in the name
        raise ScenarioError.single("", f"cannot be read: {error}", source=str(path)) from error
    if len(content) > limit:
        message = f"is larger than {limit / 2**20:g} MiB"
        raise ScenarioError.single("", message, source=str(path))
    return content


def check_file(path: Path, field: str) -> None:
    """A scenario may refer to files; folders, pipes and devices are refused."""
    if not path.is_file():
        raise ScenarioError.single(field, f"there is no file {str(path)!r}")


def unreadable(path: Path, field: str, error: OSError) -> ScenarioError:
    """The error for a file that ``field`` refers to and that cannot be read."""
    reason = error.strerror or type(error).__name__
    return ScenarioError.single(field, f"{str(path)!r} cannot be read: {reason}")


def read_referenced(path: Path, field: str) -> bytes:
    """The content of a file that a scenario refers to in ``field``; pipes and devices refused."""
    check_file(path, field)
    try:
        return read_bytes(path)
    except ScenarioError as error:
        message = f"{str(path)!r} {error.problems[0].message}"
        raise ScenarioError.single(field, message) from error


def decode(content: bytes, path: Path, field: str) -> str:
    """UTF-8 text of a referenced file, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError.single(field, f"{str(path)!r} is not UTF-8 text: {error}") from error


def parse_file(path: Path) -> Any:
    """TOML, or JSON when the name ends in ``.json``, as plain data."""
    json_syntax = path.suffix.lower() == ".json"
    content = read_bytes(path, MAX_BYTES if json_syntax else MAX_TOML_BYTES)
    return parse(content, json_syntax=json_syntax, source=str(path))


def parse(content: bytes, *, json_syntax: bool, source: str) -> Any:
    """Plain data from bytes.

    Raises
    ------
    ScenarioError
        For every syntax error, with its line.
    """
    kind = "JSON" if json_syntax else "TOML"
    try:
        text = content.decode("utf-8-sig")
        if json_syntax:
            return json.loads(text)
        if _LONG_KEY.search(text):
            raise ScenarioError.single("", "has a key of 100 parts or more", source=source)
        return tomllib.loads(text)
    except RecursionError as error:
        raise ScenarioError.single("", "is nested too deeply", source=source) from error
    except ValueError as error:  # bad UTF-8, TOML, JSON, or a number too long to convert
        raise ScenarioError.single("", f"is not valid {kind}: {error}", source=source) from error


def write_text(path: Path, text: str) -> None:
    """Replace a file's content in one step; an existing file survives a failure.

    Raises
    ------
    ScenarioError
        If the place cannot be written to.
    """
    part: str | None = None
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe, /dev/null
            path.write_text(text, encoding="utf-8")
            return
        refuse_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(part, _mode(path))
        os.replace(part, path)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, half a sign in the text
        if part is not None:
            Path(part).unlink(missing_ok=True)
        message = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        raise ScenarioError.single("", message, source=str(path)) from error


def refuse_link(path: Path) -> None:
    """An output is never written through a link, nor put in its place: whoever made it would
    choose what is overwritten. The system's own, as /dev/stdout, are followed.

    Raises
    ------
    ScenarioError
        If the output is a link.
    """
    system = path.absolute().parts[1:2] in (("dev",), ("proc",))
    if path.is_symlink() and not system:
        message = "is a link, and links are not written through: name the file itself"
        raise ScenarioError.single("", message, source=str(path))


def quoted(text: str) -> str:
    """A string in double quotes as TOML, YAML and JSON all read it.

    JSON's usual escapes of signs beyond 16 bits, emoji for instance, come in halves, which the
    other two refuse; control characters, which JSON leaves as they are, they refuse too.
    """
    plain = json.dumps(text, ensure_ascii=False)
    return _UNQUOTABLE.sub(_escaped, plain)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\\ufffd" if 0xD800 <= code < 0xE000 else f"\\u{code:04x}"


def sealed(text: str, tool: str) -> str:
    """TOML under a line that tells later whether it was edited by hand."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"# Written by {tool}, sha256 {digest}\n{text}"


def is_sealed(content: bytes) -> bool:
    """Whether a file is as ``sealed`` made it."""
    first, _, rest = content.partition(b"\n")
    seal = re.fullmatch(rb"# Written by swarmplan[^\n]* sha256 ([0-9a-f]{64})", first)
    return seal is not None and seal[1].decode() == hashlib.sha256(rest).hexdigest()


def _mode(path: Path) -> int:
    """Permissions of the file to be replaced, else what the umask leaves (mkstemp gives 0600)."""
    if path.exists():
        return path.stat().st_mode & 0o7777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
