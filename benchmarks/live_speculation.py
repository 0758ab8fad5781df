"""Speculation on live PETALS servers: drafts of three qualities, how many chosen by the client.

Two servers hold a tiny random Llama, 60 and 90 ms away; the draft models are the target with a
disturbed head. Every prompt runs plain and drafted, one after the other, by the same client and
over the same chain; every token is compared with the local model's. Then what has to go wrong, and
what must not: servers without the remedy, one such server in the chain, a server killed in
mid-generation. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_speculation.py [--prompts 34] [--fixed 4] [--push]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import passing_folder
from swarmplan.swarm.trial import ClientProcess, Event, answers, operate, publish_spans

BLOCKS, TOKENS = 8, 64
#: Share of first drafts that are to be right.
QUALITIES = {"good": 0.86, "fair": 0.63, "poor": 0.35}
RTT_S = {"A": 0.060, "B": 0.090, "C": 0.090, "old-A": 0.060, "old-B": 0.090}
SPANS = {"A": (0, 3), "B": (3, 8), "C": (3, 8), "old-A": (0, 3), "old-B": (3, 8)}
CONFIG = {"request_timeout": 30, "update_period": 10, "max_retries": 4}
Tokens = Sequence[Sequence[int]]


def main() -> None:
    """Print the table, then the three trials."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=34, help="for each draft model")
    parser.add_argument(
        "--fixed", type=int, action="append", default=[], help="drafts, beside auto"
    )
    parser.add_argument("--push", action="store_true", help="servers hand steps on")
    given = parser.parse_args()
    began = time.monotonic()
    rng = np.random.default_rng(7)
    prompts = [rng.integers(0, 256, rng.integers(3, 9)).tolist() for _ in range(given.prompts)]
    with passing_folder("swarmplan-live-") as folder:
        model = save_tiny_llama(folder / "model", blocks=BLOCKS)
        wanted = local_tokens(model, prompts, TOKENS)
        drafts = {name: draft_of(model, folder / name, a, prompts[:4], wanted[:4])
                  for name, a in QUALITIES.items()}  # fmt: skip
        operate(folder / "keygen.log", "keygen", str(folder / "key"))
        with LoopbackSwarm(folder=folder / "swarm", model=model, update_period_s=10.0) as swarm:
            swarm.start_servers([spec(name, push=given.push) for name in SPANS])
            load = ("--prompt-tokens", "6", "--output-tokens", str(TOKENS))
            publish_spans(swarm, folder, folder / "key", SPANS, more=load)
            routing = {"public_key": str(folder / "key.pub")}
            table(swarm, routing, drafts, prompts, wanted, given.fixed)
            trials(swarm, str(drafts["good"]), prompts[0], wanted[0])
    print(f"# {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")


def spec(name: str, *, push: bool) -> ServerSpec:
    """A server; the old ones lack the remedies."""
    return ServerSpec(
        name=name,
        blocks=SPANS[name],
        rtt_s=RTT_S[name],
        remedies=("server-push",) if push else (),
        without=("rollback", "short-steps") if name.startswith("old") else (),
    )


def draft_of(model: Path, folder: Path, acceptance: float, prompts: Tokens, wanted: Tokens) -> Path:
    """The target with so much noise in its head that so many first drafts are right."""
    from swarmplan.swarm.tiny_model import save_disturbed

    low, high = 0.0, 4.0
    for _ in range(8):
        share = (low + high) / 2
        save_disturbed(model, folder, share=share)
        if agreement(folder, prompts, wanted) > acceptance:
            low = share
        else:
            high = share
    return folder


def agreement(draft: Path, prompts: Tokens, wanted: Tokens) -> float:
    """Share of the target's tokens that a draft model takes too."""
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(draft)
    right = []
    with torch.inference_mode():
        for prompt, answer in zip(prompts, wanted, strict=True):
            own = model(torch.tensor([[*prompt, *answer]])).logits[0].argmax(-1).tolist()
            right += [a == b for a, b in zip(own[len(prompt) - 1 :], answer, strict=False)]
    return float(mean(right))


def table(
    swarm: LoopbackSwarm,
    routing: dict[str, Any],
    drafts: dict[str, Path],
    prompts: Tokens,
    wanted: Tokens,
    fixed: Sequence[int],
) -> None:
    """A line for each draft model and number of drafts."""
    head = ("draft", "k", "equal", "plain ms/token", "drafted ms/token", "ratio", "tokens a pass")
    print("\t".join([*head, "mean k", "acceptance by place"]), flush=True)
    equal = total = 0
    numbers: list[int | str] = ["auto", *fixed]
    for name, path in drafts.items():
        for tokens in numbers:
            done, told = run(swarm, f"{name}-{tokens}", routing, str(path), tokens, prompts)
            right = [
                done.get(f"{kind}{i}", {}).get("tokens") == wanted[i]
                for kind in ("plain", "drafted")
                for i in range(len(prompts))
            ]
            equal, total = equal + sum(right), total + len(right)
            print("\t".join([name, str(tokens), f"{sum(right)} of {len(right)}",
                             *figures(done, told, len(prompts))]), flush=True)  # fmt: skip
    print(f"# {equal} of {total} generations have the local model's tokens", flush=True)


