"""Do sessions in one pass get the tokens of PETALS' own step? Counted token by token, no servers.

Sessions with prompts of 5 to 400 tokens generate greedily by PETALS' own step; the same tokens go
through passes of all sessions at once, on caches of their own, and at every token the highest logit
of either is compared. In 16 and 4 bit the two round differently: a token that differs is listed
with the distance of the unbatched top two logits, and with the unbatched kernels' own error there,
which is the largest difference of a logit from the same weights in float32. nf4 needs bitsandbytes,
and is left out without it. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/batching_tokens.py [--tokens 10000] [--precision float32 ...]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from swarmplan.swarm.processes import passing_folder

BLOCKS, VOCABULARY, SESSIONS = 8, 1024, 16
PROMPTS = (5, 400)
PRECISIONS = ("float32", "bfloat16", "nf4")


class Differing(NamedTuple):
    """A token that differs: distance of the unbatched top two logits; the kernels' own error."""

    gap: float
    error: float


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, default=10_000, help="compared at each precision")
    parser.add_argument("--hidden", type=int, default=512, help="width of the blocks")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    given = parser.parse_args()
    os.environ.setdefault("HIVEMIND_LOGLEVEL", "ERROR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from swarmplan.swarm.needs import prepare

        prepare("server")
        import torch

        from swarmplan.swarm.tiny_model import save_tiny_llama

        torch.set_num_threads(1)
        with passing_folder("swarmplan-tokens-") as folder:
            model = save_tiny_llama(
                folder / "model", blocks=BLOCKS, hidden=given.hidden, vocabulary=VOCABULARY
            )
            for precision in given.precision:
                if precision == "nf4" and importlib.util.find_spec("bitsandbytes") is None:
                    print("nf4: left out, bitsandbytes is not installed")
                    continue
                began = time.monotonic()
                report(precision, *compare(model, precision, given.tokens), began)


def report(
    precision: str, compared: int, differing: Sequence[Differing], step: Any, began: float
) -> None:
    """A line for each precision, and for each token that differs."""
    near = sum(each.gap <= each.error for each in differing)
    print(
        f"{precision}: {len(differing)} of {compared} tokens differ, {near} of them where the "
        f"unbatched top two are nearer than the kernels' own error; {step.counts.fallbacks} steps "
        f"fell back; ways {dict(step.ways.best)}; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    for each in differing:
        print(f"  top two apart by {each.gap:.3g}, own error {each.error:.3g}")


def compare(model: Path, precision: str, tokens: int) -> tuple[int, list[Differing], Any]:
    """Tokens compared, those that differ, and the step."""
    import torch

    from swarmplan.swarm.compat.batch_step import BatchedStep

    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    quantised = "NF4" if precision == "nf4" else "NONE"
    made, ends = loaded(model, dtype=dtype, quantised=quantised)
    exact = None if precision == "float32" else in_float32(model, made)
    step = BatchedStep(made.backends)
    each = -(-tokens // SESSIONS)
    rng = np.random.default_rng(0)
    prompts = [
        torch.tensor(rng.integers(0, VOCABULARY, n))
        for n in rng.integers(PROMPTS[0], PROMPTS[1] + 1, SESSIONS)
    ]
    benches = [made, made, *([exact] if exact else [])]
    rows = [[b.session(len(p) + each) for b in benches] for p in prompts]
    differing: list[Differing] = []
    with torch.inference_mode():
        now = []
        for sessions, prompt in zip(rows, prompts, strict=True):
            hidden = [
                b.run(s, ends.embed(prompt, b)) for b, s in zip(benches, sessions, strict=True)
            ]
            now.append(int(ends.logits(hidden[0][:, -1:]).argmax()))
        for number in range(each):
            at = [
                [s.at(len(prompt) + number) for s in sessions]
                for sessions, prompt in zip(rows, prompts, strict=True)
            ]
            inputs = [ends.embed(torch.tensor([token]), made) for token in now]
            found = step.together(
                [row[1].task(hidden) for row, hidden in zip(at, inputs, strict=True)]
            )
            for i, (row, hidden) in enumerate(zip(at, inputs, strict=True)):
                own = ends.logits(made.run(row[0], hidden.clone()))
                if exact:
                    true = ends.logits(exact.run(row[2], hidden.float()))
                token = now[i] = int(own.argmax())
                if int(ends.logits(found[i]).argmax()) != token:
                    one, two = own.topk(2).values.flatten().tolist()
                    error = float((own - true).abs().max()) if exact else 0.0
                    differing.append(Differing(one - two, error))
    return each * SESSIONS, differing, step


class Ends:
    """What clients do: tokens to hidden states, hidden states to logits, in float32."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole

    def embed(self, tokens: Any, made: Any) -> Any:
        """(1, tokens, hidden size) in the blocks' own type."""
        hidden = self._whole.model.embed_tokens(tokens)[None]
        return hidden.to(next(iter(made.backends.values())).dtype)

    def logits(self, hidden: Any) -> Any:
        """(1, 1, vocabulary)."""
        return self._whole.lm_head(self._whole.model.norm(hidden.float()))


def loaded(model: Path, *, dtype: Any, quantised: str) -> tuple[Any, Ends]:
    """The blocks as a server has them, and what stays with the client."""
    from petals.server.from_pretrained import load_pretrained_block
    from petals.utils.auto_config import AutoDistributedConfig
    from transformers import LlamaForCausalLM

    from swarmplan.swarm.blocks import Blocks

    config = AutoDistributedConfig.from_pretrained(model)
    modules = [load_pretrained_block(str(model), i, config=config) for i in range(BLOCKS)]
    made = Blocks(modules, config, dtype=dtype, quantised=quantised)
    return made, Ends(LlamaForCausalLM.from_pretrained(model))


def in_float32(model: Path, rounded: Any) -> Any:
    """The same blocks with the weights that rounding has left, computed in float32."""
    import torch

    made, _ = loaded(model, dtype=torch.float32, quantised="NONE")
    for name, backend in rounded.backends.items():
        own = dict(backend.module.module_shards[0].named_parameters())
        for path, weight in made.backends[name].module.module_shards[0].named_parameters():
            weight.data.copy_(plain(own[path]).float().view_as(weight))
    return made


def plain(weight: Any) -> Any:
    """A weight out of its four bits, if it is in them."""
    state = getattr(weight, "quant_state", None)
    if state is None:
        return weight.data
    return import_module("bitsandbytes.functional").dequantize_4bit(weight.data, state)


if __name__ == "__main__":
    main()
