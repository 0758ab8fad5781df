"""Server events."""

from dataclasses import replace

from swarmplan.core.events import ServerEvent
from swarmplan.core.problem import Problem
from swarmplan.methods.routers import router_named
from swarmplan.perfmodel.cost import CostModel
from swarmplan.perfmodel.reload import RESTART_S
from swarmplan.simulator.engine import simulate
from swarmplan.simulator.events import joining_servers, up_s, when_loaded
from swarmplan.workload.draw import draw_requests


def test_a_server_joins_when_its_first_event_is_up() -> None:
    events = [
        ServerEvent(time_s=5.0, server=1, up=True),
        ServerEvent(time_s=9.0, server=2, up=True),
        ServerEvent(time_s=2.0, server=2, up=False),
    ]
    assert joining_servers(events) == {1}


def test_a_server_is_in_service_between_its_events() -> None:
    events = [
        ServerEvent(time_s=40.0, server=1, up=True),
        ServerEvent(time_s=10.0, server=1, up=False),
        ServerEvent(time_s=10.0, server=1, up=False),
        ServerEvent(time_s=70.0, server=2, up=True),
        ServerEvent(time_s=200.0, server=3, up=False),
        ServerEvent(time_s=200.0, server=4, up=True),
    ]
    up = up_s(events, joining_servers(events), 5, 100.0)
    assert up.tolist() == [100.0, 70.0, 30.0, 100.0, 0.0]


def test_who_comes_cold_serves_when_it_has_loaded(tiny: Problem) -> None:
    servers = tuple(
        replace(s, download_bytes_per_s=100.0, disk_bytes_per_s=1_000.0) for s in tiny.servers
    )
    problem = replace(tiny, servers=servers)
    placement = CostModel.of(problem).placed([(0, 3), (3, 6), (0, 3), (0, 0)])
    events = [
        ServerEvent(time_s=5.0, server=0, up=True, cold="download"),
        ServerEvent(time_s=6.0, server=1, up=True, cold="disk"),
        ServerEvent(time_s=7.0, server=3, up=True, cold="disk"),
        ServerEvent(time_s=8.0, server=2, up=True, cold="download"),
        ServerEvent(time_s=20.0, server=2, up=False),
        ServerEvent(time_s=21.0, server=2, up=True),
    ]
    found = when_loaded(events, problem, placement)
    came = {(e.server, e.up): e.time_s for e in found}
    assert came[0, True] == 5.0 + RESTART_S + 30.0
    assert came[1, True] == 6.0 + RESTART_S + 3.0
    assert came[3, True] == 7.0
    assert [e.time_s for e in found if e.server == 2] == [20.0, 21.0]


def test_a_simulation_waits_for_who_comes_cold(tiny: Problem) -> None:
    servers = tuple(
        replace(s, download_bytes_per_s=100.0, memory_bytes=10**6) for s in tiny.servers
    )
    problem = replace(tiny, servers=servers)
    cost = CostModel.of(problem)
    placement = cost.placed([(0, 6), (0, 0), (0, 0), (0, 0)])
    requests = draw_requests(problem, 0, num_requests=5)
    first = {}
    for cold in (None, "download"):
        event = ServerEvent(time_s=0.0, server=0, up=True, cold=cold)
        made = router_named("ws-rr")(cost, placement)
        run = simulate(problem, placement, made, requests, events=[event])
        first[cold] = run.start_s.min()
    assert first["download"] >= RESTART_S + 60.0 > first[None]
