"""Server events."""

from swarmplan.simulator.events import ServerEvent, joining_servers


def test_a_server_joins_when_its_first_event_is_up() -> None:
    events = [
        ServerEvent(time_s=5.0, server=1, up=True),
        ServerEvent(time_s=9.0, server=2, up=True),
        ServerEvent(time_s=2.0, server=2, up=False),
    ]
    assert joining_servers(events) == {1}
