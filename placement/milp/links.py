"""What a step costs on each link of a session's path: source to server, between, to the sink."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.problem import FloatArray, Problem, frozen_array
from ..demand import step_costs


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCosts:
    """Seconds of one decode step of one client, compute apart.

    Attributes
    ----------
    enter_s : (n,) source to server.
    pass_s : (n, n) server to server, row = from.
    leave_s : (n,) server to sink.
    """

    enter_s: FloatArray
    pass_s: FloatArray
    leave_s: FloatArray


def link_costs(problem: Problem, client: int) -> LinkCosts:
    """Costs of the links in the problem's relay mode.

    Under client relay every hop pays the round trip to the client. Under server relay the step
    travels source, servers, sink in half round trips; that leaves out the case in which a middle
    server's own answer reaches the client last (docs/model.md 3.1), so it is a lower bound there
    and equal otherwise.
    """
    hop = step_costs(problem).hop_s[client]
    n = problem.num_servers
    if problem.network.relay == "client":
        return LinkCosts(
            enter_s=hop,
            pass_s=frozen_array([hop] * n, float),
            leave_s=frozen_array([0.0] * n, float),
        )
    half = problem.network.client_rtt_s[client] / 2
    overhead = hop - 2 * half
    return LinkCosts(
        enter_s=frozen_array(half + overhead, float),
        pass_s=frozen_array(problem.network.server_rtt_s / 2 + overhead, float),
        leave_s=frozen_array(half, float),
    )
