"""``swarmplan length``: train, judge and use predictors of the output length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import render
from ..core.errors import CalibrationError
from .outputs import writes, written
from .shared import FILE, handle_errors

if TYPE_CHECKING:
    from ..perfmodel.length.dataset import Observations
    from ..perfmodel.length.distribution import LengthQuantiles
    from ..perfmodel.length.evaluate import Row
    from ..perfmodel.length.predictor import Kind, Reader
    from ..perfmodel.length.update import Change

FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
QUANTILES = (0.5, 0.9, 0.95, 0.99)
FIGURES = (
    ("MAE/constant", "mae_ratio", 3),
    ("Kendall tau", "tau", 3),
    ("models tau>=0.30", "tau_share", 3),
    ("pairwise", "pairwise", 3),
    ("q90 overflow", "overflow_90", 3),
    ("q95 overflow", "overflow_95", 3),
    ("q99 overflow", "overflow_99", 3),
    ("q95 tokens", "reserved_tokens", 0),
    ("q95/constant", "reserved_ratio", 3),
)
encoder_option = click.option(
    "--encoder",
    type=FOLDER,
    help="Folder of a BERT encoder (config.json, tokenizer.json, model.safetensors) "
    "[the MiniLM of the extra].",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group()
def command() -> None:
    """Predict how many tokens a request will produce.

    Without the extra (pip install "swarmplan[length]") predictors read words and counts of the
    prompt; with it a sentence encoder and the LAS network on top of it.
    """


@command.command("train")
@click.argument("observations", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File of the trained predictor.")
@click.option(
    "--kind",
    type=click.Choice(["lexical", "minilm", "las"]),
    help="What to train [las with the extra, else lexical].",
)
@click.option("--name", default="", help="What it was trained on, for its card.")
@encoder_option
@seed_option
@json_option
@handle_errors
@writes(output="predictor")
def train_command(
    observations: Path,
    output: Path,
    kind: Kind | None,
    name: str,
    encoder: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Train a predictor on observed lengths.

    OBSERVATIONS is JSON Lines or CSV of prompt, model and output_tokens.
    """
    from ..perfmodel.length.evaluate import unseen
    from ..perfmodel.length.predictor import save, shipped, shipped_line, train
    from ..perfmodel.length.reading import read_observations

    given = read_observations(observations)
    reader = _reader(encoder, wanted=kind in ("minilm", "las"), allowed=kind != "lexical")
    chosen: Kind = kind or ("lexical" if reader is None else "las")
    # Prompts that the shipped predictor saw would look easier than they are.
    fresh = len(unseen(given, shipped(reader)).prompts) == len(given.prompts)
    prior = shipped_line(chosen, reader) if fresh else None
    card = {"name": name or output.stem}
    fitted = train(given, chosen, reader=reader, prior=prior, seed=seed, card=card)
    written(output, lambda path: save(fitted.predictor, path))
    size = {"bytes": output.stat().st_size} if output.exists() else {}
    figures = {"kind": chosen, **size, **fitted.predictor.card}
    if as_json:
        render.print_json(figures)
    else:
        render.print_table("", ["figure", "value"], [[k, v] for k, v in figures.items()])


@command.command("update")
@click.argument("known", type=FILE)
@click.argument("seen", type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="File of what is known then.")
@encoder_option
@json_option
@handle_errors
@writes(output="predictor")
def update_command(
    known: Path, seen: Path, output: Path, encoder: Path | None, as_json: bool
) -> None:
    """Learn from finished answers, without training again.

    KNOWN is a trained predictor, a file of online quantiles, or one of the words shipped (the
    shipped predictor) and online (quantiles per model that read no prompts, from nothing). SEEN is
    JSON Lines or CSV of prompt, model and output_tokens, the latest answer last.
    """
    from ..perfmodel.length.distribution import LEVELS
    from ..perfmodel.length.reading import read_observations

    given = read_observations(seen)
    changes, write = _updated(known, given, encoder)
    written(output, write)
    rows = [
        {
            "model": change.model,
            "new_answers": change.new,
            "answers": change.known,
            **{
                f"{name}_{when}": round(float(table[LEVELS.index(q)]))
                for name, q in (("q50", 0.5), ("q95", 0.95))
                for when, table in (("before", change.before), ("after", change.after))
            },
        }
        for change in changes
    ]
    if as_json:
        render.print_json({"models": rows})
    else:
        title = "output tokens over these prompts, before and after"
        names = [name.replace("_", " ") for name in rows[0]]
        render.print_table(title, names, [list(row.values()) for row in rows])


