"""How well output lengths are predicted on AlpacaEval's matrix, and what training and use cost.

Prompts and lengths lie in ../shared/data (805 instructions, 226 models; the model whose answer is
always the same is dropped). Splits are by prompt: 644 to learn from, 161 to judge on, for all
models alike. The shipped predictors and the prior that training starts from have seen none of
these prompts. With ``--no-prior`` nothing but the matrix is used; so ask with ``--layers`` or
``--window``, as the shipped predictor and the prior are those of the encoder as it is read.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from swarmplan.core.content import IntArray
from swarmplan.perfmodel.length.dataset import Observations, gather
from swarmplan.perfmodel.length.distribution import LEVELS, safe_quantiles
from swarmplan.perfmodel.length.evaluate import NOTES, Row, evaluate, unseen
from swarmplan.perfmodel.length.online import OnlineQuantiles
from swarmplan.perfmodel.length.predictor import (
    KINDS,
    default_reader,
    encoder_available,
    load,
    shipped,
    shipped_line,
    train,
)
from swarmplan.perfmodel.length.reading import read_observations

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "lengths"
CONSTANT_MODEL = "NullModel"
FIGURES = (
    ("MAE / constant", "mae_ratio", 3),
    ("tau", "tau", 3),
    ("models with tau >= 0.30", "tau_share", 3),
    ("pairs in order", "pairwise", 3),
    ("q95 overflow", "overflow_95", 4),
    ("q95 tokens", "reserved_tokens", 0),
    ("q95 / constant q95", "reserved_ratio", 3),
)
#: Goal: figure, least, most.
GOALS = (("mae_ratio", 0.0, 0.85), ("tau_share", 0.85, 1.0), ("overflow_95", 0.03, 0.07))
TIMED = 100
#: Times that a batch is predicted; the best counts.
BATCHES = 8
#: Streams of lengths, and the request at which theirs change.
STREAMS, CHANGE = 5, 1_500
Q95 = LEVELS.index(0.95)
T = TypeVar("T")


def alpaca_eval() -> Observations:
    """Every (instruction, model, word pieces of the answer) of the matrix."""
    with gzip.open(DATA / "alpaca_eval_prompts.json.gz", "rt", encoding="utf-8") as file:
        prompts: list[str] = json.load(file)
    return gather(_cells(prompts))


def _cells(prompts: list[str]) -> Iterator[tuple[str, str, int]]:
    with gzip.open(DATA / "alpaca_eval_lengths.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            prompt = prompts[int(row.pop("prompt_index"))]
            for model, tokens in row.items():
                if tokens and model != CONSTANT_MODEL:
                    yield prompt, model, int(tokens)


def main() -> None:
    """Print the table, the verdict on the goals, or the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-prior", action="store_true")
    parser.add_argument("--no-encoder", action="store_true")
    parser.add_argument("--layers", type=int, help="layers of the encoder that are run")
    parser.add_argument("--window", type=int, help="word pieces of a prompt that are read")
    parser.add_argument("--times", action="store_true", help="measure times instead")
    parser.add_argument("--drift", action="store_true", help="lengths that change at once instead")
    parser.add_argument("--few", action="store_true", help="15 new models, 30 answers of each")
    parser.add_argument("--draws", type=int, default=20, help="of models and answers, with --few")
    parser.add_argument("--observations", type=Path, help="another set for --few (docs/length.md)")
    chosen = parser.parse_args()
    if chosen.few:
        few_answers(chosen)
        return
    if chosen.drift:
        drift(chosen.seed)
        return
    if chosen.times:
        times()
        return
    reader = None
    if encoder_available() and not chosen.no_encoder:
        from swarmplan.perfmodel.length.encoder import WINDOW, Encoder

        reader = Encoder(layers=chosen.layers, window=chosen.window or WINDOW)
    known = shipped(reader)
    given = unseen(alpaca_eval(), known)
    begin = time.perf_counter()
    rows = evaluate(
        given,
        reader=reader,
        shipped=None if chosen.no_prior else known,
        priors=(None, None)
        if chosen.no_prior
        else (shipped_line("lexical"), shipped_line("las", reader)),
        splits=chosen.splits,
        seed=chosen.seed,
    )
    print(
        f"{len(given.prompts)} prompts, {len(given.models)} models, {len(given)} answers; "
        f"{chosen.splits} splits by prompt, seed {chosen.seed}, "
        f"{'no prior' if chosen.no_prior else 'shipped prior'}; "
        f"mean ± standard deviation over splits; {time.perf_counter() - begin:.0f} s"
    )
    table(rows)


def few_answers(chosen: argparse.Namespace) -> None:
    """Models that nobody has seen: ``few_answers.few`` on AlpacaEval or on another set."""
    from few_answers import few, pooled

    predictors = {"shipped, words": shipped()}
    if encoder_available() and not chosen.no_encoder:
        predictors["shipped, encoder"] = shipped(default_reader())
    whole = read_observations(chosen.observations) if chosen.observations else alpaca_eval()
    given = unseen(whole, next(iter(predictors.values())))
    print(f"{len(given.prompts)} prompts, {len(given.models)} models, {len(given)} answers")
    few(given, predictors, chosen.draws, chosen.seed)
    if not chosen.observations:
        pooled(lmsys(), chosen.draws, chosen.seed)


