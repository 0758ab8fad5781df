"""What a live client learns of its answers' lengths, and what it expects of the next."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.core.errors import CalibrationError
from swarmplan.perfmodel.length.online import OnlineQuantiles
from swarmplan.perfmodel.length.online_files import read_online
from swarmplan.swarm.answers import AnswerLengths, Tally, counted


def test_steps_of_one_token_are_an_answer_and_longer_ones_a_prompt() -> None:
    tally = Tally()
    for tokens in (5, 1, 1, 1, 12, 1):
        tally.step(tokens)
    assert tally.answers == (4, 2)
    assert Tally().answers == ()
    single = Tally()
    for _ in range(3):
        single.step(1)
    assert single.answers == (3,)


def test_of_a_drafted_pass_what_was_kept_counts() -> None:
    tally = Tally()
    tally.step(5)
    for drafts, kept in ((4, 2), (0, 0), (3, 3)):
        tally.drafts = drafts
        tally.step(1 + drafts)
        tally.gained(kept)
    assert list(tally.answers) == [1 + 3 + 1 + 4]
    # The next step tells of drafts of its own.
    tally.step(2)
    assert list(tally.answers) == [9, 1]


def test_only_steps_that_went_through_are_counted() -> None:
    tally, broken = Tally(), True

    def step(inputs: Any, *, more: int = 0) -> Any:
        if broken:
            raise OSError("no such peer")
        return inputs.sum() + more

    stepping = counted(step, tally)
    with pytest.raises(OSError, match="no such peer"):
        stepping(np.ones((1, 7, 2)))
    assert not tally.answers
    broken = False
    assert stepping(np.ones((1, 7, 2)), more=3) == 17
    stepping(np.ones((1, 1, 2)))
    assert tally.answers == (2,)


def test_before_any_answer_all_that_is_allowed_is_expected_and_reserved() -> None:
    lengths = AnswerLengths("m", OnlineQuantiles())
    assert lengths.expected(500) is None
    assert lengths.reserved(500, 0.95) == 500
    lengths.finished(())
    assert lengths.expected(500) is None


def test_answers_are_expected_and_reserved_as_they_were_seen() -> None:
    online = OnlineQuantiles()
    lengths = AnswerLengths("m", online)
    rng = np.random.default_rng(0)
    for _ in range(200):
        lengths.finished((int(rng.integers(50, 151)),))
    expected = lengths.expected(10_000)
    assert expected == pytest.approx(100, abs=8)
    assert lengths.reserved(10_000, 0.95) == pytest.approx(146, abs=6)
    assert lengths.reserved(10_000, 0.5) < lengths.reserved(10_000, 0.95)
    assert lengths.expected(30) == 30
    assert lengths.reserved(30, 0.95) == 30
    assert online.count("m") == 200


def test_a_file_is_begun_kept_up_to_date_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "lengths"
    first = AnswerLengths("m", path)
    assert not path.exists()
    for tokens in (80, 90, 100):
        first.finished((tokens, tokens + 1))
    assert read_online(path).count("m") == 6
    second = AnswerLengths("m", str(path))
    assert second.expected(500) == first.expected(500)
    second.finished((85,))
    assert read_online(path).count("m") == 7


def test_a_damaged_file_is_refused_at_the_start_and_a_full_disk_ends_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "lengths"
    path.write_bytes(b"nonsense")
    with pytest.raises(CalibrationError, match="is no file that swarmplan length wrote"):
        AnswerLengths("m", path)
    lengths = AnswerLengths("m", tmp_path / "no folder" / "lengths")
    with caplog.at_level(logging.WARNING):
        lengths.finished((80,))
    assert "not kept" in caplog.text
    assert lengths.expected(500) is not None
