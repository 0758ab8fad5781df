"""Speculation on live PETALS servers: drafts of three qualities, how many chosen by the client.

Two servers hold a tiny random Llama, 60 and 90 ms away; the draft models are the target with a
disturbed head. Every prompt runs drafted, every second one plain too just before or after it, by
the same client and over the same chain; every token is compared with the local model's. Then what
has to go wrong, and what must not: servers without the remedy, one such server in the chain, a
server killed in mid-generation. Needs the environment of ``make swarm-env``:

    .swarm-env/bin/python benchmarks/live_speculation.py [--prompts 34] [--fixed 4] [--push]

34 prompts are 102 drafted generations, and take about 20 minutes on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from swarmplan.simulator.metrics import Interval
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.processes import passing_folder
from swarmplan.swarm.trial import ClientProcess, Event, answers, operate, publish_spans

BLOCKS = 8
#: Share of first drafts that are to be right.
QUALITIES = {"good": 0.86, "fair": 0.63, "poor": 0.35}
RTT_S = {"A": 0.060, "B": 0.090, "C": 0.090, "old-A": 0.060, "old-B": 0.090}
SPANS = {"A": (0, 3), "B": (3, 8), "C": (3, 8), "old-A": (0, 3), "old-B": (3, 8)}
CONFIG = {"request_timeout": 30, "update_period": 10, "max_retries": 4}
#: So few prompts all run plain too.
FEW = 8
Tokens = Sequence[Sequence[int]]


def main() -> None:
    """Print the table, then the three trials."""
    from swarmplan.swarm.tiny_model import local_tokens, save_tiny_llama

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--prompts", type=int, default=34, help="for each draft model")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer")
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
        wanted = local_tokens(model, prompts, given.tokens)
        drafts = {name: draft_of(model, folder / name, a, prompts[:4], wanted[:4])
                  for name, a in QUALITIES.items()}  # fmt: skip
        operate(folder / "keygen.log", "keygen", str(folder / "key"))
        with LoopbackSwarm(folder=folder / "swarm", model=model, update_period_s=10.0) as swarm:
            swarm.start_servers([spec(name, push=given.push) for name in SPANS])
            load = ("--prompt-tokens", "6", "--output-tokens", str(given.tokens))
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
    print("\t".join([*head, "k of passes", "acceptance by place"]), flush=True)
    equal: Counter[str] = Counter()
    numbers: list[int | str] = ["auto", *fixed]
    for name, path in drafts.items():
        for tokens in numbers:
            done, told = run(
                swarm, f"{name}-{tokens}", routing, str(path), tokens, prompts, len(wanted[0])
            )
            ways = (("drafted", range(len(prompts))), ("plain", beside(len(prompts))))
            right = {
                kind: [done.get(f"{kind}{i}", {}).get("tokens") == wanted[i] for i in rows]
                for kind, rows in ways
            }
            equal += Counter({kind: sum(same) for kind, same in right.items()})
            shown = f"{sum(right['drafted'])} of {len(prompts)}"
            print("\t".join([name, str(tokens), shown, *figures(done, told, len(prompts))]),
                  flush=True)  # fmt: skip
    runs = len(drafts) * len(numbers)
    print(f"# {equal['drafted']} of {runs * len(prompts)} drafted generations have the local "
          f"model's tokens, {equal['plain']} of {runs * len(beside(len(prompts)))} plain ones",
          flush=True)  # fmt: skip


def beside(prompts: int) -> range:
    """The prompts that run plain too: every second one of many."""
    return range(0, prompts, 1 if prompts < FEW else 2)


def run(
    swarm: LoopbackSwarm,
    name: str,
    routing: dict[str, Any],
    draft: str,
    tokens: int | str,
    prompts: Tokens,
    new_tokens: int,
) -> tuple[dict[str, Event], Event]:
    """Every prompt drafted, some plain too, the one that goes first changing."""
    requests = []
    for i, prompt in enumerate(prompts):
        both = [
            {"id": f"{kind}{i}", "prompt": prompt, "new_tokens": new_tokens}
            | {"draft": kind == "drafted", "route": route(swarm)}
            for kind in ("plain", "drafted")
        ]
        if i not in beside(len(prompts)):
            requests += both[1:]
        else:
            requests += both if i % 4 == 0 else both[::-1]
    job = {
        "routing": routing,
        "requests": requests,
        "config": CONFIG,
        "draft": {"model": draft, "tokens": tokens},
    }
    with ClientProcess(swarm=swarm, name=name, job=job) as client:
        events = client.finish(limit_s=300 + 60 * len(prompts))
    return answers(events), next(e for e in events if e["event"] == "drafted")


def route(swarm: LoopbackSwarm, *names: str) -> list[tuple[str, int, int]]:
    """The chain over servers, A and B where none are named."""
    return [(swarm.peers[n], *SPANS[n]) for n in names or ("A", "B")]


def figures(done: dict[str, Event], told: Event, prompts: int) -> list[str]:
    """Of one line: means over the prompts, in ms a token after the first."""
    plain = {i: sum(done[f"plain{i}"]["steps_s"][1:]) for i in beside(prompts)}
    made = [done[f"drafted{i}"]["passes"][1:] for i in range(prompts)]
    drafted = [sum(seconds for _, _, seconds in passes) for passes in made]
    each = 1e3 / (len(done["plain0"]["tokens"]) - 1)
    ks = Counter(k for passes in made for k, _, _ in passes[:-1])  # the last drafts what is left
    usual = " ".join(f"{k}: {count / ks.total():.0%}" for k, count in ks.most_common(4))
    shown = " ".join(f"{a:.2f}" for a in told.get("speculation", {}).get("acceptance", [])[:8])
    ratio = Interval.of([drafted[i] / seconds for i, seconds in plain.items()])
    cells = (each * mean(plain.values()), each * mean(drafted))
    return [*(f"{c:.1f}" for c in cells), f"{ratio.mean:.3f} ± {ratio.half_width:.3f}",
            f"{told['tokens_per_pass']:.2f}", usual, shown]  # fmt: skip


def trials(swarm: LoopbackSwarm, draft: str, prompt: Sequence[int], wanted: Sequence[int]) -> None:
    """What has to go wrong, and what must not."""
    given = (swarm, draft, prompt, len(wanted))
    done, told = one(*given, ("A", "old-B"))
    drafted, note = told["drafted"], "; ".join(told["notes"])
    same = done.get("tokens") == wanted
    print(f"one server without the remedy: {drafted} drafts, equal {same}; {note}", flush=True)
    done, _ = one(*given, ("old-A", "old-B"), believe=True)
    same = done.get("tokens") == wanted
    error = done.get("error", "no error")[:90]
    print(f"control, drafts over servers without it: equal {same}; {error}", flush=True)
    done, told = one(*given, ("A", "B"), kill="B")
    longest = max((seconds for _, _, seconds in done.get("passes", [])[1:]), default=0.0)
    same = done.get("tokens") == wanted
    print(f"server killed after ten tokens: equal {same}; longest pass {longest:.2f} s", flush=True)


def one(
    swarm: LoopbackSwarm,
    draft: str,
    prompt: Sequence[int],
    new_tokens: int,
    names: tuple[str, ...],
    *,
    believe: bool = False,
    kill: str | None = None,
) -> tuple[Event, Event]:
    """One drafted generation over a chain, and what drafting came to."""
    request = {"id": "x", "prompt": list(prompt), "new_tokens": new_tokens, "draft": True}
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
