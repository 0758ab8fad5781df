"""The instance generators: files that load to equal problems, figures of the design."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from swarmplan.benchmarks.instances import (
    Instance,
    demanding_set,
    fresh_b,
    geographic,
    reference,
    relay_set,
    set_b,
    set_c,
    tight_set,
)
from swarmplan.chains.floor import lower_bound_s
from swarmplan.placement.sessions import task_of
from swarmplan.scenarios.scenario import load_scenario


@pytest.mark.parametrize(
    "instance", [reference(1, 5, 6), geographic(20, 4, 10, 3), geographic(20, 3, 7, 3, "H")]
)
def test_a_written_instance_loads_to_an_equal_problem(instance: Instance, tmp_path: Path) -> None:
    made, loaded = instance.problem, load_scenario(instance.write(tmp_path)).problem
    for name in ("client_rtt_s", "server_rtt_s"):
        assert np.array_equal(getattr(made.network, name), getattr(loaded.network, name))
    for name in ("model", "servers", "clients", "workload", "planning"):
        assert getattr(made, name) == getattr(loaded, name)
    assert task_of(made).demand == task_of(loaded).demand


def test_every_client_has_the_same_number_of_sessions() -> None:
    for instance in tight_set():
        counts = {d.sessions for d in task_of(instance.problem).demand}
        assert len(counts) == 1


def test_the_reference_instances_have_the_published_optima() -> None:
    """3 requests, seeds 0 to 4: 433.0 to 521.1 ms per token."""
    each = []
    for seed in range(5):
        task = task_of(reference(seed, 3).problem)
        each.append(lower_bound_s(task.cost, task.demand) / 3 * 1e3)
    assert min(each) == pytest.approx(433.0, abs=0.05)
    assert max(each) == pytest.approx(521.1, abs=0.05)


def test_fresh_sets_are_of_the_same_kind_as_the_published_ones() -> None:
    def shapes(found: Iterator[Instance]) -> list[str]:
        return [instance.name.rpartition("-")[0] for instance in found]

    assert shapes(fresh_b(7_000))[:20] == shapes(set_b())
    assert shapes(tight_set(7_000)) == shapes(tight_set())
    assert shapes(set_c(40, 7_000)) == shapes(set_c(40))


def test_sets_of_demands_and_of_server_relay_ask_for_them() -> None:
    asked = [i.problem.planning.constraints for i in demanding_set(7_000)][:4]
    assert [bool(c.pinned) for c in asked] == [True, True, False, False]
    assert [bool(c.forbidden) for c in asked] == [False, True, False, False]
    assert [c.copies for c in asked] == [1, 1, 2, 1]
    assert [len(c.survive) for c in asked] == [0, 0, 0, 1]
    relayed = [*relay_set(7_000)]
    assert {i.problem.network.relay for i in relayed} == {"server"}
    assert [i.problem.num_servers for i in relayed] == [4] * 4 + [14] * 8
