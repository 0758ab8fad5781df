"""What a prompt's text says about the length of its answer, in plain numpy.

Two blocks: about 45 lexical figures (counts, marks, key words) and words and word pairs hashed
into a fixed number of columns. Both are functions of the text alone: nothing is fitted here.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
import zlib
from collections.abc import Sequence

import numpy as np

from ...core.content import FloatArray

#: Columns of the hashed block.
HASHED = 2048
#: Words of a prompt that are looked at: the first and the last half of this many.
WINDOW_WORDS = 2_000

KEY_WORDS = (
    *("write", "essay", "story", "poem", "email", "letter", "list", "explain", "describe"),
    *("summarize", "summary", "translate", "code", "function", "python", "table", "step"),
    *("why", "how", "what", "who", "when", "where", "which", "compare", "example", "detail"),
    *("brief", "short", "word", "sentence", "paragraph", "classify", "correct", "give", "name"),
    *("recipe", "plan"),
)
#: Columns of the lexical block.
LEXICAL = 13 + len(KEY_WORDS)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_NUMBER = re.compile(r"\d{1,9}")
_COUNTED = re.compile(
    r"\b(\d{1,5})\s{0,3}-?\s{0,3}(?:words?|sentences?|paragraphs?|pages?|tokens?)\b"
)
_CODE = ("```", "def ", "{", "};", "import ", "SELECT ", "</", "#include", "print(")


def normalised(prompt: str) -> str:
    """The form in which two prompts count as the same: case, spacing and Unicode form aside."""
    return " ".join(unicodedata.normalize("NFKC", prompt).casefold().split())


def lexical(prompts: Sequence[str]) -> FloatArray:
    """(N, LEXICAL) lexical figures of each prompt."""
    rows = [_lexical(p) for p in prompts]
    return np.array(rows, dtype=np.float64).reshape(len(prompts), LEXICAL)


def hashed(prompts: Sequence[str], columns: int = HASHED) -> FloatArray:
    """(N, columns) signed sums of hashed words and word pairs, each row of length 1."""
    table = np.zeros((len(prompts), columns))
    for row, prompt in zip(table, prompts, strict=True):
        words = _words(prompt)
        pairs = (f"{a} {b}" for a, b in itertools.pairwise(words))
        for token in {*words, *pairs}:
            code = zlib.crc32(token.encode("utf-8", "surrogatepass"))
            row[(code >> 1) % columns] += 1.0 if code & 1 else -1.0
    size = np.sqrt((table**2).sum(axis=1, keepdims=True))
    scaled: FloatArray = table / np.maximum(size, 1.0)
    return scaled


def _words(prompt: str) -> list[str]:
    words = _WORD.findall(prompt.casefold())
    if len(words) > WINDOW_WORDS:
        half = WINDOW_WORDS // 2
        words = words[:half] + words[-half:]
    return words


def _lexical(prompt: str) -> list[float]:
    words = _words(prompt)
    known = set(words) | {w[:-1] for w in words if w.endswith("s")}
    size = max(1, len(prompt))
    numbers = [int(n) for n in _NUMBER.findall(prompt)]
    asked = [int(n) for n in _COUNTED.findall(prompt.casefold())]
    letters = sum(map(len, words))
    return [
        np.log1p(len(words)),
        np.log1p(len(prompt)),
        np.log1p(prompt.count("\n")),
        float(prompt.count("?") > 0),
        np.log1p(prompt.count("?")),
        float(prompt.rstrip().endswith(("?", "."))),
        sum(c.isdigit() for c in prompt) / size,
        sum(c.isupper() for c in prompt) / size,
        sum(not c.isascii() for c in prompt) / size,
        float(any(mark in prompt for mark in _CODE)),
        np.log1p(min(max(numbers, default=0), 10_000)),
        np.log1p(min(max(asked, default=0), 10_000)),
        letters / max(1, len(words)),
        *(float(word in known) for word in KEY_WORDS),
    ]
