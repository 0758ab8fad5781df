"""For how many concurrent sessions R a placement should leave memory (docs/model.md)."""

from __future__ import annotations

import numpy as np

from ..core.errors import HeuristicFailedError, InfeasibleError
from ..core.plan import Placement
from ..core.problem import Problem
from ..perfmodel.chains import client_shares
from ..perfmodel.latency import hop_cost
from ..perfmodel.memory import blocks_that_fit, max_sessions, sessions_for_load
from ..perfmodel.shortest import build_graph, exit_cost_s, link_cost_s, shortest
from .cg_bp import place_blocks


def target_sessions(problem: Problem) -> int:
    """R: the planning figure if given, else derived from the load.

    ``R = min(round(lambda T1 + z sqrt(lambda T1)), R_max)``, at least 1, where T1 is the time of
    one request alone on the placement made for one session, without the servers' own block caps.

    Raises
    ------
    InfeasibleError
        If the memory of all servers together cannot host every block with one session each.
    HeuristicFailedError
        If CG-BP covers no placement for one session.
    """
    if problem.planning.sessions is not None:
        return problem.planning.sessions
    require_memory(problem)
    alone = place_blocks(problem, 1, capped=False)
    shares = client_shares(problem)
    busy = [
        unloaded_response_s(problem, alone, c) if shares[c] else 0.0 for c in range(len(shares))
    ]
    mean_s = float(np.dot(shares, busy))
    rate = problem.workload.rate_per_s
    return sessions_for_load(rate, mean_s, problem.planning.safety_z, max_sessions(problem))


def require_memory(problem: Problem, sessions: int = 1) -> None:
    """Raise ``InfeasibleError`` when even all memory together cannot hold every block once."""
    blocks = blocks_that_fit(problem, sessions)
    length = problem.model.num_blocks
    if int(blocks.sum()) >= length:
        return
    short = length - int(blocks.sum())
    per_block = int(problem.block_bytes.min()) + sessions * problem.session_bytes
    raise InfeasibleError(
        f"the {problem.num_servers} servers can host {int(blocks.sum())} of the {length} blocks of "
        f"{problem.model.name} with room for {sessions} session(s): {short} blocks are missing, at "
        f"least {short * per_block / 1e9:.2f} GB of memory; add servers, use a smaller "
        "quantisation or shorter sessions"
    )


def unloaded_response_s(problem: Problem, placement: Placement, client: int) -> float:
    """Seconds of the representative request alone on a placement, set-up included."""
    plan = problem.planning
    cost = hop_cost(problem, client, plan.prompt_tokens, plan.output_tokens)
    graph = build_graph(problem, placement)
    leave = exit_cost_s(problem, client, cost)
    links, total = shortest(graph, link_cost_s(problem, graph, client, cost), leave)
    if not links:
        raise HeuristicFailedError(
            f"the placement for one session leaves client {problem.clients[client].id!r} no chain"
        )
    return total + problem.session_setup_s
