"""A plan as files for operators of plain PETALS servers: command, systemd unit, compose service."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..core.errors import ScenarioError
from ..core.plan import Plan
from ..perfmodel.cost import CostModel
from ..scenarios.build import server_ids
from ..scenarios.files import quoted, write_text
from ..scenarios.scenario import Scenario
from .limits import limit_flags

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
#: Words that a systemd unit would expand.
_SYSTEMD = str.maketrans({"%": "%%", "$": "$$"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """What a plan does not say.

    Attributes
    ----------
    model : name or path of the checkpoint, as every server is to be given it.
    extra : further flags of PETALS' server, for all.
    """

    model: str
    initial_peers: Sequence[str] = ()
    prefix: str | None = None
    port: int | None = None
    image: str = "learningathome/petals:main"
    extra: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFiles:
    """The files of one server."""

    server: str
    command: tuple[str, ...]
    shell: str
    unit: str
    compose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFlags:
    """What a plan says of one server: blocks, tokens of cache for each, precision, by what its
    states go, adapters; GPUs that share its blocks."""

    span: tuple[int, int]
    tokens: int
    quantisation: str | None
    wire: str = "none"
    adapters: tuple[str, ...] = ()
    gpus: int = 1


def launch_files(plan: Plan, scenario: Scenario, options: LaunchOptions) -> tuple[LaunchFiles, ...]:
    """Files of every server that hosts blocks, in the scenario's order."""
    problem = scenario.problem
    quantisation = _quantisations(scenario)
    problem = plan.placement.settled(problem)
    for server, chosen in zip(problem.servers, plan.placement.precision, strict=False):
        quantisation[server.id] = chosen
    needed = limit_flags(problem, plan.predicted)
    options = replace(options, extra=(*needed, *options.extra))
    names = {a.id: a.name for a in problem.adapters}
    made = []
    for j, server in enumerate(problem.servers):
        start, end = int(plan.placement.start[j]), int(plan.placement.end[j])
        if end <= start:
            continue
        pool = int(plan.placement.cache_bytes[j])
        tokens = max(1, CostModel.of(problem).tokens_held(pool, start, end))
        own = LaunchFlags(
            span=(start, end),
            tokens=tokens,
            quantisation=quantisation.get(server.id),
            wire=server.wire,
            adapters=tuple(names[a] for a in server.adapters or ()),
            gpus=server.gpus,
        )
        made.append(_files(server.id, own, options))
    return tuple(made)


def write_launch_files(files: Sequence[LaunchFiles], folder: Path) -> list[Path]:
    """Write ``NAME.sh``, ``NAME.service`` and ``NAME.compose.yml`` for each server.

    Raises
    ------
    ScenarioError
        If two servers have one file name, or the folder cannot be written.
    """
    names = [file_name(f.server) for f in files]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise ScenarioError.single(
            "servers", f"more than one server would be written as {twice[0]}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScenarioError.single("", f"cannot be made: {error}", source=str(folder)) from error
    paths = launch_paths(files, folder)
    texts = [text for one in files for text in (one.shell, one.unit, one.compose)]
    for path, text in zip(paths, texts, strict=True):
        write_text(path, text)
        if path.suffix == ".sh":
            path.chmod(0o755)
    return paths


def launch_paths(files: Sequence[LaunchFiles], folder: Path) -> list[Path]:
    """Where the three files of each server go."""
    suffixes = (".sh", ".service", ".compose.yml")
    return [folder / (file_name(f.server) + suffix) for f in files for suffix in suffixes]


def file_name(server: str) -> str:
    """A file name made of a server's id; never empty, hidden or a path."""
    return _UNSAFE.sub("-", server).strip(".-") or "server"


def _files(server: str, own: LaunchFlags, options: LaunchOptions) -> LaunchFiles:
    span = own.span
    flags = [options.model, "--block_indices", f"{span[0]}:{span[1]}"]
    flags += ["--attn_cache_tokens", str(own.tokens)]
    if own.quantisation in ("int8", "nf4"):
        flags += ["--quant_type", own.quantisation]
    elif own.quantisation == "bf16":
        flags += ["--quant_type", "none", "--torch_dtype", "bfloat16"]
    if own.wire != "none":
        flags += ["--compression", own.wire.upper()]
    if own.adapters:
        flags += ["--adapters", *own.adapters]
    if own.gpus > 1:
        flags += ["--tensor_parallel_devices", *(f"cuda:{i}" for i in range(own.gpus))]
    if options.prefix:
        flags += ["--dht_prefix", options.prefix]
    if options.port is not None:
        flags += ["--port", str(options.port)]
    # A name, not an id: ids may be long peer ids.
    flags += ["--public_name", file_name(server)[:40], *options.extra]
    if options.initial_peers:
        flags += ["--initial_peers", *options.initial_peers]
    command = ("python", "-m", "petals.cli.run_server", *flags)
    return LaunchFiles(
        server=server,
        command=command,
        shell=f"#!/bin/sh\n# {_one_line(server)}: blocks {span[0]} to {span[1]}\nexec "
        + shlex.join(command)
        + "\n",
        unit=_unit(server, command),
        compose=_compose(server, command, options, own.gpus),
    )


def _unit(server: str, command: Sequence[str]) -> str:
    words = " ".join(_systemd_word(word) for word in ("/usr/bin/env", *command))
    return f"""[Unit]
Description=PETALS server {_one_line(server).translate(_SYSTEMD)}
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={words}
KillSignal=SIGINT
TimeoutStopSec=30
Restart=on-failure
RestartSec=10

[Install]
WantedBy=multi-user.target
"""


def _systemd_word(word: str) -> str:
    """One argument of ExecStart: quoted, with systemd's own expansions switched off."""
    plain = word.translate(_SYSTEMD)
    if plain and not re.search(r"[\s\"'\\;]", plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _compose(server: str, command: Sequence[str], options: LaunchOptions, gpus: int) -> str:
    """JSON strings are YAML strings; compose expands dollars unless they are doubled."""
    words = ",\n      ".join(quoted(word.replace("$", "$$")) for word in command)
    return f"""# {_one_line(server)}
services:
  {quoted(file_name(server).lower())}:
    image: {quoted(options.image)}
    network_mode: host
    ipc: host
    restart: on-failure
    stop_signal: SIGINT
    volumes: ["petals-cache:/cache"]
    command: [
      {words}
    ]
    deploy:
      resources:
        reservations:
          devices: [{{driver: nvidia, count: {gpus}, capabilities: [gpu]}}]
volumes:
  petals-cache: {{}}
"""


def _one_line(text: str) -> str:
    """Text for a comment or a description; a backslash at its end would take the next line in."""
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def _quantisations(scenario: Scenario) -> dict[str, str]:
    """Id -> quantisation of every server, with the model's as default."""
    document = scenario.document
    found: dict[str, str] = {}
    for given in document.servers:
        own = given.quantisation or document.model.quantisation
        found.update(dict.fromkeys(server_ids(given), own))
    return found
