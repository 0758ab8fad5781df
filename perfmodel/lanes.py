"""Uplinks in the fluid model: what the requests of a layout send over each, and the wait for it.

``crossed`` is compiled; the rest makes the tables that it reads. docs/model.md 16.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..core.content import FloatArray, IntArray
from ..core.jit import compiled
from .cost import CostModel

#: What is sent: a prompt, a step.
PROMPT, STEP = 0, 1
#: Share of its time that a steady flow may keep a lane busy.
MOST_SENT = 0.95


class Lanes(NamedTuple):
    """Both directions of U uplinks: out of the first, into it, out of the second and so on.

    Attributes
    ----------
    send_s : (2 U, 2) seconds of a prompt and of a step's hidden states.
    visit, enter : (2 U, 2, n) transfers of a prompt and of a step between the mean client and a
        stage, for each stage on the way and more for the first one.
    packed : (2, n) what a prompt and a step of each stage are of those hidden states.
    inside : (U, n) whether each stage is behind it. pushed : (2,) whether stages hand them on.
    way_s : (n, n) by how much a prompt takes longer than a step from stage to stage, alone, beside
        their links. (0, 0) where there are no uplinks; so are the next two.
    alone_per_s : (n,) requests per second that what a stage shares with no other one lets through;
        visit_per_s : (n,) that all of it lets through between it and the clients, whoever else.
    gate_per_s : (places, places) that may go from place to place.
    handed_s : (2 U,) seconds of all that a request hands on from stage to stage.
    """

    send_s: FloatArray
    visit: FloatArray
    enter: FloatArray
    packed: FloatArray
    inside: IntArray
    pushed: IntArray
    way_s: FloatArray
    alone_per_s: FloatArray
    visit_per_s: FloatArray
    gate_per_s: FloatArray
    handed_s: FloatArray


def no_lanes(n: int) -> Lanes:
    """Nothing is shared."""
    none, tables = np.zeros((0, 0)), np.zeros((0, 2, n))
    return Lanes(
        send_s=np.zeros((0, 2)),
        visit=tables,
        enter=tables,
        packed=np.ones((2, n)),
        inside=np.zeros((0, n), dtype=np.int64),
        pushed=np.zeros(2, dtype=np.int64),
        way_s=none,
        alone_per_s=np.zeros(0),
        visit_per_s=np.zeros(0),
        gate_per_s=none,
        handed_s=np.zeros(0),
    )


def lanes_of(
    cost: CostModel,
    shares: FloatArray,
    prompt_send_s: FloatArray,
    send_s: FloatArray,
    place: IntArray,
) -> Lanes:
    """The uplinks of a problem, for the representative request of the mean client.

    Parameters
    ----------
    shares : (clients,) of the requests. prompt_send_s, send_s : (n, n) hidden states of a prompt
        and of a step on links.
    place : (n,) of the stages: those of one place are behind the same uplinks that several share.
    """
    uplinks, n = cost.uplinks, cost.problem.num_servers
    if uplinks is None:
        return no_lanes(n)
    plan, relay = cost.problem.planning, cost.relaying
    size = float(cost.problem.model.activation_bytes_per_token)
    byte_s = np.column_stack([uplinks.up_s, uplinks.down_s]).reshape(-1, 1)
    lane_s = byte_s * size * np.array([float(plan.prompt_tokens), 1.0])
    own, there = (uplinks.clients @ shares)[:, None], uplinks.servers
    to_stage = np.stack([own * ~there, there * (1.0 - own)], axis=1).reshape(-1, n)
    to_client = np.stack([there * (1.0 - own), own * ~there], axis=1).reshape(-1, n)
    packed = np.stack([cost.packed_share(plan.prompt_tokens), cost.packed_share(1)])
    none, both = np.zeros_like(to_stage), to_stage + to_client
    pushed = np.array([relay.pushes_prompts, relay.pairs], dtype=np.int64)
    answers, enters = (none, none) if relay.pushes_prompts else (to_client, to_stage)
    visit = np.stack([none if pushed[PROMPT] else both, answers if pushed[STEP] else both], axis=1)
    enter = np.stack([none, enters if pushed[STEP] else none], axis=1)
    visit, enter = visit * packed, enter * packed
    every = np.arange(n)
    pair_s = uplinks.between_s(every[:, None], every[None, :])
    prompt_s = cost.wires.bytes(plan.prompt_tokens)[:, None] * pair_s
    step_s = cost.wires.bytes(1)[:, None] * pair_s
    more_s = _beside(prompt_s, prompt_send_s)
    tokens = float(max(1, plan.output_tokens - 1))
    handed = lane_s * pushed @ np.array([1.0, tokens])
    visited_s = lane_s[:, PROMPT, None] * visit[:, PROMPT] + tokens * (
        lane_s[:, STEP, None] * visit[:, STEP]
    )
    single = np.repeat(there.sum(axis=1) == 1, 2)[:, None] & np.repeat(there, 2, axis=0)
    return Lanes(
        send_s=lane_s,
        visit=visit,
        enter=enter,
        packed=packed,
        inside=there.astype(np.int64),
        pushed=pushed,
        way_s=more_s - _beside(step_s, send_s) if relay.pushes_prompts else np.zeros((n, n)),
        alone_per_s=_rate((visited_s + single * handed[:, None]).max(axis=0)),
        visit_per_s=1.0 / np.maximum(visited_s.max(axis=0), 1e-12),
        gate_per_s=_gates(there, handed, place),
        handed_s=handed,
    )


def beside_links_s(cost: CostModel, send_s: FloatArray) -> FloatArray | float:
    """(n, n) by how much a step's hidden states take longer between stages than on their links."""
    if cost.uplinks is None or not cost.relaying.pairs:
        return 0.0
    every = np.arange(len(send_s))
    pair_s = cost.uplinks.between_s(every[:, None], every[None, :])
    return _beside(cost.wires.bytes(1)[:, None] * pair_s, send_s)


