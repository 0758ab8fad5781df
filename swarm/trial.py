"""Running clients as processes beside a loopback swarm and following what they report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from ..api import plan
from ..core.errors import SwarmUnreachableError
from ..core.names import Wire
from ..scenarios.files import parse_file
from ..scenarios.generate import write_document
from ..scenarios.planfile import write_plan
from ..scenarios.scenario import load_scenario
from .loopback import QUIET, LoopbackSwarm
from .processes import Child, run_to_end

Event = dict[str, Any]


@dataclass(kw_only=True)
class ClientProcess:
    """One client working through a job; a context manager that ends it in any case."""

    swarm: LoopbackSwarm
    name: str
    job: Mapping[str, Any]
    child: Child = field(init=False)

    def __enter__(self) -> Self:
        job = {
            "initial_peers": [self.swarm.initial_peer],
            "prefix": self.swarm.prefix,
            "model": str(self.swarm.model),
            "routing": "petals",
            **self.job,
        }
        path = self.swarm.folder / f"{self.name}.job.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        self.child = Child(
            name=self.name,
            command=[sys.executable, "-m", f"{__package__}.drive", str(path)],
            log=self.swarm.folder / f"{self.name}.log",
            environment=QUIET,
        )
        self.child.start()
        return self

    def __exit__(self, *_details: object) -> None:
        if self.child.is_running:
            self.child.kill()
        else:
            self.child.stop()

    def events(self) -> list[Event]:
        """All complete lines that are events."""
        lines = self.child.text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith('{"event"')]

    def wait_for(self, what: Callable[[list[Event]], bool], *, limit_s: float) -> list[Event]:
        """The events as soon as ``what`` holds of them.

        Raises
        ------
        SwarmUnreachableError
            When the client ends or the limit passes first.
        """
        until = time.monotonic() + limit_s
        while True:
            alive, events = self.child.is_running, self.events()
            if what(events):
                return events
            if not alive or time.monotonic() > until:
                tail = "\n".join(self.child.text().splitlines()[-20:])
                raise SwarmUnreachableError(f"client {self.name} got stuck or ended:\n{tail}")
            time.sleep(0.02)

    def finish(self, *, limit_s: float) -> list[Event]:
        """All events of a client that ends by itself within the limit."""
        until = time.monotonic() + limit_s
        while self.child.is_running:
            if time.monotonic() > until:
                return self.wait_for(lambda _: False, limit_s=0)
            time.sleep(0.05)
        return self.events()


def answers(events: Sequence[Event]) -> dict[str, Event]:
    """The ``done`` and ``failed`` events by request."""
    return {e["id"]: e for e in events if e["event"] in ("done", "failed")}


def opened_spans(server: Child) -> list[str]:
    """The spans that sessions opened at a server, ``a:b`` in order, from its log."""
    mark = "rpc_inference.open(blocks="
    return [line.split(mark)[1].split(",")[0] for line in server.text().split("\n") if mark in line]


def operate(log: Path, *words: str, limit_s: float = 90.0) -> str:
    """Run ``swarmplan swarm ...`` as an operator would; what it wrote.

    Raises
    ------
    SwarmUnreachableError
        If it fails or takes longer than the limit.
    """
    command = [sys.executable, "-m", "swarmplan.cli", "swarm", *words]
    done = run_to_end(command, log, limit_s=limit_s, environment=QUIET)
    if done.code != 0:
        raise SwarmUnreachableError(f"swarm {words[0]} ended with {done.code}:\n{done.text}")
    return done.text


def read_scenario(
    swarm: LoopbackSwarm, folder: Path, *, memory_gb: float, more: Sequence[str] = ()
) -> dict[str, Any]:
    """The swarm as a scenario document, by ``swarm inspect``, each server with this memory."""
    path = folder / f"{swarm.prefix}.live.json"
    words = ["--initial-peers", swarm.initial_peer, "--prefix", swarm.prefix]
    words += ["--model", str(swarm.model), "-o", str(path), "--force", *more]
    for name in swarm.peers:
        words += ["--memory-gb", f"{name}={memory_gb}"]
    operate(folder / "inspect.log", "inspect", *words)
    document: dict[str, Any] = parse_file(path)
    return document


def publish_spans(
    swarm: LoopbackSwarm,
    folder: Path,
    key: Path,
    spans: Mapping[str, tuple[int, int]],
    *,
    router: str | None = None,
    more: Sequence[str] = (),
    wires: Mapping[str, Wire] = MappingProxyType({}),
) -> str:
    """Read the swarm, plan the given spans by server name, publish; what the command said.

    Parameters
    ----------
    wires : by what states are to go, of servers of which that is said.
    more : for ``swarm inspect``: the load to plan for.
    """
    document = read_scenario(swarm, folder, memory_gb=0.1, more=("--sessions", "1", *more))
    names = {peer: name for name, peer in swarm.peers.items()}
    for server in document["servers"]:
        name = names[server["id"]]
        server["span"] = list(spans[name])
        server |= {"wire": wires[name]} if name in wires else {}
    path = folder / f"{swarm.prefix}.wanted.json"
    write_document(path, document)
    scenario = load_scenario(path)
    write_plan(folder / "plan.json", plan(scenario.problem, "manual", router=router), scenario)
    return operate(
        folder / "publish.log",
        *("publish", str(folder / "plan.json"), str(path), "--key", str(key)),
        *("--prefix", swarm.prefix, "--initial-peers", swarm.initial_peer),
    )
