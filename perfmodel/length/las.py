"""LAS: length-sensitive modulation of an encoder's token features, trained in torch.

A squeeze-and-excitation gate looks at the average and the maximum of a prompt's token features
and scales every channel of all tokens; the modulated features are pooled again and read by a
small network. A gate that is positive and the same for all tokens passes through both poolings,
so training and prediction work on pooled features and need each prompt's encoding only once.

Two forms: ``universal`` predicts the verbosity of a prompt, to which the monotone map of each
model is applied; ``models`` predicts the quantiles of every model at once (pinball loss). The
idea is that of Argus (arXiv 2512.22925), whose figures are not public; the network is our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...core.content import FloatArray, IntArray
from ...core.errors import MissingExtraError
from .dataset import Observations
from .distribution import LEVELS
from .universal import standardise, verbosity

Form = Literal["universal", "models"]
#: Width of the hidden layer, and factors through which models differ.
HIDDEN = 64
FACTORS = 12
SQUEEZE = 8
EPOCHS = 30
BATCH = 64
RATE = 2e-3
DECAY = 0.05
DROPOUT = 0.5
#: Figures are cut this many standard deviations from their mean; columns that vary less than
#: ``STILL`` are taken to be constant.
FAR = 5.0
STILL = 1e-4
#: Parts of the training prompts; each is predicted by a network that has not seen it.
FOLDS = 5
_TYPICAL = np.array([-1.8, -1.35, -0.65, 0.0, 0.6, 1.15, 1.5, 2.2])


@dataclass(frozen=True, slots=True, kw_only=True)
class LasHead:
    """A trained ensemble; prediction is plain numpy.

    Attributes
    ----------
    form : what is predicted.
    arrays : by name; the first axis of each is the member of the ensemble.
    """

    form: Form
    width: int
    arrays: dict[str, FloatArray]

    def __call__(self, table: FloatArray) -> FloatArray:
        """(N,) verbosities or (N, M, K) standardised log lengths, averaged over the members.

        Parameters
        ----------
        table : (N, 2 * width + more) average and maximum of the token features, other figures.
        """
        a = self.arrays
        found = [
            _forward({name: a[name][i] for name in a}, table, self.width)
            for i in range(len(a["bias_in"]))
        ]
        if self.form == "universal":
            mean: FloatArray = np.mean([f[:, 0] for f in found], axis=0)
            return mean
        quantiles = [
            _spread_out(f @ a["factors"][i].T + a["place"][i], a["widths"][i])
            for i, f in enumerate(found)
        ]
        return np.asarray(np.mean(quantiles, axis=0))


def _forward(a: dict[str, FloatArray], table: FloatArray, width: int) -> FloatArray:
    x = np.clip((table - a["mean"]) * a["scale"], -FAR, FAR)
    pooled, other = x[:, : 2 * width], x[:, 2 * width :]
    inner = np.maximum(pooled @ a["squeeze"].T + a["bias_squeeze"], 0.0)
    gate = 1.0 / (1.0 + np.exp(-(inner @ a["excite"].T + a["bias_excite"])))
    gated = np.concatenate([pooled[:, :width] * gate, pooled[:, width:] * gate, other], axis=1)
    hidden = gated @ a["weight_in"].T + a["bias_in"]
    hidden = hidden / (1.0 + np.exp(-1.702 * hidden))
    found: FloatArray = hidden @ a["weight_out"].T + a["bias_out"]
    return found


def _spread_out(middle: FloatArray, widths: FloatArray) -> FloatArray:
    """(N, M, K) quantiles from medians (N, M) and offsets (M, K) that grow along the levels."""
    found: FloatArray = middle[:, :, None] + widths[None, :, :]
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """An ensemble and its predictions for the training prompts by members that never saw them."""

    head: LasHead
    left_out: FloatArray


def train_las(
    given: Observations,
    table: FloatArray,
    width: int,
    *,
    form: Form = "universal",
    seed: int = 0,
    folds: int = FOLDS,
    epochs: int = EPOCHS,
) -> Trained:
    """Train one network per fold of the prompts on all the others; deterministic by seed.

    Parameters
    ----------
    table : (P, 2 * width + more) features of the prompts of ``given``.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("length") from error
    torch.set_num_threads(1)
    size = len(given.prompts)
    folds = max(2, min(folds, size))
    part = np.random.default_rng(seed).permutation(size) % folds
    target, weight = _targets(given, form)
    members, left_out = [], []
    for fold in range(folds):
        inside = np.flatnonzero(part != fold)
        arrays = _train(torch, table, target, weight, inside, width, form, seed + fold, epochs)
        members.append(arrays)
    for fold in range(folds):
        alone = LasHead(
            form=form, width=width, arrays={n: v[None] for n, v in members[fold].items()}
        )
        left_out.append(alone(table[part == fold]))
    shape = (size, *left_out[0].shape[1:])
    held = np.zeros(shape)
    for fold in range(folds):
        held[part == fold] = left_out[fold]
    arrays = {name: np.stack([m[name] for m in members]) for name in members[0]}
    return Trained(head=LasHead(form=form, width=width, arrays=arrays), left_out=held)