def run(
    swarm: LoopbackSwarm,
    name: str,
    routing: dict[str, Any],
    draft: str,
    tokens: int | str,
    prompts: Tokens,
) -> tuple[dict[str, Event], Event]:
    """Every prompt plain and drafted, the one that goes first changing."""
    requests = []
    for i, prompt in enumerate(prompts):
        both = [
            {"id": f"{kind}{i}", "prompt": prompt, "new_tokens": TOKENS, "route": route(swarm)}
            | {"draft": kind == "drafted"}
            for kind in ("plain", "drafted")
        ]
        requests += both if i % 2 == 0 else both[::-1]
    job = {
        "routing": routing,
        "requests": requests,
        "config": CONFIG,
        "draft": {"model": draft, "tokens": tokens},
    }
    with ClientProcess(swarm=swarm, name=name, job=job) as client:
        events = client.finish(limit_s=120 + 40 * len(prompts))
    return answers(events), next(e for e in events if e["event"] == "drafted")


def route(swarm: LoopbackSwarm, *names: str) -> list[tuple[str, int, int]]:
    """The chain over servers, A and B where none are named."""
    return [(swarm.peers[n], *SPANS[n]) for n in names or ("A", "B")]


def figures(done: dict[str, Event], told: Event, prompts: int) -> list[str]:
    """Of one line: means over the prompts, in ms a token after the first."""
    plain = [sum(done[f"plain{i}"]["steps_s"][1:]) for i in range(prompts)]
    made = [done[f"drafted{i}"]["passes"][1:] for i in range(prompts)]
    drafted = [sum(seconds for _, _, seconds in passes) for passes in made]
    each = 1e3 / (TOKENS - 1)
    ks = [k for passes in made for k, _, _ in passes]
    shown = " ".join(f"{a:.2f}" for a in told.get("speculation", {}).get("acceptance", [])[:8])
    ratio = mean(d / p for d, p in zip(drafted, plain, strict=True))
    cells = (each * mean(plain), each * mean(drafted))
    return [*(f"{c:.1f}" for c in cells), f"{ratio:.3f}", f"{told['tokens_per_pass']:.2f}",
            f"{mean(ks):.1f}", shown]  # fmt: skip


def trials(swarm: LoopbackSwarm, draft: str, prompt: Sequence[int], wanted: Sequence[int]) -> None:
    """What has to go wrong, and what must not."""
    done, told = one(swarm, draft, prompt, ("A", "old-B"))
    drafted, note = told["drafted"], "; ".join(told["notes"])
    same = done.get("tokens") == wanted
    print(f"one server without the remedy: {drafted} drafts, equal {same}; {note}", flush=True)
    done, _ = one(swarm, draft, prompt, ("old-A", "old-B"), believe=True)
    same = done.get("tokens") == wanted
    error = done.get("error", "no error")[:90]
    print(f"control, drafts over servers without it: equal {same}; {error}", flush=True)
    done, told = one(swarm, draft, prompt, ("A", "B"), kill="B")
    longest = max((seconds for _, _, seconds in done.get("passes", [])[1:]), default=0.0)
    same = done.get("tokens") == wanted
    print(f"server killed after ten tokens: equal {same}; longest pass {longest:.2f} s", flush=True)


def one(
    swarm: LoopbackSwarm,
    draft: str,
    prompt: Sequence[int],
    names: tuple[str, ...],
    *,
    believe: bool = False,
    kill: str | None = None,
) -> tuple[Event, Event]:
    """One drafted generation over a chain, and what drafting came to."""
    request = {"id": "x", "prompt": list(prompt), "new_tokens": TOKENS, "draft": True}
    request |= {"route": route(swarm, *names), "pause_s": 0.1 if kill else 0.0}
    job = {
        "requests": [request],
        "config": CONFIG,
        "draft": {"model": draft, "tokens": 4, "believe": believe},
    }
    with ClientProcess(swarm=swarm, name=f"trial-{'-'.join(names)}", job=job) as client:
        if kill is not None:
            client.wait_for(lambda e: sum(x["event"] == "token" for x in e) >= 10, limit_s=120)
            swarm.children[kill].kill()
        events = client.finish(limit_s=180)
    return answers(events)["x"], next(e for e in events if e["event"] == "drafted")


if __name__ == "__main__":
    main()