def _beside(whole_s: FloatArray, link_s: FloatArray) -> FloatArray:
    more: FloatArray = np.maximum(whole_s - link_s, 0.0)
    return more


def _rate(busy_s: FloatArray) -> FloatArray:
    """Requests per second that keep something busy for so long each."""
    found: FloatArray = MOST_SENT / np.maximum(busy_s, 1e-12)
    return found


def _gates(there: np.ndarray, handed_s: FloatArray, place: IntArray) -> FloatArray:
    """(places, places) requests per second from place to place."""
    count = 1 + int(place.max())
    busy_s = np.zeros((count, count))
    one_of = [int(np.flatnonzero(place == p)[0]) for p in range(count)]
    for u, inside in enumerate(there[:, one_of]):
        if there[u].sum() > 1:
            out, into = np.outer(inside, ~inside), np.outer(~inside, inside)
            busy_s = np.maximum(busy_s, out * handed_s[2 * u])
            busy_s = np.maximum(busy_s, into * handed_s[2 * u + 1])
    return _rate(busy_s)


@compiled
def crossed(
    g: Lanes, start: IntArray, share: FloatArray, pairs: IntArray, flow: FloatArray, used: int
) -> FloatArray:
    """(2 U, 2) transfers over each lane of a request's prompt and of one of its steps.

    Parameters
    ----------
    start : (n,) first blocks. share, pairs, flow, used : as of ``stages.Dealt``.
    """
    found = np.zeros((len(g.send_s), 2))
    for lane in range(len(g.send_s)):
        for what in range(2):
            count = 0.0
            for i in range(len(start)):
                if share[i] > 0.0:
                    count += share[i] * g.visit[lane, what, i]
                    if start[i] == 0:
                        count += share[i] * g.enter[lane, what, i]
            if g.pushed[what] > 0:
                for p in range(used):
                    out = g.inside[lane // 2, pairs[p, 0]] - g.inside[lane // 2, pairs[p, 1]]
                    if out == (1 if lane % 2 == 0 else -1):
                        count += flow[p] * g.packed[what, pairs[p, 0]]
            found[lane, what] = count
    return found
