"""Checking a plan without a solver: every rule it must obey, every violation listed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .constraints import unmet
from .plan import Plan, PlannedRoute
from .problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that a plan breaks: where, and how."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def check_plan(plan: Plan, problem: Problem) -> tuple[Violation, ...]:
    """All violations of a plan against its problem, () when it is sound.

    Checks spans, block caps, memory, coverage, that routes tile the model inside the placement
    by PETALS' rule (enter a span anywhere, leave it at its end), that the planned sessions fit
    every cache pool together, and that the certificate does not contradict itself.
    """
    n = problem.num_servers
    shapes = {len(a) for a in (plan.placement.start, plan.placement.end)}
    if shapes != {n} or len(plan.placement.cache_bytes) != n:
        message = f"lists {len(plan.placement.start)} servers, the scenario has {n}"
        return (Violation(where="placement", message=message),)
    return tuple(
        [
            *_placement(plan, problem),
            *_coverage(plan, problem),
            *_constraints(plan, problem),
            *_routes(plan, problem),
            *_sessions(plan, problem),
            *_certificate(plan),
        ]
    )


def _placement(plan: Plan, problem: Problem) -> Iterator[Violation]:
    length = problem.model.num_blocks
    placement = plan.placement
    for j, server in enumerate(problem.servers):
        where = f"placement of {server.id}"
        start, end = int(placement.start[j]), int(placement.end[j])
        pool = int(placement.cache_bytes[j])
        if not 0 <= start <= end <= length:
            yield Violation(where=where, message=f"[{start}, {end}) is not within [0, {length})")
            continue
        if end - start > problem.max_blocks[j]:
            message = f"{end - start} blocks, at most {problem.max_blocks[j]} allowed"
            yield Violation(where=where, message=message)
        if pool < 0:
            yield Violation(where=where, message=f"negative cache pool of {pool} bytes")
        used = (end - start) * server.block_bytes + pool
        if used > problem.memory_bytes[j]:
            message = (
                f"{end - start} blocks and a cache pool of {pool / 1e9:.3f} GB take "
                f"{used / 1e9:.3f} GB, the server has {problem.memory_bytes[j] / 1e9:.3f} GB"
            )
            yield Violation(where=where, message=message)


def _coverage(plan: Plan, problem: Problem) -> Iterator[Violation]:
    length = problem.model.num_blocks
    for block in range(length):
        hosted = (plan.placement.start <= block) & (block < plan.placement.end)
        if not hosted.any():
            yield Violation(where=f"block {block}", message="no server hosts it")


def _constraints(plan: Plan, problem: Problem) -> Iterator[Violation]:
    placement = plan.placement
    if ((placement.start < 0) | (placement.end > problem.model.num_blocks)).any():
        return  # told already
    for where, message in unmet(problem, placement):
        yield Violation(where=where, message=message)


def _routes(plan: Plan, problem: Problem) -> Iterator[Violation]:
    for number, planned in enumerate(plan.routes):
        where = f"routes[{number}]"
        if not 0 <= planned.client < len(problem.clients):
            yield Violation(where=where, message=f"unknown client row {planned.client}")
        if planned.sessions < 1:
            yield Violation(where=where, message=f"{planned.sessions} sessions")
        yield from _hops(where, planned, plan, problem)
    planned_sessions = sum(r.sessions for r in plan.routes)
    if plan.routes and planned_sessions > plan.sessions:
        message = f"routes carry {planned_sessions} sessions, the plan is for {plan.sessions}"
        yield Violation(where="routes", message=message)


def _hops(where: str, planned: PlannedRoute, plan: Plan, problem: Problem) -> Iterator[Violation]:
    at = 0
    seen: set[int] = set()
    for hop in planned.route.hops:
        if not 0 <= hop.server < problem.num_servers:
            yield Violation(where=where, message=f"unknown server row {hop.server}")
            return
        name = problem.servers[hop.server].id
        start, end = int(plan.placement.start[hop.server]), int(plan.placement.end[hop.server])
        if hop.server in seen:
            yield Violation(where=where, message=f"passes {name} twice")
        seen.add(hop.server)
        if hop.start != at:
            yield Violation(
                where=where, message=f"enters {name} at block {hop.start}, but is at block {at}"
            )
        if not start <= hop.start < hop.end <= end:
            message = f"runs [{hop.start}, {hop.end}) at {name}, which hosts [{start}, {end})"
            yield Violation(where=where, message=message)
        elif hop.end != end:
            message = f"leaves {name} at block {hop.end}, a request runs to the span's end {end}"
            yield Violation(where=where, message=message)
        at = hop.end
    if at != problem.model.num_blocks:
        message = f"ends at block {at}, the model has {problem.model.num_blocks}"
        yield Violation(where=where, message=message)


def _sessions(plan: Plan, problem: Problem) -> Iterator[Violation]:
    """The planned sessions must fit every pool at once."""
    held = [0] * problem.num_servers  # Python's integers: a file may ask for more than 2^63
    for planned in plan.routes:
        for hop in planned.route.hops:
            if 0 <= hop.server < problem.num_servers:
                blocks = max(0, hop.end - hop.start)
                held[hop.server] += planned.sessions * blocks * problem.session_bytes
    for j, (taken, pool) in enumerate(zip(held, plan.placement.cache_bytes.tolist(), strict=True)):
        if taken > pool:
            message = (
                f"the planned sessions hold {taken / 1e9:.3f} GB of cache, the pool has "
                f"{pool / 1e9:.3f} GB"
            )
            yield Violation(where=f"cache of {problem.servers[j].id}", message=message)


def _certificate(plan: Plan) -> Iterator[Violation]:
    proof = plan.certificate
    if proof.status == "infeasible":
        yield Violation(where="certificate", message="calls infeasible what has a plan")
    for name, figure in (("objective", proof.objective), ("bound", proof.bound)):
        if figure is not None and not math.isfinite(figure):
            yield Violation(where="certificate", message=f"the {name} is {figure}")
            return
    if proof.objective is None or proof.bound is None:
        if proof.status == "optimal":
            yield Violation(where="certificate", message="optimal needs an objective and a bound")
        return
    slack = 1e-6 * max(abs(proof.objective), abs(proof.bound))
    if proof.bound > proof.objective + slack:
        message = f"bound {proof.bound} lies above the objective {proof.objective}"
        yield Violation(where="certificate", message=message)
    if proof.status == "optimal" and proof.objective - proof.bound > 1e-4 * abs(proof.objective):
        yield Violation(where="certificate", message="called optimal with an open gap")
