"""Sizes of adapters against sums by hand and published figures."""

from __future__ import annotations

import pytest

from swarmplan.core.blocks import Block
from swarmplan.perfmodel.adapters import lora_bytes
from swarmplan.perfmodel.catalogue import shipped_architecture

ALL = ("q", "k", "v", "o", "gate", "up", "down")


@pytest.mark.parametrize(
    ("rank", "matrices", "megabytes"), [(16, ("q", "v"), 0.82), (16, ALL, 5.2), (64, ALL, 20.7)]
)
def test_a_block_of_llama_70b(rank: int, matrices: tuple[str, ...], megabytes: float) -> None:
    found = shipped_architecture("Llama-3.1-70B")
    assert found is not None
    (block,) = set(found.blocks) if isinstance(found.blocks, tuple) else {found.block}
    taken = lora_bytes(block, 8_192, rank, matrices)  # type: ignore[arg-type]
    assert taken / 1e6 == pytest.approx(megabytes, abs=0.05)


def test_every_matrix_counts_what_goes_in_and_out() -> None:
    # d 8, four heads of 2 (a = 8), two key heads (k = 4), inner width 20.
    block = Block(
        shared_parameters=8 * (8 + 4 + 4) + 8 * 8 + 3 * 8 * 20 + 16,
        vector_parameters=16,
        heads=4,
        cache_bytes=4 * 4,
        wide_bytes=4 * 8,
    )
    sizes = [lora_bytes(block, 8, 1, [name]) for name in ALL]  # type: ignore[list-item]
    assert sizes == [2 * n for n in (16, 12, 12, 16, 28, 28, 28)]


def test_matrices_of_no_known_shape_are_refused() -> None:
    plain = {"shared_parameters": 1_000, "heads": 4, "cache_bytes": 16, "wide_bytes": 32}
    latent = Block(**plain, expanded_bytes=64)
    with pytest.raises(ValueError, match="latent"):
        lora_bytes(latent, 8, 4, ["q"])
    experts = Block(**plain, experts=4, active=2, expert_parameters=10)
    assert lora_bytes(experts, 8, 4, ["q"]) == 2 * 4 * 16
    with pytest.raises(ValueError, match="experts"):
        lora_bytes(experts, 8, 4, ["up"])