def lmsys() -> IntArray:
    """Lengths of one model's answers, without prompts."""
    with gzip.open(DATA / "lmsys_vicuna13b_lengths_ssjf.csv.gz", "rt", encoding="utf-8") as file:
        return np.array([int(row["output_tokens"]) for row in csv.DictReader(file)])


def table(rows: tuple[Row, ...]) -> None:
    """One line per method, and whether it meets the goals."""
    print("| method | " + " | ".join(name for name, _, _ in FIGURES) + " | goals met |")
    print("|---" * (len(FIGURES) + 2) + "|")
    for row in rows:
        cells = [f"{row.mean(f):.{d}f} ± {row.spread(f):.{d}f}" for _, f, d in FIGURES]
        met = sum(low <= row.mean(figure) <= high for figure, low, high in GOALS)
        print(f"| {row.method} | " + " | ".join(cells) + f" | {met} of {len(GOALS)} |")
    for row in rows:
        print(f"* {row.method}: {NOTES[row.method]}")


def drift(seed: int) -> None:
    """Answers of a stream get 1.8 times as long at once: how often q95 is exceeded."""
    pool = lmsys()
    rng = np.random.default_rng(seed)
    over: dict[str, list[list[bool]]] = {"learnt once": [], "last 1,000": [], "online": []}
    found: list[int] = []
    for _ in range(STREAMS):
        lengths = rng.choice(pool, 2 * CHANGE).astype(np.float64)
        lengths[CHANGE:] *= 1.8
        online = OnlineQuantiles()
        rows: dict[str, list[bool]] = {name: [] for name in over}
        alarms: list[int] = []
        for i, tokens in enumerate(lengths.tolist()):
            first = safe_quantiles(lengths[: min(max(i, 1), CHANGE)])
            last = safe_quantiles(lengths[max(0, i - 1_000) : max(i, 1)])
            said = (first[Q95], last[Q95], float(online.predict("m").at(0.95)[0]))
            for name, value in zip(rows, said, strict=True):
                rows[name].append(tokens > value)
            if online.observe("m", int(tokens)):
                alarms.append(i)
        for name, row in rows.items():
            over[name].append(row)
        found.append(next((i - CHANGE for i in alarms if i >= CHANGE), -1))
        found.append(-sum(i < CHANGE for i in alarms))
    spans = ((500, CHANGE), *((CHANGE + a, CHANGE + b) for a, b in ((0, 100), (100, 300))))
    spans = (*spans, (CHANGE + 300, 2 * CHANGE))
    print("| above q95 | " + " | ".join(f"requests {a} to {b}" for a, b in spans) + " |")
    print("|---" * (len(spans) + 1) + "|")
    for name, streams in over.items():
        table = np.array(streams)
        print(f"| {name} | " + " | ".join(f"{table[:, a:b].mean():.1%}" for a, b in spans) + " |")
    print(
        f"{STREAMS} streams that change at request {CHANGE}; found after {found[::2]} requests, "
        f"false alarms before {-sum(found[1::2])}"
    )


def times() -> None:
    """Training with embedding from nothing, one prediction, a batch of 256.

    CPU time on one thread, so that whatever else runs on the machine hardly counts (with
    OMP_NUM_THREADS=1 it is the wall time of a quiet machine); for the batch also the wall time
    on two threads, which does count it. Batches: the best of a few.
    """
    given = alpaca_eval()
    prompts = list(given.prompts)
    model = given.models[0]
    kinds = KINDS if encoder_available() else KINDS[:1]
    print(
        "| kind | load s | train s | one ms (median) | one ms (p95) | one ms (longest) | 256 s | "
        "256 s (wall, two threads) |"
    )
    print("|---" * 8 + "|")
    for kind in kinds:
        reader, loading = None, 0.0
        if kind != "lexical":
            import torch

            torch.set_num_threads(1)
            reader, loading = _timed(default_reader)
        fitted, training = _timed(partial(train, given, kind, reader=reader))
        said = fitted.predictor
        said(prompts[:3], [model] * 3)
        ones = [_timed(partial(said, [p], [model]))[1] * 1e3 for p in prompts[:TIMED]]
        longest = max(prompts, key=len) * 8
        long = [_timed(partial(said, [longest], [model]))[1] * 1e3 for _ in range(20)]
        whole = partial(said, prompts[-256:], [model] * 256)
        batch = min(_timed(whole)[1] for _ in range(BATCHES))
        if kind != "lexical":
            torch.set_num_threads(2)
        wall = min(_timed(whole, time.perf_counter)[1] for _ in range(BATCHES))
        p95 = sorted(ones)[int(0.95 * len(ones))]
        print(
            f"| {kind} | {loading:.1f} | {training:.1f} | {statistics.median(ones):.1f} | "
            f"{p95:.1f} | {statistics.median(long):.1f} | {batch:.2f} | {wall:.2f} |",
            flush=True,
        )
    print(
        f"CPU time, one thread, but for the last column; one = one prompt of AlpacaEval, "
        f"{TIMED} of them; longest = {len(longest)} characters"
    )
    print(f"shipped: loaded in {_timed(load)[1]:.2f} s")


def _timed(
    work: Callable[[], T], clock: Callable[[], float] = time.process_time
) -> tuple[T, float]:
    begin = clock()
    return work(), clock() - begin


if __name__ == "__main__":
    main()
