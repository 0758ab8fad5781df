from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.core.coded import Coded, figures, where

CODES = st.lists(st.integers(0, 2), max_size=12)
WORDS = ("a", "", "b")


@given(CODES)
def test_a_coded_column_is_the_sequence_of_its_items(codes: list[int]) -> None:
    plain = tuple(WORDS[c] for c in codes)
    coded = Coded(WORDS, np.array(codes, dtype=np.int8))
    assert coded == plain
    assert coded == list(plain)
    assert hash(coded) == hash(plain)
    assert (len(coded), list(coded)) == (len(plain), list(plain))
    assert coded[1:3] == plain[1:3]
    assert [coded[i] for i in range(len(plain))] == list(plain)
    assert coded != (*plain, "a")
    assert pickle.loads(pickle.dumps(coded)) == plain
    for column in (coded, plain):
        assert where(column, "a").tolist() == [item == "a" for item in plain]
        assert where(column, "a", "b").tolist() == [item in ("a", "b") for item in plain]
        assert figures(column, len).tolist() == [len(item) for item in plain]


def test_a_coded_column_cannot_be_changed_and_is_no_text() -> None:
    code = np.zeros(2, dtype=np.int8)
    assert Coded(("a",), code) != "aa"
    assert not code.flags.writeable
