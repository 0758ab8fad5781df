"""How a live client drafts: how often its drafts turn out right, and how many are best.

What is learned is one vector, the probability of draft i where all before it were right, from all
generations of a client. How many are drafted follows from it by the formula of docs/model.md 15:
what a pass takes by the plan in force, others' time at its price; without a plan, by the passes
that were made. Plain Python, no hivemind, no torch.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ..core.content import FloatArray, frozen_array
from ..core.drafting import MOST_DRAFTS, DraftModel
from ..core.plan import Hop, Route
from ..methods.drafting import DraftChoice, Price
from ..perfmodel.passcurve import PassCurves
from ..perfmodel.speculation import best_drafts, each_acceptance, survival, tokens_per_pass
from .harm import Chain
from .record import LivePlan

#: Tries that what was known before counts for, and passes after which drafts are chosen anew.
WEIGHT, REVIEW = 20.0, 16
#: Acceptance where nothing is known.
PRIOR = (0.7,)
#: What a draft more takes of a pass where nothing is known; counts as four passes of eight drafts.
SLOPE, SLOPE_WEIGHT = 0.02, 4.0 * 8**2
#: Passes without drafts that are timed first where no plan tells what they take; passes from which
#: on the shortest counts beside what a plan tells.
TIMED, SEEN = 2, 4


class Acceptance:
    """Tries and hits of drafts, by their place in the pass.

    Parameters
    ----------
    prior : a_1, a_2, ... as known before; the last one is that of all further drafts.
    """

    def __init__(self, prior: Sequence[float] = PRIOR) -> None:
        self._prior = each_acceptance(prior, MOST_DRAFTS)
        self.tried, self.right = np.zeros((2, MOST_DRAFTS), dtype=np.int64)

    def saw(self, drafts: int, right: int) -> None:
        """A pass in which the first so many of some drafts were right."""
        self.right[:right] += 1
        self.tried[: min(drafts, right + 1)] += 1

    @property
    def by_place(self) -> FloatArray:
        """(MOST_DRAFTS,) a_1, a_2, ...: what was seen, and what was known before."""
        seen: FloatArray = (self.right + WEIGHT * self._prior) / (self.tried + WEIGHT)
        return seen

    @property
    def known(self) -> tuple[float, ...]:
        """The same as far as anything was tried."""
        return tuple(self.by_place[: int(np.count_nonzero(self.tried))].tolist())


class PassTimes:
    """What passes over one chain took, by their drafts."""

    def __init__(self) -> None:
        self._count: FloatArray = np.zeros(MOST_DRAFTS + 1)
        self._total_s: FloatArray = np.zeros(MOST_DRAFTS + 1)
        self._least_s: FloatArray = np.full(MOST_DRAFTS + 1, np.inf)

    def saw(self, drafts: int, seconds: float) -> None:
        """A pass, the client's drafts left out."""
        self._count[drafts] += 1
        self._total_s[drafts] += seconds
        self._least_s[drafts] = min(self._least_s[drafts], seconds)

    @property
    def plain_s(self) -> float | None:
        """A pass without drafts, once some were made."""
        return None if self._count[0] < TIMED else float(self._total_s[0] / self._count[0])

    def beyond_s(self, said_s: FloatArray) -> float:
        """What the shortest pass took beyond what was said of it: no wait for others, but what ways
        and software take that nobody knew of.

        Parameters
        ----------
        said_s : (MOST_DRAFTS + 1,) by drafts, where nobody else is there.
        """
        if self._count.sum() < SEEN:
            return 0.0
        return max(float((self._least_s - said_s).min()), -float(said_s[0]) / 2)

    def verify_s(self) -> FloatArray | None:
        """(MOST_DRAFTS + 1,) a pass by its drafts: a line through what was seen."""
        plain_s = self.plain_s
        if plain_s is None:
            return None
        drafts: FloatArray = np.arange(MOST_DRAFTS + 1, dtype=np.float64)
        # Least squares through the time without drafts, beside what is usual.
        seen = float((drafts * (self._total_s - self._count * plain_s)).sum())
        weight = float((self._count * drafts**2).sum()) + SLOPE_WEIGHT
        slope_s = max(0.0, (seen + SLOPE_WEIGHT * SLOPE * plain_s) / weight)
        return frozen_array(plain_s + slope_s * drafts, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a plan says of drafts over one chain.

    Attributes
    ----------
    verify_s : (MOST_DRAFTS + 1,) seconds of a pass without the client's drafts, others' time at its
        price, by drafts; alone_s : the same where nobody else is there.
    wanted : whether the plan has this client draft at all, or leaves it open.
    """

    verify_s: FloatArray
    alone_s: FloatArray
    wanted: bool


def price_of(plan: LivePlan) -> Price:
    """What the servers' time costs by the plan's own routes and load."""
    return DraftChoice(plan.problem, plan.routes).price()


def planned_passes(
    plan: LivePlan, price: Price, client: str | None, chain: Chain, rtt_s: Mapping[str, float]
) -> Planned | None:
    """The plan's word on a chain, None where it does not know all of its servers.

    Parameters
    ----------
    price : as of ``price_of``. rtt_s : measured round trips by peer, in place of the plan's.
    """
    rows = {s.id: j for j, s in enumerate(plan.problem.servers)}
    if any(peer not in rows for peer, _, _ in chain):
        return None
    row = plan.client_row(client)
    near = plan.problem.network.client_rtt_s.copy()
    for peer, trip_s in rtt_s.items():
        if peer in rows:
            near[row, rows[peer]] = trip_s
    problem = replace(plan.problem, network=replace(plan.problem.network, client_rtt_s=near))
    hops = tuple(Hop(server=rows[peer], start=a, end=b) for peer, a, b in chain)
    curve = PassCurves(problem).curve(row, Route(hops=hops), _NO_MODEL)
    could = bool(plan.problem.drafting and plan.problem.drafting[row].models)
    none = bool(plan.drafts) and could and not plan.drafts[row].tokens
    return Planned(
        verify_s=curve.verify_s(*price.of(curve)),
        alone_s=curve.verify_s(np.ones(len(hops)), np.zeros(len(hops))),
        wanted=not none,
    )


_NO_MODEL = DraftModel(acceptance=(0.0,), draft_s=0.0)


def prior_of(plan: LivePlan | None, client: str | None) -> tuple[float, ...]:
    """Acceptance as the plan's scenario has it, else a guess."""
    if plan is None or not plan.problem.drafting:
        return PRIOR
    row = plan.client_row(client)
    own, use = plan.problem.drafting[row], plan.drafts[row] if plan.drafts else None
    if not own.models:
        return PRIOR
    return own.models[use.model if use else own.use.model].acceptance


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftReport:
    """What drafting came to.

    Attributes
    ----------
    tokens, passes : made, without the first token of each answer and its pass.
    acceptance : a_1, a_2, ... as learned, as far as drafts were tried.
    draft_s : what a draft takes; token_s : mean time of a token.
    plain_s : of a token without drafts, where such passes were made or a plan tells.
    notes : why nothing was drafted at times.
    """

    tokens: int
    passes: int
    drafted: int
    right: int
    acceptance: tuple[float, ...]
    draft_s: float
    token_s: float | None
    plain_s: float | None
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON; ``speculation`` is a scenario's table of that name."""
        found: dict[str, Any] = {
            "tokens": self.tokens,
            "passes": self.passes,
            "drafted": self.drafted,
            "right": self.right,
            "tokens_per_pass": self.tokens / self.passes if self.passes else None,
            "ms_per_token": None if self.token_s is None else 1e3 * self.token_s,
            "plain_ms_per_token": None if self.plain_s is None else 1e3 * self.plain_s,
            "gain": self.gain,
            "notes": list(self.notes),
        }
        if self.acceptance:
            found["speculation"] = {
                "acceptance": [round(a, 4) for a in self.acceptance],
                "draft_ms": round(1e3 * self.draft_s, 3),
                "draft_tokens": "auto",
            }
        return found

    @property
    def gain(self) -> float | None:
        """Time of a token without drafts over that with them."""
        known = self.plain_s is not None and self.token_s
        return self.plain_s / self.token_s if known and self.plain_s and self.token_s else None

    def lines(self) -> list[str]:
        """For people."""
        if not self.passes:
            return [*self.notes, "nothing was drafted"]
        made = f"{self.tokens} tokens in {self.passes} passes"
        kept = f"{self.right} of {self.drafted} drafts kept, {1e3 * self.draft_s:.1f} ms each"
        shown = ", ".join(f"{a:.2f}" for a in self.acceptance[:8])
        lines = [f"{made}; {kept}", *self.notes]
        if shown:
            lines.append(f"acceptance by place: {shown}")
        if self.token_s is not None:
            gain = "" if self.gain is None else f", {self.gain:.2f} times as fast as without drafts"
            lines.append(f"{1e3 * self.token_s:.0f} ms per token{gain}")
        return lines


@dataclass(kw_only=True)
class LiveDrafts:
    """Drafts of one client: how many, and what became of them.

    Attributes
    ----------
    wanted : a number for every pass, or ``auto``.
    draft_s : what a draft takes, seconds; renewed with every pass.
    """

    wanted: int | Literal["auto"] = "auto"
    prior: Sequence[float] = PRIOR
    draft_s: float = 0.0
    acceptance: Acceptance = field(init=False)
    _times: dict[Chain, PassTimes] = field(default_factory=dict)
    _plain_s: float | None = None
    _spent_s: float = 0.0
    _made: Counter[str] = field(default_factory=Counter)
    _notes: dict[str, None] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.acceptance = Acceptance(self.prior)

    def best(self, chain: Chain, planned: Planned | None) -> tuple[int, int]:
        """Drafts of the next passes over a chain, and for how many passes that holds."""
        if self.wanted != "auto":
            return min(self.wanted, MOST_DRAFTS), REVIEW
        with self._lock:
            if planned is not None and not planned.wanted:
                self._notes["the plan has this client draft nothing"] = None
                return 0, REVIEW
            times = self._times.setdefault(chain, PassTimes())
            if planned is None:
                verify_s = times.verify_s()
            else:
                verify_s = planned.verify_s + times.beyond_s(planned.alone_s)
            if verify_s is None:
                return 0, TIMED
            self._plain_s = float(verify_s[0]) if times.plain_s is None else times.plain_s
            return best_of(verify_s, self.draft_s, self.acceptance.by_place), REVIEW

    def saw(
        self,
        chain: Chain,
        *,
        drafts: int,
        right: int,
        new: int,
        draft_s: float,
        verify_s: float,
        usual: bool = True,
    ) -> None:
        """A pass that made some new tokens.

        Parameters
        ----------
        draft_s, verify_s : what its drafts took, and the rest of it.
        usual : whether such drafts always take so long; the first ones read a whole prompt.
        """
        with self._lock:
            self.acceptance.saw(drafts, right)
            self._times.setdefault(chain, PassTimes()).saw(drafts, verify_s)
            if drafts and usual:
                mean_s = draft_s / drafts
                self.draft_s += 0.1 * (mean_s - self.draft_s) if self.draft_s else mean_s
            self._spent_s += draft_s + verify_s
            self._made.update(tokens=new, passes=1, drafted=drafts, right=right)

    def tokens_per_pass(self, drafts: int) -> float:
        """Expected of a pass, by what was learned."""
        alive = survival(self.acceptance.by_place.tolist(), MOST_DRAFTS)
        return tokens_per_pass(alive, drafts)

    def note(self, text: str) -> None:
        """Why nothing is drafted."""
        with self._lock:
            self._notes[text] = None

    def report(self) -> DraftReport:
        """What it came to so far."""
        with self._lock:
            plain = [t.plain_s for t in self._times.values() if t.plain_s is not None]
            made = self._made
            return DraftReport(
                tokens=made["tokens"],
                passes=made["passes"],
                drafted=made["drafted"],
                right=made["right"],
                acceptance=self.acceptance.known,
                draft_s=self.draft_s,
                token_s=self._spent_s / made["tokens"] if made["tokens"] else None,
                plain_s=float(np.mean(plain)) if plain else self._plain_s,
                notes=tuple(self._notes),
            )


def best_of(verify_s: FloatArray, draft_s: float, acceptance: FloatArray) -> int:
    """k* by what passes take, what a draft takes, and how often drafts are right.

    Parameters
    ----------
    verify_s : (K + 1,) seconds of a pass with 0 .. K drafts.
    """
    most = len(verify_s) - 1
    alive = survival(acceptance.tolist(), most)
    tokens = [tokens_per_pass(alive, k) for k in range(most + 1)]
    return best_drafts((verify_s + draft_s * np.arange(most + 1)).tolist(), tokens)
