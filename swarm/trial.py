"""Running clients as processes beside a loopback swarm and following what they report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from ..core.errors import SwarmUnreachableError
from .loopback import QUIET, LoopbackSwarm
from .processes import Child

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
