"""Files of placement and precision cases solved, for ``hosting.py``.

Cases are as in ``../shared/data/golden/placement_precision.json``: sizes, cache and memory in MB,
times in ms, harm in any unit, block by block.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from swarmplan.core.accuracy import Accuracy
from swarmplan.core.errors import InfeasibleError
from swarmplan.core.problem import (
    Client,
    ModelSpec,
    Network,
    Planning,
    Problem,
    Server,
    Timing,
    Variant,
)
from swarmplan.core.workload import Demand, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.placement.precise.solve import solve_precise
from swarmplan.placement.task import Task
from swarmplan.solve.deadline import Deadline

#: Budgets of a frontier where a case names none, as shares of the harm at the worst precision.
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
#: The swarms' least times of a block: precision, ms, and ms more for each expert of a token.
FLOORS_MS = (("bf16", 0.8, 0.25), ("int8", 4.0, 1.0), ("nf4", 1.4, 0.3))


def problem_of(case: Mapping[str, Any], budgets: list[float]) -> Problem:
    """The problem of a case, MB as bytes and ms as seconds."""
    length, kinds = case["L"], case["classes"]
    names = dict.fromkeys(p for own in case["precisions"] for p in own)
    servers = []
    for j, own in enumerate(case["precisions"]):
        variants = tuple(
            Variant(
                precision=p,
                block_bytes=tuple(case["size"][p]),
                timing=tuple(Timing(decode_base_s=ms / 1e3) for ms in case["tau"][j][p]),
            )
            for p in own
        )
        first = variants[0]
        servers.append(
            Server(
                id=f"server-{j}",
                memory_bytes=case["memory"][j],
                block_bytes=first.block_bytes,
                timing=first.timing,
                sharing="independent",
                precision=first.precision,
                variants=variants,
            )
        )
    n = len(servers)
    return Problem(
        model=ModelSpec(
            name=case["name"],
            num_blocks=length,
            hidden_size=1,
            block_bytes=1,
            cache_bytes_per_token=tuple(case["cache"]),
            activation_bytes_per_token=1,
        ),
        servers=tuple(servers),
        clients=tuple(Client(id=f"client-{c}") for c in range(len(kinds))),
        network=Network(
            client_rtt_s=np.array([c["hop"] for c in kinds], dtype=float) / 1e3,
            server_rtt_s=np.zeros((n, n)),
        ),
        workload=Workload(classes=()),
        planning=Planning(prompt_tokens=1, output_tokens=1, session_tokens=1),
        accuracy=Accuracy(
            harm=tuple((p, tuple(map(float, case["deg"][p]))) for p in names),
            budgets=tuple(map(float, budgets)),
        ),
    )


def solved(case: Mapping[str, Any], budgets: list[float]) -> float | None:
    """The least total of a case, ms; None where it is proven that there is no plan.

    Raises
    ------
    RuntimeError
        If the optimum is not proven.
    """
    cost = CostModel(problem_of(case, budgets))
    demand = tuple(
        Demand(client=c, sessions=own["sessions"], weight_tokens=1.0, cache_tokens=1)
        for c, own in enumerate(case["classes"])
    )
    sessions = sum(d.sessions for d in demand)
    try:
        found = solve_precise(Task(cost=cost, sessions=sessions, demand=demand, gap=0.0))
    except InfeasibleError:
        return None
    proof = found.certificate.objective
    if proof.gap is None or proof.value is None or proof.gap > 1e-7:
        raise RuntimeError(f"{case['name']}: {proof} is not proven")
    return round(proof.value * 1e3, 6)


def answered(case: Mapping[str, Any]) -> dict[str, Any]:
    """Objective and frontier of a case; the frontier of one class that may choose only."""
    budgets = [c["budget"] for c in case["classes"]]
    wanted = [at for at, _ in case.get("frontier") or []]
    if not wanted and len(budgets) == 1 and any(len(p) > 1 for p in case["precisions"]):
        worst = sum(
            max(case["deg"][p][b] for own in case["precisions"] for p in own)
            for b in range(case["L"])
        )
        wanted = [int(share * worst) for share in SHARES]
    frontier = [[at, solved(case, [at] * len(budgets))] for at in wanted]
    return {"objective": solved(case, budgets), "frontier": frontier or None}


def compare(cases: list[Mapping[str, Any]], answers: Mapping[str, dict[str, Any]]) -> int:
    """Print each case beside the file's own figures; how many differ."""
    wrong = 0
    for case in cases:
        optimum, found = case.get("optimum"), answers[case["name"]]
        meant = None if optimum is None else optimum["objective"]
        same = _equal(found["objective"], meant)
        for (_, a), (_, b) in zip(
            case.get("frontier") or [], found["frontier"] or [], strict=False
        ):
            same = same and _equal(a, b)
        wrong += not same
        print(f"{case['name']:20} {found['objective']} {'=' if same else 'instead of'} {meant}")
    print(f"{wrong} of {len(cases)} differ")
    return wrong


