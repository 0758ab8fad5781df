"""Many clients while servers are killed and moved: does any request fail, is any token wrong?

Six servers hold one half of eight blocks each, three each half; sixteen clients ask without a
pause, routed by the plan in force. Every 40 s the busiest server is killed, unless some of its
blocks would have no other live holder, and started again at once; twice, while that goes on, a plan
is published by which two servers change places, as soon as all six are there. Told are failed
requests, wrong tokens, and the time in which some block had no live holder: a server that is
announced as online, runs, and has started. Servers compute on small blocks; clients give way to
them on the cores that they share. Seven minutes on a quiet machine. Needs the environment of
``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_kills.py [--seconds 300] [--clients 16] [--batch-steps]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from swarmplan.core.errors import SwarmUnreachableError
from swarmplan.swarm.cores import spent
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import passing_folder
from swarmplan.swarm.trial import ClientProcess, Event, answers, operate, publish_spans

BLOCKS, HALF = 8, 4
#: Emulated round trips to everybody.
RTT_S = {"a": 0.010, "b": 0.020, "c": 0.030, "d": 0.010, "e": 0.020, "f": 0.030}
FIRST, SECOND = (0, HALF), (HALF, BLOCKS)
SPANS = {name: FIRST if name in "abc" else SECOND for name in RTT_S}
#: Who changes places with whom, and after which share of the time.
MOVES = ((0.25, ("c", "f")), (0.65, ("b", "e")))
PROMPTS, TOKENS, PAUSE_S = (5, 40, 12, 25), 24, 0.15
LOOK_S, UPDATE_S = 0.5, 8.0
#: For servers to begin, and for the last requests to end.
BEGIN_LIMIT_S, END_LIMIT_S = 240.0, 120.0
CONFIG = {"update_period": 3, "request_timeout": 20}
PROCESSES = 4
#: Niceness of clients: a server that starts again would have a machine of its own.
GIVE_WAY = 10


@dataclass(kw_only=True)
class Watch:
    """Which blocks have live holders, by what is announced and by the processes.

    Attributes
    ----------
    held : of each block: servers that announce it, run and have started, at the last look.
    dark_s : time so far in which some block had none; fewest : that any had.
    """

    swarm: LoopbackSwarm
    observer: ClientProcess
    held: Sequence[set[str]] = ()
    dark_s: float = 0.0
    fewest: int = len(RTT_S)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.held = self._holders()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        self._thread.join()

    def _holders(self) -> list[set[str]]:
        names = {peer: name for name, peer in self.swarm.peers.items()}
        seen = [e["live"] for e in self.observer.events() if e["event"] == "spans"][-1:]
        held: list[set[str]] = [set() for _ in range(BLOCKS)]
        for peer, (state, start, end) in (seen[0] if seen else {}).items():
            child = self.swarm.children[names[peer]]
            if state == "online" and child.is_running and "Started" in child.text():
                for block in range(start, end):
                    held[block].add(names[peer])
        return held

    def _look(self) -> None:
        """All the time; what was dark at a look was so since the one before."""
        looked_s = time.monotonic()
        while not self._stop.wait(LOOK_S / 2):
            with contextlib.suppress(FileNotFoundError):  # a log that is replaced just now
                self.held = self._holders()
            now_s = time.monotonic()
            if not all(self.held):
                self.dark_s += now_s - looked_s
            self.fewest = min(self.fewest, *map(len, self.held))
            looked_s = now_s


def main() -> None:
    """Begin, kill and move, end; print what came of it."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=float, default=40.0, help="seconds from kill to kill")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--batch-steps", action="store_true", help="servers run steps together")
    given = parser.parse_args()
    began = time.monotonic()
    with passing_folder("swarmplan-live-") as folder:
        model = save_tiny_llama(folder / "model", blocks=BLOCKS)
        prompts = [[(7 * i + t) % 250 for t in range(n)] for i, n in enumerate(PROMPTS)]
        wanted = local_tokens(model, prompts, TOKENS)
        for owner in ("operator", "clients"):
            operate(folder / f"{owner}.log", "keygen", str(folder / owner))
        swarm = LoopbackSwarm(
            folder=folder / "swarm", model=model, update_period_s=UPDATE_S, handlers=1
        )
        with swarm:
            start(swarm, folder / "operator.pub", batched=given.batch_steps)
            publish_spans(swarm, folder, folder / "operator", SPANS, router="overlap")
            events = trial(swarm, folder, prompts, given)
    report(events, wanted)
    print(f"# {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")


def start(swarm: LoopbackSwarm, key: Path, *, batched: bool) -> None:
    """The servers, three at a time."""
    more = ("--batch-steps",) if batched else ()
    follow = ("--operator-key", str(key), "--follow", "1", "--drain", "5", *more)
    specs = [
        ServerSpec(name=name, blocks=SPANS[name], rtt_s=RTT_S[name], planned=follow)
        for name in RTT_S
    ]
    for at in range(0, len(specs), 3):
        swarm.start_servers(specs[at : at + 3])


