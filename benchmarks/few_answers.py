"""Models that nobody has seen, 30 answers of each: what is predicted of their other answers.

Judged against the constant made from the same answers, which reads no prompt: their median, and as
95 % quantile the value of rank ceil((n + 1) q), as ``safe_quantiles`` has it (of 30 answers the
longest). A plain constant (the sample's own quantile, interpolated) stands beside it: it reserves
less, and is exceeded half as often again as it should be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from swarmplan.core.content import FloatArray, IntArray
from swarmplan.perfmodel.length.dataset import Observations
from swarmplan.perfmodel.length.distribution import LEVELS, LengthQuantiles, safe_quantiles
from swarmplan.perfmodel.length.online import OnlineQuantiles
from swarmplan.perfmodel.length.predictor import TextPredictor, shipped_line, train
from swarmplan.perfmodel.length.universal import adapt
from swarmplan.perfmodel.length.update import update

MODELS, FEW = 15, 30
#: A median in tokens below which a model is not judged.
LEAST = 5.0
MEDIAN, Q95 = LEVELS.index(0.5), LEVELS.index(0.95)
FAMILIES = ("llama", "gpt", "qwen", "mistral|mixtral", "vicuna|wizard|guanaco|alpaca")
FIGURES = ("MAE", "q95 / constant", "q95 / plain", "overflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One held-out model: what is seen of it and what it is judged on, as rows of a set."""

    seen: IntArray
    judged: IntArray


#: Says the quantiles of the judged answers of each case: one (N, K) table per case.
Says = Callable[[Sequence[Case]], list[FloatArray]]


