"""A private swarm on the loopback interface: real PETALS servers, one process each."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from ..core.names import Wire
from ..core.problem import Timing
from .clock import environment
from .compat.remedies import ALSO_VARIABLE, SKIP_VARIABLE
from .processes import Child, free_ports

BOOTSTRAP = "bootstrap"
BOOT_LIMIT_S = 90.0
START_LIMIT_S = 150.0
#: Environment of every child: one thread each, nothing fetched.
QUIET = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server to start.

    Attributes
    ----------
    blocks : the span ``[start, end)`` it is told to serve, or a number that PETALS places.
    rtt_s : emulated round trip of everybody to this server.
    inference_rps, forward_rps, network_rps : figures to announce instead of measuring.
    planned : run under ``swarmplan swarm serve`` with these further arguments.
    remedies : optional remedies to apply, ``server-push`` for example; without : those left out.
    quant_type : of its blocks, as PETALS names it.
    clock : compute by this clock (``swarm.clock``), or ``tell`` how long every task took.
    wire : by what hidden states go to it and from it.
    """

    name: str
    blocks: tuple[int, int] | int
    rtt_s: float = 0.0
    cache_tokens: int = 4096
    inference_rps: float = 2000.0
    forward_rps: float = 3000.0
    network_rps: float = 5000.0
    planned: tuple[str, ...] | None = None
    remedies: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    quant_type: str = "none"
    clock: Timing | Literal["tell"] | None = None
    wire: Wire = "none"


@dataclass(kw_only=True)
class LoopbackSwarm:
    """A bootstrap peer and servers; a context manager that leaves no process behind.

    Attributes
    ----------
    folder : for logs, identities and caches; one per swarm.
    update_period_s : how often servers announce themselves.
    ports : the port at which each server is called, that of its delay if it has one.
    """

    folder: Path
    model: Path
    prefix: str = field(default_factory=lambda: f"tiny-{secrets.token_hex(4)}")
    update_period_s: float = 5.0
    handlers: int = 2
    children: dict[str, Child] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    initial_peer: str = ""

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_bootstrap()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_details: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all processes, the bootstrap peer last: nobody is left whom it has to tell."""
        for child in reversed(self.children.values()):
            if child.name != BOOTSTRAP:
                child.interrupt()
        for child in reversed(self.children.values()):
            if child.name == BOOTSTRAP and child.is_running:
                child.kill()
            else:
                child.stop()

    def start_servers(self, specs: Sequence[ServerSpec], *, one_by_one: bool = False) -> None:
        """Start servers and wait until all serve; where the order matters, each after the one
        before it has chosen its blocks and announced that it joins."""
        for spec in specs:
            self._launch(spec)
            if one_by_one:
                self.children[spec.name].wait_for("are joining", limit_s=START_LIMIT_S)
        for spec in specs:
            self._await(spec)

    def _start_bootstrap(self) -> None:
        port = free_ports(1)[0]
        flags = ["--host_maddrs", f"/ip4/127.0.0.1/tcp/{port}"]
        flags += ["--identity_path", str(self.folder / "bootstrap.id")]
        command = [sys.executable, "-m", f"{__package__}.run_petals", "dht", *flags]
        child = self._child(BOOTSTRAP, command)
        line = child.wait_for("/p2p/", limit_s=BOOT_LIMIT_S)
        start = line.index("/ip4/127.0.0.1")
        self.initial_peer = line[start:].split()[0].strip("',[]\"")

    def _child(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Child:
        child = Child(
            name=name,
            command=command,
            log=self.folder / f"{name}.log",
            environment={
                **QUIET,
                "PETALS_CACHE": str(self.folder / "cache"),
                **(environment or {}),
            },
        )
        self.children[name] = child
        child.start()
        return child

    def _launch(self, spec: ServerSpec) -> None:
        listen, announced = free_ports(2)
        if spec.rtt_s > 0:
            table = f"{announced}:{listen}:{spec.rtt_s * 1e3}"
            command = [sys.executable, "-m", f"{__package__}.delays", table]
            self._child(f"{spec.name}.delay", command).wait_for("forwarding", limit_s=20)
        else:
            announced = listen
        self.ports[spec.name] = announced
        cache = self.folder / f"{spec.name}.cache"
        _write_throughput(cache, self.model, spec)
        flags = [str(self.model), "--initial_peers", self.initial_peer]
        flags += ["--dht_prefix", self.prefix, *_blocks(spec)]
        flags += ["--throughput", "auto", "--cache_dir", str(cache), "--device", "cpu"]
        flags += ["--torch_dtype", "float32", "--quant_type", spec.quant_type]
        flags += ["--attn_cache_tokens", str(spec.cache_tokens), "--compression", spec.wire]
        flags += ["--num_handlers", str(self.handlers)]
        flags += ["--host_maddrs", f"/ip4/127.0.0.1/tcp/{listen}"]
        flags += ["--announce_maddrs", f"/ip4/127.0.0.1/tcp/{announced}"]
        flags += ["--identity_path", str(self.folder / f"{spec.name}.id")]
        flags += ["--public_name", spec.name, "--no_auto_relay", "--skip_reachability_check"]
        flags += ["--update_period", str(self.update_period_s)]
        extra = {ALSO_VARIABLE: ",".join(spec.remedies), SKIP_VARIABLE: ",".join(spec.without)}
        if spec.clock is not None:
            extra |= environment(None if spec.clock == "tell" else spec.clock)
        if spec.planned is None:
            program = ["-m", f"{__package__}.run_petals", "server", *flags]
        else:
            program = ["-m", "swarmplan.cli", "swarm", "serve", *spec.planned, "--", *flags]
        self._child(spec.name, [sys.executable, *program], extra)

    def _await(self, spec: ServerSpec) -> None:
        child = self.children[spec.name]
        line = child.wait_for("Running a server on", limit_s=START_LIMIT_S)
        self.peers[spec.name] = line.split("/p2p/")[1].split("'")[0]
        child.wait_for("Started", limit_s=START_LIMIT_S)


def _blocks(spec: ServerSpec) -> list[str]:
    if isinstance(spec.blocks, int):
        return ["--num_blocks", str(spec.blocks)]
    return ["--block_indices", f"{spec.blocks[0]}:{spec.blocks[1]}"]


def _write_throughput(cache: Path, model: Path, spec: ServerSpec) -> None:
    """PETALS takes its measured rates from this file; so it measures nothing and announces ours."""
    cache.mkdir(parents=True, exist_ok=True)
    figures = {
        "inference_rps": spec.inference_rps,
        "forward_rps": spec.forward_rps,
        "network_rps": spec.network_rps,
    }
    content = {f"model_{model}_device_CPU_dtype_float32": figures}
    (cache / "throughput_v5.json").write_text(json.dumps(content), encoding="utf-8")
