"""What ``swarm watch`` reads from and publishes to."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..core.errors import ScenarioError
from ..core.plan import Plan
from ..scenarios.checkpoint import model_figures
from ..scenarios.scenario import Scenario
from .inspecting import Wanted, checked_options, inspect_swarm
from .watch import Publish, Read


def reader(wanted: Wanted) -> Read:
    """Reads the swarm or its monitor anew every time.

    Raises
    ------
    ScenarioError
        For options with which no read could ever succeed.
    """
    checked_options(wanted)
    return partial(inspect_swarm, wanted)


def signer(wanted: Wanted, key: Path | None, valid_s: float) -> Publish:
    """Publishes with the operator's key.

    Raises
    ------
    ScenarioError
        Without a key or without peers to give the plan to.
    """
    if key is None:
        raise ScenarioError.single("--key", "is needed to publish")
    if not wanted.initial_peers:
        raise ScenarioError.single("--initial-peers", "are needed to publish")
    from .needs import prepare

    prepare("table")
    from .publishing import publish

    prefix = model_figures(wanted.model, wanted.prefix).prefix

    def store(plan: Plan, scenario: Scenario) -> tuple[int, float]:
        done = publish(
            plan,
            scenario,
            key=key,
            prefix=prefix,
            initial_peers=wanted.initial_peers,
            valid_s=valid_s,
        )
        return done.version, done.expires_s

    return store