def trial(
    swarm: LoopbackSwarm,
    folder: Path,
    prompts: Sequence[Sequence[int]],
    given: argparse.Namespace,
) -> list[Event]:
    """Kills and moves under traffic; what the clients told."""
    stop = folder / "stop"
    observing = {"observe_s": LOOK_S, "blocks": BLOCKS, "until": str(stop)}
    processes = min(PROCESSES, given.clients)
    with ExitStack() as stack:
        observer = stack.enter_context(ClientProcess(swarm=swarm, name="watch", job=observing))
        clients = [
            stack.enter_context(
                ClientProcess(
                    swarm=swarm,
                    name=f"client-{p}",
                    job=traffic(folder, prompts, stop, given.clients // processes),
                )
            )
            for p in range(processes)
        ]
        for client in clients:
            give_way(client.child.pid)
            client.wait_for(lambda seen: bool(answers(seen)), limit_s=BEGIN_LIMIT_S)
        observer.wait_for(lambda seen: any(e["event"] == "spans" for e in seen), limit_s=60)
        with Watch(swarm=swarm, observer=observer) as watch:
            disturb(watch, folder, given)
        stop.touch()
        found = [e for client in clients for e in client.finish(limit_s=END_LIMIT_S)]
    print(
        f"# some block without a live holder: {watch.dark_s:.1f} s; "
        f"fewest live holders of a block: {watch.fewest}"
    )
    return found


def traffic(
    folder: Path, prompts: Sequence[Sequence[int]], stop: Path, threads: int
) -> dict[str, Any]:
    """Clients of one process, asking again and again."""
    return {
        "until": str(stop),
        "threads": threads,
        "config": CONFIG,
        "routing": {
            "public_key": str(folder / "operator.pub"),
            "clients_key": str(folder / "clients"),
            "refresh_s": 2.0,
            "share_s": 3.0,
        },
        "requests": [
            {"id": str(i), "prompt": p, "new_tokens": TOKENS, "pause_s": PAUSE_S}
            for i, p in enumerate(prompts)
        ],
    }


def disturb(watch: Watch, folder: Path, given: argparse.Namespace) -> None:
    """Kill every so many seconds, publish the moves."""
    swarm, began = watch.swarm, time.monotonic()
    moves = [(share * given.seconds, pair) for share, pair in MOVES]
    publishing: list[threading.Thread] = []
    spans, kill_s, used = dict(SPANS), given.every / 2, work_of(swarm)
    away: dict[str, float] = {}
    while (now_s := time.monotonic() - began) < given.seconds:
        held = watch.held
        live = set().union(*held)
        for name in {*away} & live:
            print(f"# {now_s:4.0f} s  {name} is back after {now_s - away.pop(name):.0f} s")
        if moves and now_s >= moves[0][0] and len(live) == len(SPANS):
            _, (one, other) = moves.pop(0)
            spans[one], spans[other] = spans[other], spans[one]
            print(f"# {now_s:4.0f} s  plan: {one} and {other} change places", flush=True)
            publishing.append(publishes(swarm, folder, dict(spans)))
        if now_s >= kill_s:
            victim = busiest(held, used, work_of(swarm))
            if victim is not None:
                swarm.children[victim].kill()
                swarm.children[victim].start()
                print(f"# {now_s:4.0f} s  killed {victim}: {shown(held)}", flush=True)
                kill_s, used, away[victim] = now_s + given.every, work_of(swarm), now_s
        time.sleep(LOOK_S / 2)
    print(f"# in the end {shown(watch.held)}; not back: {', '.join(sorted(away)) or 'none'}")
    for _, (one, other) in moves:
        print(f"# {one} and {other} never changed places: some server was away all the time")
    for thread in publishing:
        thread.join()


def publishes(
    swarm: LoopbackSwarm, folder: Path, spans: Mapping[str, tuple[int, int]]
) -> threading.Thread:
    """Publish a plan while everything else goes on."""
    thread = threading.Thread(
        target=publish_spans,
        args=(swarm, folder, folder / "operator", spans),
        kwargs={"router": "overlap"},
    )
    thread.start()
    return thread


def give_way(pid: int) -> None:
    """Let a process that leads its session, and what it starts, have what others leave."""
    os.setpriority(os.PRIO_PGRP, pid, GIVE_WAY)
    with contextlib.suppress(OSError):  # a kernel that does not share by sessions
        Path(f"/proc/{pid}/autogroup").write_text(str(GIVE_WAY), encoding="utf-8")


def work_of(swarm: LoopbackSwarm) -> dict[str, float]:
    """What each server's processes have used of the cores so far."""
    groups = {name: swarm.children[name].pid for name in SPANS}
    return {name: sum(spent(frozenset({pid})).values()) for name, pid in groups.items()}


def busiest(
    held: Sequence[set[str]], before: Mapping[str, float], now: Mapping[str, float]
) -> str | None:
    """Of the servers that hold something and are nobody's last holder, the one that worked most."""
    holders = set().union(*held)
    spare = [n for n in holders if all(len(h) > 1 for h in held if n in h)]
    # One that was started again since has begun from nothing.
    work = {n: now[n] - before[n] if now[n] >= before[n] else now[n] for n in spare}
    return max(work, key=work.__getitem__, default=None)


def shown(held: Sequence[set[str]]) -> str:
    """Who held what."""
    halves = (held[0], held[-1])
    return "live were " + " and ".join("".join(sorted(h)) or "nobody" for h in halves)


def report(events: Sequence[Event], wanted: Sequence[Sequence[int]]) -> None:
    """Requests, failures, wrong tokens, and how long the longest step took."""
    done = [e for e in events if e["event"] == "done"]
    failed = [e for e in events if e["event"] == "failed"]
    exact = sum(e["tokens"] == wanted[int(e["id"].split("/")[0])] for e in done)
    steps = sorted(s for e in done for s in e["steps_s"][1:])
    print(f"# {len(done)} requests done, {len(failed)} failed; tokens exact in {exact}")
    for error in sorted({e["error"][:160] for e in failed}):
        print(f"#   {error}")
    if not steps:
        raise SwarmUnreachableError("no request was answered")
    print(
        f"# a step: median {steps[len(steps) // 2]:.2f} s, 99 % within "
        f"{steps[int(0.99 * len(steps))]:.2f} s, longest {steps[-1]:.2f} s"
    )


if __name__ == "__main__":
    main()
