"""The insertion under server relay against every chain there is."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.chains.floor import cheapest_chains_s
from swarmplan.placement.search.insert import Ask, most_blocks
from swarmplan.placement.search.relay import cheapest_chain_relayed
from swarmplan.placement.search.state import Instance, State, Visit
from swarmplan.placement.sessions import task_of
from swarmplan.tests.conftest import random_problem


class Nobody:
    """Draws of which none leaves a server out."""

    def random(self, count: int) -> object:
        return np.ones(count)


def chains(most: list[int], length: int) -> Iterator[tuple[Visit, ...]]:
    """Every chain of servers not in use."""

    def on(at: int, passed: frozenset[int]) -> Iterator[tuple[Visit, ...]]:
        if at == length:
            yield ()
        for j in range(len(most)):
            if j not in passed:
                for stop in range(at + 1, min(at + most[j], length) + 1):
                    yield from (((j, at, stop), *rest) for rest in on(stop, passed | {j}))

    return on(0, frozenset())


@given(seed=st.integers(0, 2**32 - 1))
def test_a_chain_is_found_and_no_server_alone_is_cheaper(seed: int) -> None:
    problem = random_problem(np.random.default_rng(seed), servers=4, length=4, relay="server")
    task = task_of(problem)
    instance = Instance.of(task.cost, task.demand, cheapest_chains_s(task.cost, task.demand))
    state, ask = State(instance), Ask(0, 1, 1, 4)
    every = list(chains(most_blocks(state, ask).tolist(), instance.length))
    found = cheapest_chain_relayed(state, ask, Nobody())  # type: ignore[arg-type]
    if not every:
        assert found is None
        return
    assert found in every
    short = [instance.chain_s(0, chain) for chain in every if len(chain) == 1]
    assert instance.chain_s(0, found) <= min(short, default=np.inf)
