"""Arenas whose servers hold some of the blocks: every client greets every server once."""

from __future__ import annotations

import pytest

from swarmplan.swarm.contend import Station, greetings

BLOCKS = 8


def stations(**spans: tuple[int, int] | int | None) -> list[Station]:
    return [Station(name=name, rtt_s=0.02, span=span) for name, span in spans.items()]


def test_one_chain_greets_servers_that_hold_everything() -> None:
    (chain,) = greetings(stations(A=None, B=None, C=None), BLOCKS)
    assert [name for name, _, _ in chain] == ["A", "B", "C"]
    assert (chain[0][1], chain[-1][2]) == (0, BLOCKS)


@pytest.mark.parametrize(
    "spans",
    [
        {"A": (0, 4), "B": (4, 8), "C": (0, 8)},
        {"A": (0, 3), "B": (3, 6), "C": (6, 8)},
        {"A": (0, 5), "B": (3, 8), "C": (2, 6)},
        {"A": (0, 8), "B": None, "C": (0, 8)},
    ],
)
def test_every_server_is_greeted_on_its_whole_span_by_a_chain_that_exists(
    spans: dict[str, tuple[int, int] | None],
) -> None:
    held = {name: span or (0, BLOCKS) for name, span in spans.items()}
    chains = greetings(stations(**spans), BLOCKS)
    greeted = {hop for chain in chains for hop in chain}
    assert {(name, *span) for name, span in held.items()} <= greeted
    for chain in chains:
        ends = [0, *(end for _, _, end in chain)]
        assert [start for _, start, _ in chain] == ends[:-1]
        assert ends[-1] == BLOCKS
        assert all(held[s][0] <= a < b <= held[s][1] for s, a, b in chain)


def test_nobody_greets_a_server_whose_blocks_petals_has_not_chosen_yet() -> None:
    with pytest.raises(TypeError, match="not chosen the blocks of B"):
        greetings(stations(A=(0, 8), B=5), BLOCKS)
