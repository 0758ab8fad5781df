"""Throughput: what is promised beside what comes out.

    python benchmarks/throughput.py reference DIR   # layouts of Helix: model, simulated, judged
    python benchmarks/throughput.py layouts DIR     # own layouts of the same clusters
    python benchmarks/throughput.py serial          # one task at a time: capacity against engine

DIR holds the three clusters as JSON documents. Judged are decode tokens per second in Helix' own
simulator (ASPLOS'25 artifact), 600 s after 60 s; simulated here the same window, requests in one
line from the beginning.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from swarmplan import api
from swarmplan.chains.capacity import most_planned_per_s, planned_mix
from swarmplan.chains.compose import client_shares
from swarmplan.chains.sustain import sustained
from swarmplan.core.plan import Placement
from swarmplan.core.problem import Problem
from swarmplan.methods.draft import Settings
from swarmplan.methods.routers import router_named
from swarmplan.methods.saturated import figures, saturated, trial_for
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.fluid import fluid
from swarmplan.scenarios.helix import Cluster, read_cluster, scenario_of_cluster, spans_of
from swarmplan.scenarios.scenario import load_scenario, scenario_of
from swarmplan.simulator.engine import simulate
from swarmplan.workload.draw import draw_requests

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
#: Judged decode tokens/s of the reference layouts.
JUDGED = {
    ("single24", "helix"): 252.1,
    ("single24", "petals"): 191.1,
    ("single24", "swarm"): 128.2,
    ("geo24", "helix"): 98.0,
    ("geo24", "petals"): 68.3,
    ("geo24", "swarm"): 41.6,
    ("het42", "helix"): 641.0,
}
BEGIN_S, END_S, REQUESTS = 60.0, 660.0, 4_000
LIMITS_S = {"single24": 60.0, "geo24": 60.0, "het42": 60.0}
SERIAL = ("abvt", "demo", "cloud")


def cluster_of(folder: Path, case: str) -> tuple[Cluster, Problem]:
    """A cluster and the problem that is made of it."""
    path = folder / f"{case}-llama70b.json"
    cluster = read_cluster(path)
    return cluster, scenario_of(scenario_of_cluster(cluster), path).problem


def row(case: str, name: str, problem: Problem, placement: Placement, seed: int = 0) -> str:
    """What the fluid model and the simulator say of a layout."""
    cost = CostModel.of(problem)
    steps = problem.planning.output_tokens - 1
    rated = steps * fluid(cost, client_shares(problem), placement).rate_per_s
    drawn = draw_requests(problem, seed, num_requests=REQUESTS)
    waiting = [replace(r, arrival_s=0.0) for r in drawn]
    found = simulate(
        problem,
        placement,
        router_named("flow")(cost, placement),
        waiting,
        admission="queue",
        horizon_s=END_S,
    )
    told = figures(found, BEGIN_S, END_S)
    judged = JUDGED.get((case, name))
    off = "" if judged is None else f"{told.decode_per_s / judged - 1:+.0%}"
    return (
        f"| {case} {name} | {rated:.1f} | {told.decode_per_s:.1f} +- {told.half_width_per_s:.1f} | "
        f"{told.prompt_per_s:.0f} | {told.first_token_s:.2f}, {told.token_s:.2f} | "
        f"{'' if judged is None else judged} | {off} |"
    )


HEAD = (
    "| layout | fluid | simulated | prompt tokens/s | prompt s, s per token | judged | off |\n"
    "|---|---|---|---|---|---|---|"
)


def reference(folder: Path) -> None:
    """The layouts of the documents."""
    print(HEAD)
    for case, name in JUDGED:
        cluster, problem = cluster_of(folder, case)
        ids = [s.id for s in problem.servers]
        placement = CostModel.of(problem).placed(
            spans_of(cluster.reference_layouts[name].layout, ids)
        )
        print(row(case, name, problem, placement), flush=True)


def layouts(folder: Path) -> None:
    """Layouts of ``stages`` beside Helix' own."""
    print(HEAD)
    for case, limit_s in LIMITS_S.items():
        _, problem = cluster_of(folder, case)
        plan = api.plan(problem, "stages", settings=Settings(time_limit_s=limit_s))
        print(row(case, "stages", problem, plan.placement), flush=True)


def serial() -> None:
    """What the chains of a layout carry by the linear programme against what the engine does."""
    print("| scenario | bound, requests/s | chains carry | simulated, of that |\n|---|---|---|---|")
    for name in SERIAL:
        problem = load_scenario(SCENARIOS / f"{name}.toml").problem
        cost = CostModel.of(problem)
        plan = api.plan(problem, "stages", settings=Settings(time_limit_s=30.0))
        carried = sustained(cost, plan.placement, planned_mix(problem)).rate_per_s
        told = saturated(cost, plan.placement, "flow", trial_for(cost, 0))
        print(
            f"| {name} | {most_planned_per_s(cost):.4f} | {carried:.4f} | "
            f"{told.requests_per_s:.4f}, {told.requests_per_s / carried:.0%} |",
            flush=True,
        )


def main() -> None:
    """The part that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("part", choices=("reference", "layouts", "serial"))
    parser.add_argument("folder", type=Path, nargs="?")
    asked = parser.parse_args()
    if asked.part == "serial":
        serial()
    elif asked.folder is None:
        parser.error("name the folder of the clusters")
    else:
        (reference if asked.part == "reference" else layouts)(asked.folder)


if __name__ == "__main__":
    main()
