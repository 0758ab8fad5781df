"""Whole runs: nothing is lost, nothing over-commits, every instant adds up."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.errors import SwarmplanError
from swarmplan.core.events import ServerEvent
from swarmplan.core.names import Admission, Sharing, names
from swarmplan.core.plan import Hop, Placement, Route
from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Request, Workload
from swarmplan.perfmodel.cost import CostModel
from swarmplan.routing.api import Decision, RouterFactory, SwarmView
from swarmplan.routing.jffc import Jffc
from swarmplan.routing.offline import Shortest
from swarmplan.routing.petals import PetalsRouting
from swarmplan.routing.waiting import retry_instant_s
from swarmplan.routing.ws_rr import WsRr
from swarmplan.simulator.admission import Queue, Rule
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.result import SimulationResult
from swarmplan.tests.placement.offline import uneven

ROUTERS: tuple[RouterFactory, ...] = (WsRr, Shortest, PetalsRouting(), Jffc)
NAMES: tuple[Admission, ...] = ("retry", "queue", "reserve", "notify", "sized", "ordered")
RULES: tuple[Admission | Rule, ...] = (*NAMES, Queue(backfill=True))


def random_problem(rng: np.random.Generator, *, sharing: Sharing = "independent") -> Problem:
    """A few servers of uneven speed and memory around two clients."""
    n, clients = int(rng.integers(2, 7)), 2
    points = rng.uniform(0, 0.1, (n + clients, 2))
    rtt = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    servers = tuple(
        Server(
            id=f"s{j}",
            memory_bytes=int(rng.integers(1_500, 9_000)),
            block_bytes=1_000,
            timing=Timing(
                decode_base_s=float(rng.uniform(0.001, 0.02)),
                decode_per_context_token_s=1e-5,
                decode_per_sequence_s=0.001,
                prefill_base_s=0.01,
                prefill_per_token_s=1e-4,
            ),
            forward_rps=100.0,
            network_rps=100.0,
            sharing=sharing,
            task_tokens=10,
        )
        for j in range(n)
    )
    return Problem(
        model=ModelSpec(
            name="random",
            num_blocks=int(rng.integers(2, 7)),
            hidden_size=64,
            block_bytes=1_000,
            cache_bytes_per_token=int(rng.integers(1, 8)),
            activation_bytes_per_token=128,
        ),
        servers=servers,
        clients=tuple(Client(id=f"c{c}") for c in range(clients)),
        network=Network(
            client_rtt_s=rtt[n:, :n],
            server_rtt_s=rtt[:n, :n],
            step_overhead_s=0.001,
            prefill_overhead_s=0.002,
            relay="server" if rng.random() < 0.3 else "client",
        ),
        workload=Workload(),
        planning=Planning(prompt_tokens=10, output_tokens=10, session_tokens=20, sessions=2),
        session_setup_s=0.05 if rng.random() < 0.5 else 0.0,
    )


def random_placement(rng: np.random.Generator, problem: Problem) -> Placement:
    """Random spans within memory; the first server holds everything, so a chain exists."""
    length = problem.model.num_blocks
    spans = [(0, length)]
    for s in problem.servers[1:]:
        most = min(length, s.memory_bytes // 1_000)
        size = int(rng.integers(0, most + 1))
        start = int(rng.integers(0, length - size + 1))
        spans.append((start, start + size))
    return CostModel.of(problem).placed(
        spans, cache_bytes=rng.integers(100, 3_000, len(spans)).tolist()
    )


def random_requests(
    rng: np.random.Generator, count: int, *, exact: bool = True
) -> tuple[Request, ...]:
    """Bursts of requests; with ``exact`` reservations hold prompt and output."""
    requests = []
    arrival = 0.0
    for i in range(count):
        arrival += float(rng.choice([0.0, 0.01, 0.3]))
        prompt, output = int(rng.integers(1, 30)), int(rng.integers(1, 30))
        reserved = prompt + output if exact else int(rng.integers(1, 60))
        requests.append(
            Request(
                id=i,
                client=int(rng.integers(2)),
                arrival_s=arrival,
                prompt_tokens=prompt,
                output_tokens=output,
                reserved_tokens=reserved,
            )
        )
    return tuple(requests)


def random_events(rng: np.random.Generator, problem: Problem) -> list[ServerEvent]:
    """Failures, returns and joins, in any order."""
    return [
        ServerEvent(
            time_s=float(rng.choice([0.0, rng.uniform(0, 5)])),
            server=int(rng.integers(problem.num_servers)),
            up=bool(rng.random() < 0.5),
        )
        for _ in range(int(rng.integers(0, 8)))
    ]


def assert_accounted(result: SimulationResult, requests: Sequence[Request]) -> None:
    """Every request has one row with one end, and the columns agree with it."""
    done = np.array([s == "completed" for s in result.status])
    refused = np.array([s == "rejected" for s in result.status])
    assert result.id.tolist() == [r.id for r in requests]
    assert done.sum() + refused.sum() == len(requests)
    assert [bool(r) for r in result.reason] == refused.tolist()
    assert (~np.isnan(result.finish_s) == done).all()
    assert (result.wait_s[done] >= 0).all()
    assert (result.first_token_s[done] >= result.start_s[done]).all()
    assert (result.finish_s[done] >= result.first_token_s[done]).all()


def assert_never_over_committed(
    cost: CostModel, placement: Placement, result: SimulationResult
) -> None:
    """Replay the table: at every start the sessions on each server fit its pool."""
    changes: list[tuple[float, int, int, int]] = []
    for i, route in enumerate(result.routes):
        if result.status[i] != "completed" or route is None:
            continue
        for hop in route.hops:
            size = int(cost.cache_bytes(int(result.reserved_tokens[i]), hop.start, hop.end))
            changes.append((float(result.start_s[i]), 1, hop.server, size))
            changes.append((float(result.finish_s[i]), 0, hop.server, -size))
    used = np.zeros(len(placement.start), dtype=np.int64)
    for _, _, server, size in sorted(changes):
        used[server] += size
        assert used[server] <= placement.cache_bytes[server]


@given(st.integers(0, 10_000), st.sampled_from(RULES), st.sampled_from(ROUTERS), st.booleans())
def test_every_request_ends_and_no_pool_is_ever_over_committed(
    seed: int, rule: Admission | Rule, factory: RouterFactory, unequal: bool
) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    placement = random_placement(rng, problem)
    cost = CostModel.of(uneven(problem, rng) if unequal else problem)
    requests = random_requests(rng, 30)
    router = factory(cost, placement)
    result = simulate(cost.problem, placement, router, requests, admission=rule)
    assert_accounted(result, requests)
    assert_never_over_committed(cost, placement, result)
    assert (result.peak_cache_bytes <= placement.cache_bytes).all()
    assert not result.replays.any()
    assert not result.overflows.any()
    opening_s = problem.session_setup_s
    for i, request in enumerate(requests):
        route = result.routes[i]
        if result.status[i] == "completed":
            assert route is not None
            shape = cost.shape(request.client, request.prompt_tokens, request.output_tokens)
            time = cost.route_time(route, shape)
            busy = opening_s + time.total_s
            assert result.response_s[i] == pytest.approx(result.wait_s[i] + busy, rel=1e-9)
            first = opening_s + time.ttft_s
            assert result.ttft_s[i] == pytest.approx(result.wait_s[i] + first, rel=1e-9)


@given(
    st.integers(0, 10_000),
    st.sampled_from(RULES),
    st.sampled_from(ROUTERS),
    st.sampled_from((0.0, 0.7, 180.0)),
    st.sampled_from(names(Sharing)),
)
def test_failures_joins_and_short_reservations_lose_no_request(
    seed: int,
    rule: Admission | Rule,
    factory: RouterFactory,
    detection_s: float,
    sharing: Sharing,
) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, sharing=sharing)
    placement = random_placement(rng, problem)
    requests = random_requests(rng, 30, exact=False)
    events = random_events(rng, problem)
    cost = CostModel.of(problem)

    def run() -> SimulationResult:
        return simulate(
            problem,
            placement,
            factory(cost, placement),
            requests,
            admission=rule,
            events=events,
            detection_s=detection_s,
        )

    result, again = run(), run()
    assert_accounted(result, requests)
    assert (result.peak_cache_bytes <= placement.cache_bytes).all()
    assert result.finish_s.tolist() == pytest.approx(again.finish_s.tolist(), nan_ok=True, rel=0)


@given(st.integers(0, 10_000), st.sampled_from(RULES), st.sampled_from(names(Sharing)))
def test_a_horizon_leaves_the_rest_unfinished_and_changes_nothing_before(
    seed: int, rule: Admission | Rule, sharing: Sharing
) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, sharing=sharing)
    placement = random_placement(rng, problem)
    requests = random_requests(rng, 20)
    cost = CostModel.of(problem)
    whole = simulate(problem, placement, WsRr(cost, placement), requests, admission=rule)
    horizon_s = float(rng.uniform(0, whole.end_s + 1))
    router = WsRr(cost, placement)
    part = simulate(problem, placement, router, requests, admission=rule, horizon_s=horizon_s)
    for i, finish_s in enumerate(whole.finish_s.tolist()):
        if finish_s <= horizon_s:
            assert part.finish_s[i] == finish_s
        elif finish_s > horizon_s:
            assert part.status[i] == "unfinished"
    assert part.end_s == (horizon_s if "unfinished" in part.status else whole.end_s)


@given(st.integers(0, 10_000))
def test_under_retry_sessions_start_at_retry_instants(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    placement = random_placement(rng, problem)
    requests = random_requests(rng, 30)
    router = WsRr(CostModel.of(problem), placement)
    result = simulate(problem, placement, router, requests, admission="retry")
    for i, wait in enumerate(result.wait_s.tolist()):
        if result.status[i] == "completed":
            instants = [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, *np.arange(123.0, 4_000.0, 60.0)]
            assert wait == pytest.approx(instants[int(result.tries[i])], abs=1e-9)


@given(st.integers(0, 10_000))
def test_under_reserve_the_wait_is_the_raw_wait_at_the_next_retry_instant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    placement = random_placement(rng, problem)
    requests = random_requests(rng, 30)
    cost = CostModel.of(problem)
    result = simulate(problem, placement, WsRr(cost, placement), requests, admission="reserve")
    done = [i for i, s in enumerate(result.status) if s == "completed"]
    expected = [retry_instant_s(float(result.raw_wait_s[i])) for i in done]
    assert result.wait_s[done] == pytest.approx(expected, abs=1e-9)
    notified = simulate(problem, placement, WsRr(cost, placement), requests, admission="notify")
    done = [i for i, s in enumerate(notified.status) if s == "completed"]
    assert notified.wait_s[done] == pytest.approx(notified.raw_wait_s[done], abs=1e-9)


@given(st.integers(0, 10_000), st.sampled_from(ROUTERS))
def test_the_queue_serves_in_order_of_arrival(seed: int, factory: RouterFactory) -> None:
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    placement = random_placement(rng, problem)
    requests = random_requests(rng, 30)
    router = factory(CostModel.of(problem), placement)
    result = simulate(problem, placement, router, requests, admission="queue")
    starts = result.start_s[~np.isnan(result.start_s)]
    assert (np.diff(starts) >= 0).all()


@pytest.fixture
def station() -> tuple[Problem, Placement]:
    """One server with room for three sessions of 20 tokens, 1 s each."""
    problem = Problem(
        model=ModelSpec(
            name="one",
            num_blocks=2,
            hidden_size=8,
            block_bytes=1_000,
            cache_bytes_per_token=1,
            activation_bytes_per_token=16,
        ),
        servers=(
            Server(
                id="only",
                memory_bytes=2_000 + 3 * 40,
                block_bytes=1_000,
                timing=Timing(decode_base_s=0.05, prefill_base_s=0.05),
                sharing="independent",
            ),
        ),
        clients=(Client(id="c"),),
        network=Network(client_rtt_s=np.zeros((1, 1)), server_rtt_s=np.zeros((1, 1))),
        workload=Workload(),
        planning=Planning(prompt_tokens=10, output_tokens=10, session_tokens=20, sessions=3),
    )
    return problem, CostModel.of(problem).placed([(0, 2)])


@pytest.mark.parametrize("rate_per_s", [1.5, 2.9, 4.0])
def test_a_single_station_agrees_with_an_independent_queue_of_servers(
    station: tuple[Problem, Placement], rate_per_s: float
) -> None:
    problem, placement = station
    rng = np.random.default_rng(7)
    arrivals = np.cumsum(rng.exponential(1 / rate_per_s, 400))
    requests = [
        Request(
            id=i,
            client=0,
            arrival_s=float(at),
            prompt_tokens=10,
            output_tokens=10,
            reserved_tokens=20,
        )
        for i, at in enumerate(arrivals)
    ]
    free_at = [0.0] * 3
    starts = []
    for at in arrivals:
        start = max(float(at), heapq.heappop(free_at))
        heapq.heappush(free_at, start + 1.0)
        starts.append(start)
    for rule in ("queue", "notify"):
        router = WsRr(CostModel.of(problem), placement)
        result = simulate(problem, placement, router, requests, admission=rule)
        assert result.start_s == pytest.approx(starts, rel=1e-12)
    span = max(starts) + 1.0
    assert result.cache_used_frac[0] == pytest.approx(400 * 1.0 / 3 / span, rel=1e-9)
    assert result.compute_busy_frac[0] == pytest.approx(400 * 1.0 / span, rel=1e-9)
    assert result.peak_memory_bytes.tolist() == [2_120]


def test_a_request_larger_than_any_pool_is_rejected_and_the_others_run(
    station: tuple[Problem, Placement],
) -> None:
    problem, placement = station
    base = Request(
        id=0, client=0, arrival_s=0.0, prompt_tokens=10, output_tokens=10, reserved_tokens=20
    )
    requests = [base, replace(base, id=1, reserved_tokens=61), replace(base, id=2)]
    for rule in NAMES:
        router = WsRr(CostModel.of(problem), placement)
        result = simulate(problem, placement, router, requests, admission=rule)
        assert result.status == ("completed", "rejected", "completed")
        assert result.reason == ("", "too-large", "")
        assert "request 1" in result.refusal


def test_a_placement_with_a_hole_rejects_every_request(
    station: tuple[Problem, Placement],
) -> None:
    problem, _ = station
    cost = CostModel.of(problem)
    hole = cost.placed([(0, 1)])
    requests = random_requests(np.random.default_rng(0), 5)
    requests = tuple(replace(r, client=0) for r in requests)
    result = simulate(problem, hole, WsRr(cost, hole), requests)
    assert set(result.reason) == {"no-route"}


class Stubborn:
    """A router that insists on one server, whatever its pool."""

    def __init__(self, server: int, length: int) -> None:
        self._route = Route(hops=(Hop(server=server, start=0, end=length),))

    def __call__(
        self,
        request: Request,
        view: SwarmView,
        now_s: float,
        *,
        start_block: int = 0,
        exclude: frozenset[int] = frozenset(),
    ) -> Decision:
        return Decision(route=self._route, cost_s=0.0)


@pytest.mark.parametrize("rule", NAMES)
def test_a_router_that_insists_on_a_server_too_small_does_not_hang_the_run(
    tiny: Problem, rule: Admission
) -> None:
    placement = CostModel.of(tiny).placed([(0, 6)] * 4, cache_bytes=[10_000, 100, 100, 100])
    request = Request(
        id=0, client=0, arrival_s=0.0, prompt_tokens=11, output_tokens=11, reserved_tokens=22
    )
    result = simulate(tiny, placement, Stubborn(1, 6), [request], admission=rule)
    assert result.reason == ("too-large",)


def test_unknown_rules_and_servers_are_refused(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[0] * 4)
    router = WsRr(cost, placement)
    with pytest.raises(SwarmplanError, match="unknown waiting rule"):
        simulate(tiny, placement, router, [], admission="later")  # type: ignore[arg-type]
    gone = ServerEvent(time_s=0.0, server=9, up=False)
    with pytest.raises(SwarmplanError, match="4 servers"):
        simulate(tiny, placement, router, [], events=[gone])


def test_no_requests_give_an_empty_table(tiny: Problem) -> None:
    cost = CostModel.of(tiny)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)], cache_bytes=[0] * 4)
    result = simulate(tiny, placement, WsRr(cost, placement), [])
    assert result.end_s == 0.0
    assert list(result.rows()) == []
