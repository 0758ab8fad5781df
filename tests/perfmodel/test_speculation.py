"""Speculation in closed form: golden rows, brute force, the properties of best k, the traps."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.content import FloatArray
from swarmplan.core.drafting import MOST_DRAFTS
from swarmplan.core.names import Semantics
from swarmplan.perfmodel.speculation import (
    best_drafts,
    law,
    passes_needed,
    positions,
    stream_s,
    survival,
    tokens_per_pass,
    two_deep_s,
)

MOST = MOST_DRAFTS
SEMANTICS: tuple[Semantics, ...] = ("standard", "petals")


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, list[dict[str, Any]]]:
    content: dict[str, list[dict[str, Any]]] = json.loads(
        (shared_data / "golden" / "speculation.json").read_text()
    )
    return content


def alive(accept: float | list[float]) -> FloatArray:
    """Survival of a scalar acceptance, or of a vector."""
    return survival(accept if isinstance(accept, list) else [accept], MOST + 1)


def curve(accept: float, semantics: Semantics = "standard") -> list[float]:
    """Tokens of passes with 0 .. 64 drafts."""
    return [tokens_per_pass(alive(accept), k, semantics) for k in range(MOST + 1)]


def test_tokens_of_a_pass_are_the_golden_ones(golden: dict[str, Any]) -> None:
    for row in golden["expected_tokens"]:
        found = tokens_per_pass(alive(row["accept"]), row["k"], row["mode"])
        assert found == pytest.approx(row["tokens"], abs=1e-9)
        assert found == pytest.approx(row["monte_carlo_40000"], rel=0.02)


def test_passes_of_an_answer_are_the_golden_ones(golden: dict[str, Any]) -> None:
    for row in golden["passes"]:
        chances = law(alive(row["accept"]), row["k"])
        found = passes_needed(chances, row["tokens"])[-1]
        assert found == pytest.approx(row["passes"], abs=1e-9)
        assert row["tokens"] / tokens_per_pass(alive(row["accept"]), row["k"]) == pytest.approx(
            row["naive"], abs=1e-9
        )


#: Of the two chains: what a draft takes, and a position more on the chain, recovered from k = 10.
DRAFT_S = 0.02


def test_best_k_and_gains_are_the_golden_ones(golden: dict[str, Any]) -> None:
    for row in golden["best_k"]:
        base, alpha = row["base_s"], row["alpha"]
        standard, petals = curve(alpha), curve(alpha, "petals")
        more = (base * standard[10] / row["standard10"] - base) / 10 - DRAFT_S
        plain = [base + k * DRAFT_S + (positions(k) - 1) * more for k in range(MOST + 1)]
        own = [base + k * DRAFT_S + (positions(k, "petals") - 1) * more for k in range(MOST + 1)]
        k = best_drafts(plain, standard)
        assert k == row["best_k"]
        assert base / (plain[k] / standard[k]) == pytest.approx(row["gain_best"], abs=1e-9)
        assert best_drafts(own, petals) == row["petals_best_k"]
        assert base / (own[10] / petals[10]) == pytest.approx(row["petals10"], abs=1e-9)


def test_drafting_while_verifying_takes_what_the_golden_rows_say(golden: dict[str, Any]) -> None:
    for row in golden["overlap"]:
        verify_s, draft_s = row["V_s"], row["draft_s"]
        s, tokens = alive(row["alpha"]), curve(row["alpha"])
        serial = [verify_s + k * draft_s for k in range(MOST + 1)]
        k = best_drafts(serial, tokens)
        assert (k, serial[k] / tokens[k]) == (
            row["serial_best_k"],
            pytest.approx(row["serial_s"], abs=1e-9),
        )
        ahead = [two_deep_s(s, k, verify_s, draft_s) for k in range(MOST + 1)]
        assert int(np.argmin(ahead)) == row["overlapped_k"]
        assert min(ahead) == pytest.approx(row["overlapped_s"], abs=1e-9)
        endless = stream_s(row["alpha"], verify_s, draft_s)
        assert endless == pytest.approx(row["async_s"], abs=1e-9)
        assert endless == pytest.approx(row["async_mc"], rel=0.015)


vectors = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(vectors, st.integers(0, 8), st.sampled_from(SEMANTICS))
def test_the_law_is_that_of_all_patterns_of_right_and_wrong_drafts(
    accept: list[float], drafts: int, semantics: Semantics
) -> None:
    s = survival(accept)
    expected = np.zeros(drafts + 2)
    for pattern in itertools.product((True, False), repeat=drafts):
        each = [accept[min(i, len(accept) - 1)] for i in range(drafts)]
        chance = np.prod([a if right else 1 - a for a, right in zip(each, pattern, strict=True)])
        first = next((i for i, right in enumerate(pattern) if not right), drafts)
        kept = first + 1 if semantics == "standard" else max(1, first)
        expected[kept] += chance
    found = law(s, drafts, semantics)
    assert found == pytest.approx(expected, abs=1e-12)
    assert found.sum() == pytest.approx(1.0)
    mean = float(np.arange(drafts + 2) @ found)
    assert tokens_per_pass(s, drafts, semantics) == pytest.approx(mean)


@given(vectors, st.integers(1, 40))
def test_an_answer_takes_more_passes_than_its_tokens_over_those_of_a_pass(
    accept: list[float], tokens: int
) -> None:
    s, drafts = survival(accept), len(accept)
    needed = passes_needed(law(s, drafts), tokens)
    mean = tokens_per_pass(s, drafts)
    assert (np.diff(needed) >= -1e-12).all()
    assert tokens / mean - 1e-9 <= needed[-1] <= (tokens + drafts) / mean + 1e-9
    assert passes_needed(law(s, 0), tokens)[-1] == pytest.approx(tokens)


#: Draft time, the way, and the work of so many positions.
Pass = tuple[float, float, FloatArray]


def some_pass(rng: np.random.Generator) -> Pass:
    """Draft time, what a pass takes without work, and the work of 1 .. 65 positions, in steps."""
    rises = 1 + rng.uniform(0, 0.5, 65) * (rng.random(65) < 0.2)
    work = np.asarray(rng.uniform(0.001, 0.5) * np.cumprod(rises), dtype=np.float64)
    return float(rng.uniform(0, 0.06)), float(rng.uniform(0, 1)), work


def best(draft_s: float, idle_s: float, work: FloatArray, alpha: float) -> int:
    return best_drafts([k * draft_s + idle_s + work[k] for k in range(MOST + 1)], curve(alpha))


@given(st.integers(0, 2**32 - 1))
def test_best_k_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draft_s, idle_s, work = some_pass(rng)
    alpha = float(rng.uniform(0, 0.99))
    each = [(k * draft_s + idle_s + work[k]) / e for k, e in enumerate(curve(alpha))]
    assert each[best(draft_s, idle_s, work, alpha)] == min(each)


@given(st.integers(0, 2**32 - 1))
def test_best_k_rises_with_the_way_and_with_acceptance_and_falls_with_the_draft_time(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    draft_s, idle_s, work = some_pass(rng)
    alpha = float(rng.uniform(0.05, 0.95))
    k = best(draft_s, idle_s, work, alpha)
    assert best(draft_s, idle_s + float(rng.uniform(0, 1)), work, alpha) >= k
    assert best(draft_s, idle_s, work, min(0.98, alpha + float(rng.uniform(0, 0.3)))) >= k
    assert best(draft_s + float(rng.uniform(0, 0.05)), idle_s, work, alpha) <= k


def test_drafts_that_are_never_right_are_not_made() -> None:
    assert best(0.0, 1.0, np.full(65, 0.1), 0.0) == 0


def test_petals_class_loses_the_token_of_the_target_but_where_no_draft_was_right() -> None:
    s = survival([0.7])
    lost = tokens_per_pass(s, 10) - tokens_per_pass(s, 10, "petals")
    assert lost == pytest.approx(0.7)  # whenever some draft was right
    assert (positions(10), positions(10, "petals"), positions(0, "petals")) == (11, 10, 1)


def test_a_scalar_fitted_to_the_first_draft_promises_too_much_where_acceptance_falls() -> None:
    measured = [0.86, 0.84, 0.82, 0.80, 0.78, 0.77, 0.76, 0.75]
    whole = tokens_per_pass(survival(measured), 8)
    assert tokens_per_pass(survival([0.86]), 8) > 1.1 * whole
