"""What commands write: looked at before the work, and kept where its place fails after it."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import render
from ..core.errors import ScenarioError, SwarmplanError
from ..scenarios.files import is_sealed, parse_file, refuse_link

Command = TypeVar("Command", bound=Callable[..., Any])

_META = "swarmplan.unwritten"
#: How a file of each kind is known to be of this tool: what is in it.
_MARKS = {
    "plan": rb'"format": "swarmplan/(live-)?plan/',
    "migration": rb'"format": "swarmplan/migration/',
    "profile": rb'"timing_ms"',
    "predictor": rb"swarmplan",
    "report": rb"Made by swarmplan\.",
    "requests": rb'\A(request,client,|\{"request": )',
    "results": rb'\A\{[^\n]*"format": *"swarmplan/',
    "launch": rb"run_server",
    "layout": rb'\A\{("\d+": ?\[\d+, ?\d+\],? ?)*\}',
}


def writes(**kinds: str) -> Callable[[Command], Command]:
    """``--force``, and a look at the places of outputs before the work; parameter -> kind.

    An output never takes the place of an input, of another output or of a file that is not of its
    kind, unless it is forced to.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def checked(*args: Any, force: bool, **kwargs: Any) -> Any:
            targets = {name: kwargs[name] for name in kinds if kwargs.get(name) is not None}
            given = [v for name, v in kwargs.items() if name not in kinds]
            taken = list(_files([*args, *given])) if targets and not force else []
            for name, path in targets.items():
                check_output(path, kinds[name], taken, force=force, option=_option(name))
                taken.append(path)
            return command(*args, **kwargs)

        option = click.option(
            "--force", is_flag=True, help="Overwrite inputs and files that swarmplan did not write."
        )
        return option(checked)  # type: ignore[return-value]

    return decorate


def check_default(path: Path, kind: str, inputs: Iterable[Path]) -> None:
    """The same for an output that no option names."""
    force = bool(click.get_current_context().params.get("force"))
    check_output(path, kind, list(inputs), force=force, option="")


def check_output(path: Path, kind: str, taken: Iterable[Path], *, force: bool, option: str) -> None:
    """Whether an output may be written to a place and can be.

    Raises
    ------
    ScenarioError
        With the reason, and what to do.
    """
    if any(_same(path, other) for other in taken):
        message = f"{str(path)!r} is an input, or another output: name another file"
        raise ScenarioError.single(option, message + ("" if force else ", or give --force"))
    try:
        there = path.exists()
        if there and not path.is_file():
            return  # a pipe or a device
        refuse_link(path)
        if there and not force and not is_ours(path, kind):
            message = f"{str(path)!r} is there and no {kind} of swarmplan: --force overwrites it"
            raise ScenarioError.single(option, message)
        _try_to_write(Path(os.path.realpath(path)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScenarioError.single(option, f"{str(path)!r} cannot be written: {reason}") from error


def is_ours(path: Path, kind: str) -> bool:
    """Whether a file is of this kind and of this tool; an empty one is nobody's."""
    content = path.read_bytes()
    if not content:
        return True
    if kind == "scenario":  # one that was edited by hand is no longer ours
        return is_sealed(content)
    return re.search(_MARKS[kind], content) is not None


def _try_to_write(path: Path) -> None:
    """Make a file of nearly that name beside the target, or where its folder will be, and take it
    away again."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    handle, name = tempfile.mkstemp(dir=folder, prefix=path.name, suffix=".part")
    os.close(handle)
    os.unlink(name)


def _files(values: Iterable[Any]) -> Iterator[Path]:
    """Files among the arguments of a command, and those that they refer to."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from _files(value)
        elif isinstance(value, Path) and value.is_file():
            yield value
            yield from _referenced(value)


def _referenced(path: Path) -> Iterator[Path]:
    """Files that stand in a scenario, catalogue or sweep; what cannot be read is reported later."""
    if path.suffix.lower() not in (".toml", ".json"):
        return
    try:
        document = parse_file(path)
    except SwarmplanError:
        return
    for text in _texts(document):
        try:
            found = path.parent / text
            if found.is_file():
                yield found
        except (OSError, ValueError):  # no name of a file
            continue


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and 0 < len(value) < 4_096:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list) and not (value and isinstance(value[0], (int, float))):
        for item in value:
            yield from _texts(item)


def _same(one: Path, other: Path) -> bool:
    """The same file, whatever it is called."""
    try:
        return os.path.realpath(one) == os.path.realpath(other) or one.samefile(other)
    except OSError:
        return False


def _option(name: str) -> str:
    """What a parameter is called on the command line."""
    context = click.get_current_context(silent=True)
    found = [p for p in context.command.params if p.name == name] if context else []
    return found[0].opts[-1] if found else name


def written(path: Path, write: Callable[[Path], object]) -> None:
    """Write a result and say where; where its place fails it is kept elsewhere, and the exit is 2.

    The command goes on: what it has to print is printed.
    """
    try:
        write(path)
    except (SwarmplanError, OSError) as error:
        render.note(f"error: {error}")
        click.get_current_context().meta[_META] = True
        _rescue(path, write)
    else:
        render.note(f"wrote {path}")


def _rescue(path: Path, write: Callable[[Path], object]) -> None:
    """The same result in the folder for temporary files."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="swarmplan-"))
        write(folder / path.name)
    except (SwarmplanError, OSError):
        render.note("it could not be kept elsewhere either")
    else:
        render.note(f"kept as {folder / path.name}")


def unwritten() -> bool:
    """Whether a result of this command is not where it was asked for."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get(_META))
