"""Who is reachable in a swarm: a peer that was at work is not one that is gone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from swarmplan.tests.extras import of_swarm


@pytest.fixture(scope="module")
def live_dht() -> Any:
    return of_swarm("live_dht")


def test_a_peer_that_misses_the_first_ping_is_asked_once_more(
    live_dht: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_s = live_dht.PING_LIMIT_S
    trips = {
        "near": [0.3, 0.2, 0.1],
        "busy": [limit_s, 0.5, 0.4],
        "lossy": [0.5, limit_s, 0.4],
        "gone": [limit_s] * 3,
    }
    asked: list[list[str]] = []

    def answer(_dht: object, call: partial[Any]) -> dict[str, float]:
        asked.append(call.keywords["peers"])
        return {peer: trips[peer][len(asked) - 1] for peer in asked[-1]}

    monkeypatch.setattr(live_dht, "result_of", answer)
    best = live_dht.ping(None, trips)
    assert best == {"near": 0.1, "busy": 0.4, "lossy": 0.4}
    assert asked == [[*trips], [*trips], ["near", "busy", "lossy"]]