def _targets(given: Observations, form: Form) -> tuple[FloatArray, FloatArray]:
    """(P, 1) or (P, M) standardised labels and their weights, 0 where nothing was observed."""
    if form == "universal":
        label, count = verbosity(given)
        return label[:, None], np.minimum(count, 8.0)[:, None]
    scores, _, _ = standardise(given)
    shape = (len(given.prompts), len(given.models))
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (given.prompt, given.model), np.clip(scores, -4.0, 4.0))
    np.add.at(count, (given.prompt, given.model), 1.0)
    return total / np.maximum(count, 1.0), np.minimum(count, 1.0)


def _train(
    torch: Any,
    table: FloatArray,
    target: FloatArray,
    weight: FloatArray,
    inside: IntArray,
    width: int,
    form: Form,
    seed: int,
    epochs: int,
) -> dict[str, FloatArray]:
    mean = table[inside].mean(axis=0)
    spread = table[inside].std(axis=0)
    scale = np.where(spread > STILL, 1.0 / np.maximum(spread, STILL), 0.0)
    x = torch.tensor(np.clip((table[inside] - mean) * scale, -FAR, FAR), dtype=torch.float32)
    y = torch.tensor(target[inside], dtype=torch.float32)
    w = torch.tensor(weight[inside] / weight[inside].mean(), dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed)
    p = _initial(torch, generator, x.shape[1], width, form, y)
    quiet = ("bias", "place", "widths")
    optimiser = torch.optim.AdamW(
        [
            {
                "params": [v for n, v in p.items() if not n.startswith(quiet)],
                "weight_decay": DECAY,
            },
            {"params": [v for n, v in p.items() if n.startswith(quiet)], "weight_decay": 0.0},
        ],
        lr=RATE,
    )
    steps = epochs * -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    levels = torch.tensor(LEVELS)
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for batch in order.split(BATCH):
            loss = _loss(torch, p, x[batch], y[batch], w[batch], width, form, levels, generator)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    arrays = {name: value.detach().numpy().astype(np.float64) for name, value in p.items()}
    if form == "models":
        arrays["widths"] = np.cumsum(
            np.concatenate(
                [arrays["widths"][:, :1], np.log1p(np.exp(arrays["widths"][:, 1:]))], axis=1
            ),
            axis=1,
        )
    return {**arrays, "mean": mean, "scale": scale}


def _initial(torch: Any, generator: Any, size: int, width: int, form: Form, y: Any) -> Any:
    def normal(rows: int, columns: int) -> Any:
        return (torch.randn(rows, columns, generator=generator) / columns**0.5).requires_grad_()

    def zeros(count: int) -> Any:
        return torch.zeros(count).requires_grad_()

    out = 1 if form == "universal" else FACTORS
    p = {
        "squeeze": normal(2 * width // SQUEEZE, 2 * width),
        "bias_squeeze": zeros(2 * width // SQUEEZE),
        "excite": normal(width, 2 * width // SQUEEZE),
        "bias_excite": zeros(width),
        "weight_in": normal(HIDDEN, size),
        "bias_in": zeros(HIDDEN),
        "weight_out": normal(out, HIDDEN),
        "bias_out": zeros(out),
    }
    if form == "models":
        count = y.shape[1]
        first = torch.full((count, 1), float(_TYPICAL[0]))
        rest = torch.tensor(np.log(np.expm1(np.diff(_TYPICAL))), dtype=torch.float32)
        p["factors"] = (0.3 * torch.randn(count, FACTORS, generator=generator)).requires_grad_()
        p["place"] = zeros(count)
        p["widths"] = torch.cat([first, rest.repeat(count, 1)], dim=1).requires_grad_()
    return p


def _loss(
    torch: Any,
    p: Any,
    x: Any,
    y: Any,
    w: Any,
    width: int,
    form: Form,
    levels: Any,
    generator: Any,
) -> Any:
    pooled, other = x[:, : 2 * width], x[:, 2 * width :]
    inner = torch.relu(pooled @ p["squeeze"].T + p["bias_squeeze"])
    gate = torch.sigmoid(inner @ p["excite"].T + p["bias_excite"])
    gated = torch.cat([pooled[:, :width] * gate, pooled[:, width:] * gate, other], dim=1)
    gated = gated * _kept(torch, gated.shape, DROPOUT / 2, generator)
    hidden = gated @ p["weight_in"].T + p["bias_in"]
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    hidden = hidden * _kept(torch, hidden.shape, DROPOUT, generator)
    out = hidden @ p["weight_out"].T + p["bias_out"]
    if form == "universal":
        return (w * torch.nn.functional.smooth_l1_loss(out, y, reduction="none", beta=0.5)).mean()
    middle = out @ p["factors"].T + p["place"]
    grown = torch.nn.functional.softplus(p["widths"][:, 1:])
    offsets = torch.cumsum(torch.cat([p["widths"][:, :1], grown], dim=1), dim=1)
    gap = y[:, :, None] - middle[:, :, None] - offsets[None]
    pinball = torch.maximum(levels * gap, (levels - 1) * gap)
    return (w[:, :, None] * pinball).mean()


def _kept(torch: Any, shape: Sequence[int], drop: float, generator: Any) -> Any:
    """A dropout mask from the run's own generator."""
    return (torch.rand(shape, generator=generator) >= drop).float() / (1.0 - drop)
