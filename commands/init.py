"""``swarmplan init``: a scenario file from five questions."""

from __future__ import annotations

from pathlib import Path

import click

from .. import render
from ..core.names import Quantisation, names
from .outputs import writes, written
from .shared import FILE, FiniteRange, completes, handle_errors


@click.command()
@click.argument("output", type=FILE, default="swarm.toml")
@click.option(
    "--model",
    prompt="Which model (swarmplan list models)",
    default="Llama-3.1-70B",
    shell_complete=completes("models"),
    help="A model of the catalogue, or a repository of it.",
)
@click.option(
    "--servers",
    prompt="Which servers, such as: 2 RTX3090 in Berlin; A100-80GB in Austin",
    help="COUNT GPU in CITY, with ; between them.",
)
@click.option(
    "--clients",
    prompt="Where do requests come from, such as: Paris; New York",
    help="Cities, with ; between them.",
)
@click.option(
    "--per-minute",
    type=FiniteRange(0, min_open=True),
    prompt="How many requests a minute, all together",
    default=2.0,
    help="Requests a minute of all clients together.",
)
@click.option(
    "--tokens",
    prompt="How many tokens has a request, prompt/answer",
    default="200/150",
    help="PROMPT/ANSWER.",
)
@click.option("--quantisation", type=click.Choice(names(Quantisation)), default="nf4")
@handle_errors
@writes(output="scenario")
def command(
    output: Path,
    model: str,
    servers: str,
    clients: str,
    per_minute: float,
    tokens: str,
    quantisation: Quantisation,
) -> None:
    """Write a scenario file from five questions.

    What an option answers is not asked. Places are cities of the extra "places".
    """
    from ..scenarios.ask import Answers, scenario_document, tokens_of
    from ..scenarios.generate import write_document
    from ..scenarios.scenario import scenario_of

    prompt_tokens, output_tokens = tokens_of(tokens)
    answers = Answers(
        name=output.stem,
        model=model,
        quantisation=quantisation,
        servers=servers,
        clients=clients,
        per_minute=per_minute,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )
    document = scenario_document(answers)
    scenario_of(document, output)  # what is wrong with it is said before it is written
    written(output, lambda path: write_document(path, document))
    render.note(f"next: swarmplan plan {output}")