@command.command("evaluate")
@click.argument("observations", type=FILE)
@click.option("--splits", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option(
    "--max-prompts",
    type=click.IntRange(25),
    default=6_000,
    show_default=True,
    help="Draw this many prompts when there are more.",
)
@click.option("--no-encoder", is_flag=True, help="Only what needs no extra.")
@encoder_option
@seed_option
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
@handle_errors
def evaluate_command(
    observations: Path,
    splits: int,
    max_prompts: int,
    no_encoder: bool,
    encoder: Path | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train and judge every method on prompts that it has not seen.

    OBSERVATIONS is JSON Lines or CSV of prompt, model and output_tokens: any data set, any models.
    Splits are by prompt text: a prompt is on one side for all models, and equal prompts are one.
    """
    from ..perfmodel.length.dataset import sampled
    from ..perfmodel.length.evaluate import DEFAULT, NOTES, PROTOCOL, evaluate, unseen
    from ..perfmodel.length.predictor import shipped, shipped_line
    from ..perfmodel.length.reading import read_observations

    whole = read_observations(observations)
    reader = _reader(encoder, wanted=encoder is not None, allowed=not no_encoder)
    known = shipped(reader)
    given = sampled(unseen(whole, known), max_prompts, seed)
    if left := len(whole.prompts) - len(given.prompts):
        render.note(f"{left} prompts are left out: the shipped predictor saw them, or too many")
    if reader is not None and not quiet:
        render.note(f"encoding {len(given.prompts)} prompts: some 20 s per 3,000")
    with render.progress("evaluating", quiet=quiet) as report:
        rows = evaluate(
            given,
            reader=reader,
            shipped=known,
            priors=(shipped_line("lexical"), shipped_line("las", reader)),
            splits=splits,
            seed=seed,
            on_progress=report,
        )
    size = {"prompts": len(given.prompts), "models": len(given.models), "observations": len(given)}
    protocol = PROTOCOL.format(splits=splits, seed=seed)
    default = DEFAULT[reader is not None]
    if as_json:
        methods = {r.method: {"note": NOTES[r.method], **_figures(r)} for r in rows}
        about = {**size, "splits": splits, "seed": seed, "protocol": protocol, "default": default}
        render.print_json({**about, "methods": methods})
        return
    title = ", ".join(f"{n} {what}" for what, n in size.items()) + f", {splits} splits"
    render.print_table(title, ["method", *(n for n, _, _ in FIGURES), "models"], _cells(rows))
    render.print_table("", ["method", "what it is"], [[r.method, NOTES[r.method]] for r in rows])
    render.note(f"{protocol} `swarmplan length train` makes {default}.")


@command.command("predict")
@click.argument("prompts", type=FILE, required=False)
@click.option("--prompt", "texts", multiple=True, help="A prompt (repeat).")
@click.option("--model", default="", help="Served model [a model never seen].")
@click.option(
    "--predictor", type=FILE, help="A trained predictor, or online quantiles [the shipped one]."
)
@encoder_option
@json_option
@handle_errors
def predict_command(
    prompts: Path | None,
    texts: Sequence[str],
    model: str,
    predictor: Path | None,
    encoder: Path | None,
    as_json: bool,
) -> None:
    """Quantiles of the output tokens of prompts.

    PROMPTS is JSON Lines of prompt and, optionally, model.
    """
    from ..perfmodel.length.reading import read_prompts

    pairs = [(text, model) for text in texts]
    if prompts is not None:
        pairs += read_prompts(prompts, model)
    if not pairs:
        raise click.UsageError("give a file of prompts, or --prompt TEXT")
    said, card = _predicted(predictor, pairs, encoder)
    names = [f"q{q * 100:g}" for q in QUANTILES]
    table = [[round(float(said.at(q)[i])) for q in QUANTILES] for i in range(len(pairs))]
    means = [round(float(x)) for x in said.mean()]
    if as_json:
        found = [
            {"prompt": text, "model": own, "mean": mean, **dict(zip(names, row, strict=True))}
            for (text, own), mean, row in zip(pairs, means, table, strict=True)
        ]
        render.print_json({"predictor": card, "predictions": found})
        return
    rows = [
        [" ".join(text.split())[:60], own or "-", mean, *row]
        for (text, own), mean, row in zip(pairs, means, table, strict=True)
    ]
    render.print_table("output tokens", ["prompt", "model", "mean", *names], rows)


def _updated(
    known: Path, given: Observations, encoder: Path | None
) -> tuple[Sequence[Change], Callable[[Path], object]]:
    """What changed per model, and how the outcome is written."""
    from ..perfmodel.length.online import OnlineQuantiles
    from ..perfmodel.length.online_files import read_online, write_online
    from ..perfmodel.length.predictor import default_reader, load, save
    from ..perfmodel.length.store import ONLINE, format_of
    from ..perfmodel.length.update import update, update_online

    word = "" if known.exists() else str(known)
    if word not in ("", "shipped", "online"):
        message = f"{word}: is no file: name one, or give the word shipped or online"
        raise CalibrationError(message)
    if word == "online" or (word != "shipped" and format_of(known) == ONLINE):
        online = OnlineQuantiles() if word else read_online(known)
        return update_online(online, given), partial(write_online, online)
    reader = None if encoder is None else default_reader(encoder)
    predictor, changes = update(load(None if word else known, reader=reader), given)
    return changes, partial(save, predictor)


def _predicted(
    predictor: Path | None, pairs: Sequence[tuple[str, str]], encoder: Path | None
) -> tuple[LengthQuantiles, dict[str, Any]]:
    """Quantiles of (prompt, model) pairs, and what is told of the predictor."""
    from ..perfmodel.length.online_files import read_online
    from ..perfmodel.length.predictor import default_reader, load
    from ..perfmodel.length.store import ONLINE, format_of

    texts, models = [text for text, _ in pairs], [name for _, name in pairs]
    if predictor is not None and format_of(predictor) == ONLINE:
        online = read_online(predictor)
        return online.predict_each(models), {"models": sorted(online.known)}
    loaded = load(predictor, reader=None if encoder is None else default_reader(encoder))
    return loaded(texts, models), loaded.card


def _reader(encoder: Path | None, *, wanted: bool, allowed: bool) -> Reader | None:
    """The encoder if it is wanted, or if it is allowed and installed."""
    from ..perfmodel.length.predictor import default_reader, encoder_available

    if not allowed or not (wanted or encoder_available()):
        return None
    return default_reader(encoder)


def _figures(row: Row) -> dict[str, Any]:
    figures: dict[str, Any] = {"models": row.scores[0].models}
    for _, name, _ in FIGURES:
        figures[name] = {"mean": row.mean(name), "sd": row.spread(name)}
    return figures


def _cells(rows: Sequence[Row]) -> list[list[object]]:
    return [
        [
            row.method,
            *(
                f"{row.mean(name):.{digits}f} ±{row.spread(name):.{digits}f}"
                for _, name, digits in FIGURES
            ),
            row.scores[0].models,
        ]
        for row in rows
    ]
