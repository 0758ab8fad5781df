"""What a scenario contains, as tables."""

from __future__ import annotations

import math

import numpy as np

from ..core.problem import per_block
from ..perfmodel.cost import CostModel
from ..perfmodel.validity import mark
from .scenario import Scenario

Section = tuple[str, list[str], list[list[object]]]


def describe(scenario: Scenario) -> list[Section]:
    """(title, columns, rows) of the model, the servers, the clients and the load."""
    problem = scenario.problem
    model, plan = problem.model, problem.planning
    total = int(problem.memory_bytes.sum())
    cost = CostModel.of(problem)
    length, weights = model.num_blocks, model.whole_bytes
    each = sorted(set(per_block(model.block_bytes, length)))
    sizes = f"{each[0] / 1e9:.3f} GB" + (f" to {each[-1] / 1e9:.3f} GB" if len(each) > 1 else "")
    step_s = cost.step_run_s(plan.prompt_tokens)
    rtt = problem.network.client_rtt_s * 1e3
    devices: dict[tuple[str, str], list[int]] = {}
    for j, server in enumerate(problem.servers):
        devices.setdefault((server.device, server.region), []).append(j)
    return [
        (
            f"{scenario.document.name}: {scenario.document.description or model.name}",
            ["figure", "value"],
            [
                ["model", f"{model.name}, {model.num_blocks} blocks"],
                ["one block", sizes],
                ["all blocks once", f"{weights / 1e9:.1f} GB"],
                ["memory of all servers", f"{total / 1e9:.1f} GB"],
                [
                    "cache of one session",
                    f"{plan.session_tokens} tokens, "
                    f"{cost.session_bytes(0, length) / 1e9:.2f} GB over all blocks",
                ],
                ["representative request", f"{plan.prompt_tokens} + {plan.output_tokens} tokens"],
                ["arrival rate", f"{problem.workload.rate_per_s:.4g} requests/s"],
                ["relay", problem.network.relay],
                *_uplinks(scenario),
                *_precisions(scenario),
                *_adapters(scenario),
                *_drafts(scenario),
                ["sha256", scenario.sha256],
            ],
        ),
        (
            "Servers",
            ["device", "region", "count", "memory GB", "decode ms/block", "example"],
            [
                [
                    device,
                    region,
                    len(rows),
                    f"{problem.memory_bytes[rows].mean() / 1e9:.2f}",
                    mark(problem.servers[rows[0]])
                    + f"{step_s(rows[0], 0, length) / length * 1e3:.3f}",
                    problem.servers[rows[0]].id,
                ]
                for (device, region), rows in sorted(devices.items())
            ],
        ),
        (
            "Clients: round-trip time to the servers, ms",
            ["client", "nearest", "median", "farthest"],
            [
                [c.id, *(f"{v:.1f}" for v in np.quantile(rtt[i], [0.0, 0.5, 1.0]))]
                for i, c in enumerate(problem.clients)
            ],
        ),
    ]


def _uplinks(scenario: Scenario) -> list[list[object]]:
    """What several links share, in a row each."""

    def limit(rate: float) -> str:
        return "no limit" if rate == math.inf else f"{rate * 8e-6:.4g} Mbit/s"

    return [
        [
            f"uplink {u.name}",
            f"{len(u.servers)} servers, {len(u.clients)} clients; out {limit(u.up_bytes_per_s)}, "
            f"in {limit(u.down_bytes_per_s)}",
        ]
        for u in scenario.problem.network.uplinks
    ]


def _precisions(scenario: Scenario) -> list[list[object]]:
    """What servers may choose from, in rows; the figures are those of the first ones."""
    servers = scenario.problem.servers
    rows: list[list[object]] = []
    for what, every in (
        ("precision", [s.precisions for s in servers]),
        ("wire", [s.wires for s in servers]),
    ):
        free = [own for own in every if len(own) > 1]
        names = ", ".join(dict.fromkeys(name for own in free for name in own))
        if free:
            told = f"{len(free)}, among {names}; here the first"
            rows.append([f"servers that choose a {what}", told])
    return rows


def _adapters(scenario: Scenario) -> list[list[object]]:
    """How many adapters there are, and how large, in a row."""
    problem = scenario.problem
    if not problem.adapters:
        return []
    length = problem.model.num_blocks
    whole = [sum(per_block(a.block_bytes, length)) / 1e6 for a in problem.adapters]
    asked = len(problem.asked_adapters)
    sizes = f"{min(whole):.4g} to {max(whole):.4g} MB over all blocks"
    return [["adapters", f"{len(whole)}, {asked} of them asked for, {sizes}"]]


def _drafts(scenario: Scenario) -> list[list[object]]:
    """Who can draft, with what, in a row; none where nobody can."""
    own = [d for d in scenario.problem.drafting if d.models]
    if not own:
        return []
    models = {m.name or f"{m.draft_s * 1e3:g} ms a draft" for d in own for m in d.models}
    free = sum(d.free for d in own)
    how = f"{free} of them as it is planned" if free else "as the file says"
    return [["clients that draft", f"{len(own)}, {how}, with {', '.join(sorted(models))}"]]
