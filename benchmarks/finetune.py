"""Does fine-tuning the last layer that the length predictor runs help? (docs/length.md)

Target: what the ridge on frozen features gets wrong of each prompt's verbosity, left out within the
training prompts, so that only what is new is learnt. AlpacaEval's matrix in ../shared/data; needs
the extra ``[length]``.

    python benchmarks/finetune.py [--splits 5] [--epochs 8] [--rates 2e-5 1e-4 3e-4]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from length import alpaca_eval

from swarmplan.core.content import FloatArray, IntArray
from swarmplan.perfmodel.length.dataset import grouped_splits
from swarmplan.perfmodel.length.encoder import Encoder
from swarmplan.perfmodel.length.metrics import kendall
from swarmplan.perfmodel.length.predictor import default_reader, features, train
from swarmplan.perfmodel.length.universal import verbosity

BATCH = 32


class Tuned:
    """The encoder's last used layer and a line on its pooled features."""

    def __init__(self, encoder: Encoder, prompts: Sequence[str]) -> None:
        self.encoder, last = encoder, encoder.layers - 1
        self.layer = last
        self.weights: dict[str, Any] = {
            name: w.clone().requires_grad_() if name.startswith(f"encoder.layer.{last}.") else w
            for name, w in encoder.weights.items()
        }
        self.head = torch.zeros(2 * encoder.width, requires_grad=True)
        encoder.layers = last
        with torch.inference_mode():
            self.below = []
            for ids in encoder.tokens(prompts):
                padded, mask = encoder.pad([ids])
                self.below.append(encoder.forward(padded, mask)[0].clone())
        encoder.layers = last + 1
        self.mean, self.scale = torch.zeros(1), torch.ones(1)
        pooled = torch.cat([self.pooled([i]) for i in range(len(prompts))]).detach()
        self.mean, self.scale = pooled.mean(0), pooled.std(0)

    def pooled(self, rows: Sequence[int]) -> Any:
        """(B, 2 width) standardised features of some prompts."""
        longest = max(len(self.below[i]) for i in rows)
        state = torch.zeros(len(rows), longest, self.encoder.width)
        mask = torch.zeros(len(rows), longest, dtype=torch.bool)
        for at, i in enumerate(rows):
            state[at, : len(self.below[i])] = self.below[i]
            mask[at, : len(self.below[i])] = True
        out = self.encoder.layer(state, mask, self.layer, self.weights)
        return (self.encoder.pool(out, mask) - self.mean) / self.scale

    def __call__(self, rows: Sequence[int]) -> FloatArray:
        """What is added to the ridge's verbosity."""
        with torch.no_grad():
            parts = [self.pooled(rows[b : b + 64]) @ self.head for b in range(0, len(rows), 64)]
        added: FloatArray = torch.cat(parts).numpy()
        return added


def tune(
    model: Tuned, rows: IntArray, wanted: FloatArray, rate: float, epochs: int, seed: int
) -> None:
    """AdamW on the smooth absolute error."""
    rng = np.random.default_rng(seed)
    own = [w for w in model.weights.values() if w.requires_grad]
    steps = torch.optim.AdamW(
        [{"params": own, "lr": rate}, {"params": [model.head], "lr": 1e-3}], weight_decay=0.05
    )
    target = torch.tensor(wanted, dtype=torch.float32)
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for b in range(0, len(rows), BATCH):
            part = order[b : b + BATCH]
            said = model.pooled([int(rows[i]) for i in part]) @ model.head
            loss = torch.nn.functional.smooth_l1_loss(said, target[part])
            steps.zero_grad()
            loss.backward()
            steps.step()


def explained(said: FloatArray, true: FloatArray) -> float:
    """Share of the variance explained."""
    return 1.0 - float(((true - said) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def main() -> None:
    """Print one row a split and learning rate: held-out prompts, frozen against tuned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-5, 1e-4, 3e-4])
    asked = parser.parse_args()
    torch.manual_seed(0)
    given, encoder = alpaca_eval(), default_reader()
    table = features(given.prompts, encoder)
    print("| split | learning rate | tau frozen | tau tuned | R2 frozen | R2 tuned |")
    print("|---" * 6 + "|")
    for number, (ins, out) in enumerate(grouped_splits(len(given.prompts), 5, 0)[: asked.splits]):
        fitted = train(given.of_prompts(ins), "minilm", reader=encoder, table=table[ins])
        frozen = fitted.predictor.verbosity_of(table[out])
        true_in, true = verbosity(given.of_prompts(ins))[0], verbosity(given.of_prompts(out))[0]
        for rate in asked.rates:
            model = Tuned(encoder, given.prompts)
            tune(model, ins, true_in - fitted.left_out, rate, asked.epochs, number)
            tuned = frozen + model([int(i) for i in out])
            figures = kendall(frozen, true)[0], kendall(tuned, true)[0]
            shares = explained(frozen, true), explained(tuned, true)
            print(
                f"| {number} | {rate:g} | {figures[0]:.3f} | {figures[1]:.3f} | "
                f"{shares[0]:.3f} | {shares[1]:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
