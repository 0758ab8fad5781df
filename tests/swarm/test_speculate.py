"""Drafted generations are those of the model alone: real models of this process, no swarm."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.swarm.drafting import LiveDrafts
from swarmplan.tests.extras import needs

if TYPE_CHECKING:
    from .local_target import LocalTarget

PROMPTS = ([3, 1, 4, 1, 5], [7], [2, 7, 1, 8, 2, 8, 1, 8])


@pytest.fixture(autouse=True)
def live_side() -> None:
    """Needs torch and transformers."""
    needs("swarm")


def pair(drafts: int, *, share: float = 0.4, **size: Any) -> tuple[LocalTarget, LocalTarget, Any]:
    """A target alone, the same with drafts, and its drafting."""
    from swarmplan.swarm.speculate import Speculation

    from .local_target import disturbed, tiny

    alone, drafted = tiny(**size), tiny(**size)
    passes: list[Any] = []
    made = Speculation(
        drafted, disturbed(alone, share), LiveDrafts(wanted=drafts), on_pass=passes.append
    )
    made.passes = passes  # type: ignore[attr-defined]
    return alone, drafted, made


@pytest.mark.parametrize("drafts", [0, 1, 3, 8])
def test_greedy_tokens_are_those_of_the_model_alone(drafts: int) -> None:
    alone, drafted, made = pair(drafts)
    for prompt in PROMPTS:
        assert drafted.answer(prompt, 40) == alone.answer(prompt, 40)
    report = made.report()
    assert report.tokens == 3 * 39
    assert (report.right > 0) == (drafts > 0)
    assert report.tokens == report.right + report.passes
    assert sum(len(p.tokens) for p in made.passes) == 3 * 40


def test_drafts_save_steps_and_never_go_past_what_is_reserved() -> None:
    alone, drafted, _ = pair(6, share=0.1)
    alone.answer(PROMPTS[0], 40)
    drafted.answer(PROMPTS[0], 40)
    assert drafted.active_session.steps < alone.active_session.steps / 2
    assert drafted.active_session.longest <= 44
    # The last token is not sent, as without drafts: the next answer of the session begins with it.
    assert drafted.active_session.position == alone.active_session.position == 44


@pytest.mark.parametrize(
    "options",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 2},
        {"min_new_tokens": 9, "eos_token_id": 17, "pad_token_id": 0},
        {"bad_words_ids": [[5], [9, 30]]},
    ],
)
def test_what_processors_make_of_the_scores_counts_for_drafted_tokens_too(
    options: dict[str, Any],
) -> None:
    alone, drafted, _ = pair(4)
    for prompt in PROMPTS:
        assert drafted.answer(prompt, 30, **options) == alone.answer(prompt, 30, **options)


def test_an_answer_ends_at_its_end_of_text_inside_accepted_drafts() -> None:
    """Every token of an answer once is what ends it."""
    alone, drafted, _ = pair(8, share=0.1)
    whole = alone.answer(PROMPTS[0], 24)
    for end in dict.fromkeys(whole):
        options = {"eos_token_id": [end, 999], "pad_token_id": 0}
        wanted = alone.answer(PROMPTS[0], 24, **options)
        assert wanted == whole[: whole.index(end) + 1]
        assert drafted.answer(PROMPTS[0], 24, **options) == wanted
        assert drafted.active_session.position == alone.active_session.position


@pytest.mark.parametrize("end", [None, 1])
def test_a_second_answer_goes_on_in_the_same_session(end: int | None) -> None:
    from .local_target import LocalSession

    alone, drafted, made = pair(5)
    for model in (alone, drafted):
        model.active_session = LocalSession(100)
    options: dict[str, Any] = {}
    for prompt in PROMPTS[:2]:
        wanted = alone.go_on(prompt, 20, **options)
        assert drafted.go_on(prompt, 20, **options) == wanted
        assert drafted.active_session.position == alone.active_session.position
        if end is not None:  # the next answer ends early, among its drafts
            options = {"eos_token_id": wanted[7], "pad_token_id": 0}
    assert made.report().right > 0


def test_a_session_that_was_stepped_by_hand_is_left_to_petals_own_loop() -> None:
    from swarmplan.swarm.speculate import _can_draft

    from .local_target import LocalSession

    _, drafted, made = pair(5)
    drafted.active_session = LocalSession(100)
    drafted.active_session.position = 3
    asked = {"stopping_criteria": type("Criteria", (), {"max_length": 50})()}
    assert not _can_draft(drafted, [[1, 2, 3, 4]], asked)
    drafted.active_session.position = 0
    assert _can_draft(drafted, [[1, 2, 3, 4]], asked)
    assert not _can_draft(drafted, [[1], [2]], asked)
    drafted.config.tuning_mode = "ptune"
    assert not _can_draft(drafted, [[1, 2, 3, 4]], asked)
    assert not made.passes


def test_a_streamer_gets_every_token_once_and_the_end() -> None:
    _, drafted, _ = pair(4)
    heard: list[Any] = []

    class Ear:
        def put(self, value: Any) -> None:
            heard.extend(value.reshape(-1).tolist())

        def end(self) -> None:
            heard.append("end")

    tokens = drafted.answer(PROMPTS[0], 20, streamer=Ear())
    assert heard == [*PROMPTS[0], *tokens, "end"]


def test_what_needs_the_own_loop_of_transformers_goes_there() -> None:
    alone, drafted, made = pair(4)
    options = {"output_scores": True}
    assert drafted.answer(PROMPTS[0], 10, **options) == alone.answer(PROMPTS[0], 10, **options)
    assert not made.passes


def test_drawn_tokens_have_the_distribution_of_the_model_alone() -> None:
    """Three tokens of four, 400 times, against exact probabilities; chi-square."""
    import torch

    alone, drafted, made = pair(2, share=1.0, vocabulary=4)
    options = {"do_sample": True, "temperature": 1.4, "top_k": 3}
    torch.manual_seed(3)
    times = 400
    count = dict.fromkeys(itertools.product(range(4), repeat=3), 0)
    for _ in range(times):
        count[tuple(drafted.answer([1, 2], 3, **options))] += 1
    exact = {tokens: exactly(alone, [1, 2], tokens, temperature=1.4, top_k=3) for tokens in count}
    assert sum(exact.values()) == pytest.approx(1.0)
    assert all(count[t] == 0 for t, p in exact.items() if p == 0)
    often = [t for t, p in exact.items() if p * times >= 5]
    rest = [times - sum(count[t] for t in often), times * (1 - sum(exact[t] for t in often))]
    square = sum((count[t] - times * exact[t]) ** 2 / (times * exact[t]) for t in often)
    square += (rest[0] - rest[1]) ** 2 / max(rest[1], 1.0)
    # Mean of the distribution and five times its spread.
    assert square < len(often) + 5 * np.sqrt(2 * len(often))
    report = made.report()
    assert 0.1 < report.right / report.drafted < 0.95


def exactly(
    model: LocalTarget,
    prompt: list[int],
    tokens: tuple[int, ...],
    *,
    temperature: float,
    top_k: int,
) -> float:
    """The probability of an answer, from the model's own logits."""
    import torch

    from .local_target import LocalSession

    model.active_session = LocalSession(100)
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *tokens]])).logits[0].double() / temperature
    found = 1.0
    for i, token in enumerate(tokens):
        row = logits[len(prompt) - 1 + i]
        least = row.topk(top_k).values[-1]
        weights = torch.where(row >= least, row, -torch.inf).softmax(-1)
        found *= float(weights[token])
    return found


