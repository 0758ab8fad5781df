"""What a step costs on each link of a session's path: source to server, between, to the sink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.content import FloatArray
from ...perfmodel.cost import CostModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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


def link_costs(cost: CostModel, client: int) -> LinkCosts:
    """Costs of the links in the problem's relay mode.

    Under client relay every hop pays the round trip to the client. Under server relay the step
    travels source, servers, sink in half round trips; that leaves out the case in which a middle
    server's own answer reaches the client last (docs/model.md 3.1), so it is a lower bound there
    and equal otherwise.
    """
    paid, n = cost.planned(client), cost.problem.num_servers
    back = cost.relaying.back_s(paid)
    return LinkCosts(
        enter_s=cost.relaying.into_s(paid, -1),
        pass_s=np.array([cost.relaying.into_s(paid, i) for i in range(n)]),
        leave_s=np.zeros(n) if back is None else back,
    )
