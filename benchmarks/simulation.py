"""10^5 requests over 100 servers through the simulator: goal under 60 s."""

import resource
import time

from swarms import swarm

from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.rules.cg_bp import place_blocks
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.metrics import summarise
from swarmplan.workload.draw import draw_requests


def main() -> None:
    """Print one row per waiting rule."""
    problem = swarm(100)
    placement = place_blocks(CostModel.of(problem), 64)
    requests = draw_requests(problem, 0, num_requests=100_000)
    print("| waiting rule | requests | s | requests/s | completed | mean waiting s |")
    print("|---|---|---|---|---|---|")
    for admission in ("retry", "queue", "reserve"):
        router = WsRr(CostModel.of(problem), placement)
        begin = time.perf_counter()
        result = simulate(problem, placement, router, requests, admission=admission)
        taken = time.perf_counter() - begin
        found = summarise(result)
        print(
            f"| {admission} | {len(requests)} | {taken:.1f} | {len(requests) / taken:.0f} "
            f"| {found.completed} | {found.wait_s.mean:.3g} |"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