def test_the_draft_model_reads_only_what_is_new_and_drops_what_was_wrong() -> None:
    import torch

    from swarmplan.swarm.draft_model import Guesser

    from .local_target import disturbed, tiny

    model = disturbed(tiny(), 0.0)
    guesser = Guesser(model)
    read: list[int] = []
    forward = model.forward

    def reading(ids: Any, **given: Any) -> Any:
        read.append(ids.shape[1])
        return forward(ids, **given)

    model.forward = reading

    def guess(text: list[int], drafts: int) -> list[int]:
        found, _ = guesser.guess(
            torch.tensor([text]), drafts, lambda _text, logits: logits, draws=False
        )
        fresh, _ = Guesser(model).guess(
            torch.tensor([text]), drafts, lambda _text, logits: logits, draws=False
        )
        assert found == fresh
        return found

    with torch.no_grad():
        text = [3, 1, 4, 1, 5]
        first = guess(text, 3)
        # All right and a token more: the last draft and that token are new to the cache.
        longer = [*text, *first, 9]
        del read[:]
        guess(longer, 1)
        assert read == [2, len(longer)]
        # The first one wrong: everything behind it goes.
        del read[:]
        guess([*text, (first[0] + 1) % 256], 1)
        assert read == [1, 6]
        # Another text altogether.
        guess([8, 8], 2)


@pytest.mark.parametrize(
    ("draft", "why"),
    [("nowhere", "cannot load 'nowhere'"), ("other", "it has 128 tokens, the target 256")],
)
def test_a_draft_model_that_cannot_draft_is_refused_in_one_message(
    draft: str, why: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swarmplan.swarm.draft_model import load_draft

    from .local_target import tiny

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    tiny(128).save_pretrained(tmp_path / "other")
    with pytest.raises(ScenarioError, match=why):
        load_draft(draft, tiny())