def few(given: Observations, predictors: dict[str, TextPredictor], draws: int, seed: int) -> None:
    """Every setting, every method: mean, spread and worst over the draws."""
    said = {name: p.verbosity(given.prompts) for name, p in predictors.items()}
    says = without_text(given)
    for name, predictor in predictors.items():
        says[name] = _adapted(given, predictor, said[name])
    for setting, cases in settings(given, draws, seed):
        _print(setting, says, given, cases)
    if len(given) < 0.9 * len(given.prompts) * len(given.models):
        return  # prompts are not the same for all models: nothing can be shared
    rng = np.random.default_rng(seed)
    fewer = max(1, draws // 2)
    same = [_same_prompts(given, _some_models(given, rng), rng) for _ in range(fewer)]
    _print(
        "the same 30 prompts for all 15; `length train` on these 450 answers alone",
        {**says, "trained": lambda cases: _trained(given, cases)},
        given,
        same,
    )
    words = next(iter(predictors.values()))
    half = len(given.models) // 2  # at least as many teach
    known = [_known_prompts(given, _some_models(given, rng)[:half], rng) for _ in range(fewer)]
    _print(
        "`length train` on the other models, `length update` with 30 answers each; new prompts",
        {
            "constant": says["constant"],
            "plain": says["plain"],
            "trained, updated": lambda cases: _updated(given, cases, words),
        },
        given,
        known,
    )


def settings(given: Observations, draws: int, seed: int) -> Iterator[tuple[str, list[list[Case]]]]:
    """What a setting is called, and its draws of cases."""
    rng = np.random.default_rng(seed)
    size = np.array([len(p) for p in given.prompts])[given.prompt]
    everything = np.arange(len(given))
    low, high = np.quantile(size, [1 / 3, 2 / 3])
    yield "any prompts", [_cases(given, everything, rng) for _ in range(draws)]
    yield "short prompts", [_cases(given, np.flatnonzero(size <= low), rng) for _ in range(draws)]
    yield "long prompts", [_cases(given, np.flatnonzero(size >= high), rng) for _ in range(draws)]
    for family in FAMILIES:
        found = [i for i, m in enumerate(given.models) if re.search(family, m, re.IGNORECASE)]
        if len(found) >= MODELS:
            rows = np.flatnonzero(np.isin(given.model, found))
            yield f"models like {family}", [_cases(given, rows, rng) for _ in range(draws)]


def pooled(lengths: IntArray, draws: int, seed: int) -> None:
    """Lengths without prompts: 30 of them are seen, 2,000 others judged."""
    rng = np.random.default_rng(seed)
    count = FEW + 2_000
    rows = []
    for _ in range(draws):
        picked = [rng.choice(len(lengths), count, replace=False) for _ in range(MODELS)]
        rows.append([Case(seen=r[:FEW], judged=r[FEW:]) for r in picked])
    one = np.zeros(len(lengths), dtype=np.int64)
    given = Observations(prompts=("",), models=("m",), prompt=one, model=one, tokens=lengths)
    says = without_text(given)
    _print("one model's lengths without prompts (LMSYS, vicuna-13b)", says, given, rows)


def without_text(given: Observations) -> dict[str, Says]:
    """The methods that read no prompt."""

    def constant(cases: Sequence[Case]) -> list[FloatArray]:
        return [_flat(safe_quantiles(_tokens(given, c.seen)), c) for c in cases]

    def plain(cases: Sequence[Case]) -> list[FloatArray]:
        return [_flat(np.quantile(_tokens(given, c.seen), LEVELS), c) for c in cases]

    def online(cases: Sequence[Case]) -> list[FloatArray]:
        return [_online(given, c) for c in cases]

    return {"constant": constant, "plain": plain, "online": online}


def _tokens(given: Observations, rows: IntArray) -> FloatArray:
    return given.tokens[rows].astype(np.float64)


def _flat(quantiles: FloatArray, case: Case) -> FloatArray:
    return np.tile(quantiles, (len(case.judged), 1))


def _online(given: Observations, case: Case) -> FloatArray:
    online = OnlineQuantiles()
    for tokens in given.tokens[case.seen].tolist():
        online.observe("m", tokens)
    return _flat(online.predict("m").tokens[0], case)


def _adapted(given: Observations, predictor: TextPredictor, verbosity: FloatArray) -> Says:
    """As ``update`` does for a model never seen; the prompts are read once."""
    maps = predictor.maps

    def say(cases: Sequence[Case]) -> list[FloatArray]:
        found = []
        for case in cases:
            table = adapt(maps, verbosity[given.prompt[case.seen]], given.tokens[case.seen])
            found.append(maps.of_table(verbosity[given.prompt[case.judged]], table).tokens)
        return found

    return say


def _trained(given: Observations, cases: Sequence[Case]) -> list[FloatArray]:
    rows = np.concatenate([c.seen for c in cases])
    known = _rows(given, rows)
    predictor = train(known, "lexical", prior=shipped_line("lexical")).predictor
    return [_said(predictor, given, c.judged).tokens for c in cases]


def _updated(given: Observations, cases: Sequence[Case], words: TextPredictor) -> list[FloatArray]:
    new = {int(given.model[c.seen[0]]) for c in cases}
    judged = np.unique(given.prompt[np.concatenate([c.judged for c in cases])])
    learnt = ~np.isin(given.prompt, judged) & ~np.isin(given.model, list(new))
    predictor = train(_rows(given, np.flatnonzero(learnt)), "lexical", prior=words.line).predictor
    predictor, _ = update(predictor, _rows(given, np.concatenate([c.seen for c in cases])))
    return [_said(predictor, given, c.judged).tokens for c in cases]


def _said(predictor: TextPredictor, given: Observations, rows: IntArray) -> LengthQuantiles:
    prompts = [given.prompts[p] for p in given.prompt[rows].tolist()]
    return predictor(prompts, [given.models[m] for m in given.model[rows].tolist()])


def _rows(given: Observations, rows: IntArray) -> Observations:
    """Some observations; prompts and models without any are left out."""
    part = Observations(
        prompts=given.prompts,
        models=given.models,
        prompt=given.prompt[rows],
        model=given.model[rows],
        tokens=given.tokens[rows],
    )
    return part.of_prompts(np.unique(part.prompt)).of_models(np.unique(part.model))


def _cases(given: Observations, rows: IntArray, rng: np.random.Generator) -> list[Case]:
    """15 models that have enough answers among these rows, 30 of each seen at random."""
    count = np.bincount(given.model[rows], minlength=len(given.models))
    found = []
    models = np.flatnonzero(count >= 2 * FEW)
    for m in rng.permutation(models)[:MODELS].tolist():
        own = rng.permutation(rows[given.model[rows] == m])
        found.append(Case(seen=own[:FEW], judged=own[FEW:]))
    return found


def _some_models(given: Observations, rng: np.random.Generator) -> IntArray:
    count = np.bincount(given.model, minlength=len(given.models))
    return rng.permutation(np.flatnonzero(count >= 2 * FEW))[:MODELS]


def _same_prompts(
    given: Observations, models: IntArray, rng: np.random.Generator, judged: float = 1.0
) -> list[Case]:
    """The same 30 prompts seen of every model, a share of the others judged."""
    order = rng.permutation(len(given.prompts))
    seen, rest = order[:FEW], order[FEW:]
    rest = rest[: int(len(rest) * judged)]
    found = []
    for m in models.tolist():
        own = given.model == m
        found.append(
            Case(
                seen=np.flatnonzero(own & np.isin(given.prompt, seen)),
                judged=np.flatnonzero(own & np.isin(given.prompt, rest)),
            )
        )
    return found


def _known_prompts(given: Observations, models: IntArray, rng: np.random.Generator) -> list[Case]:
    return _same_prompts(given, models, rng, judged=0.2)


def _figures(
    says: dict[str, Says], given: Observations, cases: list[Case]
) -> dict[str, tuple[float, ...]]:
    """MAE and reservation relative to the constants, overflow: means over the models."""
    constant, plain = says["constant"](cases), says["plain"](cases)
    judged = [i for i in range(len(cases)) if constant[i][0, MEDIAN] >= LEAST]
    found = {}
    for name, say in says.items():
        rows = []
        for i, said in enumerate(say(cases)):
            truth = _tokens(given, cases[i].judged)
            usual = float(np.abs(truth - constant[i][:, MEDIAN]).mean())
            if i not in judged or usual <= 0.0:
                continue
            reserved = float(said[:, Q95].mean())
            rows.append(
                (
                    float(np.abs(truth - said[:, MEDIAN]).mean()) / usual,
                    reserved / float(constant[i][:, Q95].mean()),
                    reserved / float(plain[i][:, Q95].mean()),
                    float((truth > said[:, Q95]).mean()),
                )
            )
        found[name] = tuple(np.mean(rows, axis=0).tolist())
    return found


def _print(
    setting: str, says: dict[str, Says], given: Observations, draws: list[list[Case]]
) -> None:
    """One line per method: mean ± deviation over the draws, and the worst of them."""
    found = [_figures(says, given, cases) for cases in draws]
    print(f"\n{setting}: {len(draws)} draws of {len(draws[0])} models, {FEW} answers each\n")
    print("| method | " + " | ".join(f"{name} | worst" for name in FIGURES) + " |")
    print("|---" * (1 + 2 * len(FIGURES)) + "|")
    for name in says:
        table = np.array([figures[name] for figures in found])
        cells = []
        for k, figure in enumerate(FIGURES):
            digits = 4 if figure == "overflow" else 3
            low, high = table[:, k].min(), table[:, k].max()
            worst = f"{low:.4f} to {high:.4f}" if figure == "overflow" else f"{high:.3f}"
            spread = table[:, k].std(ddof=1) if len(table) > 1 else 0.0
            cells.append(f"{table[:, k].mean():.{digits}f} ± {spread:.{digits}f} | {worst}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
