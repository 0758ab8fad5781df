"""One loopback swarm for all live tests of a run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.tests.extras import needs

LIMIT_S = 240
BLOCKS = 8


class OutOfTime(BaseException):
    """A live test ran past its limit; a BaseException so that clean-up runs and nothing eats it."""


@pytest.fixture(autouse=True)
def time_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every live test is bounded; ``live(limit_s=...)`` gives one more time."""
    live = request.node.get_closest_marker("live")
    if live is None:
        yield
        return
    limit_s = live.kwargs.get("limit_s", LIMIT_S)

    def expire(*_args: Any) -> None:
        raise OutOfTime(f"{request.node.name} took more than {limit_s} s")

    os.register_at_fork(after_in_child=lambda: signal.alarm(0))
    signal.signal(signal.SIGALRM, expire)
    signal.alarm(limit_s)
    yield
    signal.alarm(0)


@pytest.fixture(scope="session", autouse=True)
def event_loop_of_the_thread() -> Iterator[None]:
    """Hivemind's futures make one for the thread that makes them, and nobody closes it: once
    ``asyncio.run`` has dropped it, it is complained of in whatever test runs when it is collected.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of eight blocks."""
    needs("swarm")
    from swarmplan.swarm.tiny_model import save_tiny_llama

    return save_tiny_llama(tmp_path_factory.mktemp("model"), blocks=BLOCKS)


@pytest.fixture(scope="session")
def three_servers(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LoopbackSwarm]:
    """Three plain PETALS servers: A 0:4, B 3:8, C 4:8."""
    folder = tmp_path_factory.mktemp("three")
    with LoopbackSwarm(folder=folder, model=tiny_model) as swarm:
        swarm.start_servers(
            [
                ServerSpec(name="A", blocks=(0, 4)),
                ServerSpec(name="B", blocks=(3, 8)),
                ServerSpec(name="C", blocks=(4, 8)),
            ]
        )
        yield swarm
