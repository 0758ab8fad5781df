"""Emulated network delay in user space: a TCP forwarder that holds every chunk for half an RTT.

``python -m swarmplan.swarm.delays LISTEN:TARGET:RTT_MS ...`` forwards 127.0.0.1:LISTEN to
127.0.0.1:TARGET. The delay depends on the destination only: all who call a server through its
announced port are equally far from it. One thread and ``select``, whose time-out counts in
microseconds; an event loop with ``epoll`` would round every delay up to a millisecond.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field

_CHUNK_BYTES = 1 << 16
#: What may wait for one reader before the writer's side is no longer read.
_HELD_BYTES = 1 << 22


@dataclass(eq=False)
class _Pipe:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    delay_s: float
    held: int = 0
    ready: deque[bytes] = field(default_factory=deque)
    closing: bool = False


class DelayForwarder:
    """Forwards connections with a delay until the process ends."""

    def __init__(self, table: list[tuple[int, int, float]]) -> None:
        self._pipes: dict[socket.socket, _Pipe] = {}
        self._due: list[tuple[float, int, _Pipe, bytes]] = []
        self._count = 0
        self._listeners = {_listen(port): (target, rtt_s) for port, target, rtt_s in table}

    def run(self) -> None:
        """Serve for ever."""
        while True:
            self.turn()

    def close(self) -> None:
        """Close every socket."""
        for one in [*self._listeners, *self._pipes]:
            with contextlib.suppress(OSError):
                one.close()

    def turn(self) -> None:
        """Wait for what comes next, read it, and write what is due."""
        now = time.monotonic()
        wait_s = max(0.0, self._due[0][0] - now) if self._due else 1.0
        reading = [s for s, p in self._pipes.items() if not p.closing and p.held < _HELD_BYTES]
        writing = [p.sink for p in self._pipes.values() if p.ready]
        readable, writable, _ = select.select([*self._listeners, *reading], writing, [], wait_s)
        for one in readable:
            if one in self._listeners:
                self._accept(one)
            elif one in self._pipes:
                self._read(self._pipes[one])
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, pipe, data = heapq.heappop(self._due)
            pipe.ready.append(data)
            self._write(pipe)
        for pipe in [p for p in self._pipes.values() if p.ready and p.sink in writable]:
            self._write(pipe)

    def _accept(self, listener: socket.socket) -> None:
        target, rtt_s = self._listeners[listener]
        near, _ = listener.accept()
        far = socket.socket()
        try:
            far.connect(("127.0.0.1", target))
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pipes[near] = _Pipe(near, far, rtt_s / 2)
        self._pipes[far] = _Pipe(far, near, rtt_s / 2)

    def _read(self, pipe: _Pipe) -> None:
        try:
            data = pipe.source.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        pipe.held += len(data)
        pipe.closing = not data
        self._count += 1
        heapq.heappush(self._due, (time.monotonic() + pipe.delay_s, self._count, pipe, data))

    def _write(self, pipe: _Pipe) -> None:
        """Send what is ready; an empty chunk is the end of the stream, which arrives late too."""
        while pipe.ready:
            data = pipe.ready.popleft()
            if not data:
                self._drop(pipe)
                return
            try:
                sent = pipe.sink.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._drop(pipe)
                return
            pipe.held -= sent
            if sent < len(data):
                pipe.ready.appendleft(data[sent:])
                return

    def _drop(self, pipe: _Pipe) -> None:
        """Both directions end together."""
        for one in (pipe.source, pipe.sink):
            self._pipes.pop(one, None)
            with contextlib.suppress(OSError):
                one.close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener


def main() -> None:
    """Read the table from the command line."""
    table = []
    for entry in sys.argv[1:]:
        listen, target, rtt_ms = entry.split(":")
        table.append((int(listen), int(target), float(rtt_ms) / 1e3))
    forwarder = DelayForwarder(table)
    print("forwarding", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        forwarder.run()


if __name__ == "__main__":
    main()
