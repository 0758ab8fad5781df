"""Server events."""

from swarmplan.simulator.events import ServerEvent, joining_servers, up_s


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
    assert up_s(events, 5, 100.0).tolist() == [100.0, 70.0, 30.0, 100.0, 0.0]