def _equal(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= 1e-6 * max(1.0, abs(other))


def swarm_problem(
    about: Mapping[str, Any],
    swarm: Mapping[str, Any],
    model: Mapping[str, Any],
    *,
    sessions: int,
    share: float,
) -> Problem:
    """A swarm of the reference: one client, one chain for all its sessions, which count as one.

    Parameters
    ----------
    about : the whole file of swarms.
    share : the budget as a share of what all nf4 harms.
    """
    layers = {
        name: np.repeat([0 if v is None else v for v, _ in runs], [count for _, count in runs])
        for name, runs in model["layers_run_length"].items()
        if name in ("parameters", "active_parameters", "kv_bytes_per_token", "kv_window_tokens")
    }
    size = {
        p: np.repeat([v for v, _ in runs], [count for _, count in runs])
        for p, runs in model["block_bytes_petals_rule"].items()
    }
    window, tokens = layers["kv_window_tokens"], about["session_tokens"]
    kept = layers["kv_bytes_per_token"] * np.where(window > 0, np.minimum(window, tokens), tokens)
    read = np.where(window > 0, np.minimum(window, tokens // 2), tokens // 2)
    read = layers["kv_bytes_per_token"] * read
    experts = about["active_experts"].get(model["model"], 0)
    weight = layers["parameters"] / layers["parameters"].sum()
    harm = {p: 100 * np.log1p(h / 100) * weight for p, h in about["harm_percent"].items()}
    servers, hops = [], []
    for gpu, hop_s, count in swarm["swarm"]:
        own, share_of = about["gpus"][gpu], 0.75
        rate = share_of * own["bytes_per_s"]
        variants = []
        for p, base_ms, each_ms in FLOORS_MS:
            floor_s = (base_ms + each_ms * experts) / 1e3 if swarm["regime"] == "measured" else 0.0
            active = size[p] * (layers["active_parameters"] / layers["parameters"])
            step_s = np.maximum(floor_s, active / rate) + read / rate
            timing = tuple(Timing(decode_base_s=float(t)) for t in step_s)
            sizes = tuple(int(b) for b in size[p])
            variants.append(Variant(precision=p, block_bytes=sizes, timing=timing))
        for i in range(count):
            servers.append(
                Server(
                    id=f"{gpu}-{i}",
                    memory_bytes=int(own["memory_bytes"] - about["reserve_bytes"]),
                    block_bytes=variants[0].block_bytes,
                    timing=variants[0].timing,
                    sharing="independent",
                    precision=variants[0].precision,
                    variants=tuple(variants),
                )
            )
            hops.append(hop_s)
    return Problem(
        model=ModelSpec(
            name=model["model"],
            num_blocks=len(weight),
            hidden_size=1,
            block_bytes=1,
            cache_bytes_per_token=tuple(int(b) * sessions for b in kept),
            activation_bytes_per_token=1,
        ),
        servers=tuple(servers),
        clients=(Client(id="client"),),
        network=Network(
            client_rtt_s=np.array([hops]), server_rtt_s=np.zeros((len(hops), len(hops)))
        ),
        workload=Workload(classes=()),
        planning=Planning(prompt_tokens=1, output_tokens=1, session_tokens=1),
        accuracy=Accuracy(
            harm=tuple((p, tuple(h.tolist())) for p, h in harm.items()),
            budgets=(share * float(harm["nf4"].sum()),),
        ),
    )


def swarms(about: Mapping[str, Any], models: list[Mapping[str, Any]], only: str) -> int:
    """Print each swarm's joint optimum beside the file's; how many miss what is asked of them."""
    wrong, by_name = 0, {m["model"]: m for m in models}
    for swarm in about["swarms"]:
        if only not in swarm["model"]:
            continue
        for sessions in (1, 8, 32):
            for name, meant in swarm[f"R={sessions}"].items():
                if not name.startswith("joint") or meant is None:
                    continue
                problem = swarm_problem(
                    about,
                    swarm,
                    by_name[swarm["model"]],
                    sessions=sessions,
                    share=float(name.split()[1]),
                )
                began = time.process_time()
                one = (Demand(client=0, sessions=1, weight_tokens=1.0, cache_tokens=1),)
                found = solve_precise(Task(cost=CostModel(problem), sessions=1, demand=one, gap=0.0,
                                           deadline=Deadline.after(60.0)))  # fmt: skip
                spent, proof = time.process_time() - began, found.certificate.objective
                ms = (proof.value or 0.0) * 1e3
                limit = 1.001 if swarm["kinds"] == 1 else 1.01
                proven = proof.gap is not None and proof.gap <= 1e-6
                good = ms <= limit * meant["ms"] + 0.05 and (proven or swarm["kinds"] > 1)
                wrong += not good
                print(
                    f"{swarm['model']:16} {swarm['regime']:9} R={sessions:2} {name}: {ms:.1f} ms, "
                    f"there {meant['ms']}, gap {proof.gap:.1e}, {spent:.1f} CPU s"
                    f"{'' if good else '  MISSED'}",
                    flush=True,
                )
    print(f"{wrong} missed")
    return wrong


def solve_file(file: Path, models: Path | None, only: str, *, as_json: bool) -> bool:
    """Solve a file of cases, or, with models, of swarms; whether everything came out as it says."""
    cases = json.loads(file.read_text())
    if models is not None:
        return not swarms(cases, json.loads(models.read_text())["models"], only)
    cases = cases["cases"] if isinstance(cases, dict) else cases
    began = time.process_time()
    answers = {case["name"]: answered(case) for case in cases}
    if as_json:
        print(json.dumps(answers, indent=2))
        return True
    wrong = compare(cases, answers)
    print(f"{time.process_time() - began:.1f} CPU s of its own, without HiGHS' process")
    return not wrong
