"""What transfers over shared uplinks take alone: as long as on the slowest one that they cross.

Waiting for others is the simulator's and the fluid model's business. docs/model.md 3.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.content import FloatArray
from ..core.problem import Problem
from .runs import Rows


class Uplinks:
    """Who is behind which uplink, and how long a byte takes there.

    Attributes
    ----------
    servers, clients : (U, n), (U, clients) whether each is inside. The device of a client is where
        its client is: nothing goes over a network between the two.
    up_s, down_s : (U,) seconds of a byte out of it and into it; 0 = no limit.
    to_server_s, to_client_s : (clients, n) seconds of a byte from each client to each server and
        back, alone.
    """

    def __init__(self, problem: Problem) -> None:
        given, clients = problem.network.uplinks, {c.id: i for i, c in enumerate(problem.clients)}
        self.servers = np.zeros((len(given), problem.num_servers), dtype=bool)
        self.clients = np.zeros((len(given), len(clients)), dtype=bool)
        for row, uplink in enumerate(given):
            self.servers[row, list(uplink.servers)] = True
            self.clients[row, list(uplink.clients)] = True
        for j, server in enumerate(problem.servers):
            if server.local and server.only[0] in clients:
                self.servers[:, j] = self.clients[:, clients[server.only[0]]]
        self.up_s: FloatArray = np.array([1.0 / u.up_bytes_per_s for u in given])
        self.down_s: FloatArray = np.array([1.0 / u.down_bytes_per_s for u in given])
        each, all_servers = self.clients[:, :, None], self.servers[:, None, :]
        self.to_server_s = self._over_s(each, all_servers)
        self.to_client_s = self._over_s(all_servers, each)

    @property
    def count(self) -> int:
        """How many there are, U."""
        return len(self.up_s)

    def between_s(self, before: Rows, server: Rows) -> FloatArray:
        """Seconds of a byte from servers to others, alone; broadcasts."""
        return self._over_s(self.servers[:, before], self.servers[:, server])

    def _over_s(self, sender: NDArray[np.bool_], receiver: NDArray[np.bool_]) -> FloatArray:
        """The slowest of the uplinks, the first axis, that are crossed."""
        slowest: FloatArray = np.zeros(np.broadcast_shapes(sender.shape[1:], receiver.shape[1:]))
        for a, b, up_s, down_s in zip(sender, receiver, self.up_s, self.down_s, strict=True):
            np.maximum(slowest, np.where(a & ~b, up_s, np.where(b & ~a, down_s, 0.0)), out=slowest)
        return slowest
