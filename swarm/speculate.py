"""Drafting for a distributed model: ``speculate(model, "small-model")``.

Only that object changes: where its ``generate`` takes the best tokens or draws them, a draft model
guesses some, the swarm looks at all of them in one pass, and what the swarm would not have taken is
taken back. The tokens are those of the swarm alone; drawn ones have its distribution.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..core.drafting import MOST_DRAFTS
from ..core.errors import ScenarioError
from .compat import capabilities
from .draft_model import Guesser, load_draft, time_drafts
from .drafting import REVIEW, DraftReport, LiveDrafts, prior_of
from .harm import Chain
from .judging import judge_greedy, judge_sampled

if TYPE_CHECKING:
    from .client import PlannedRouting

logger = logging.getLogger(__name__)

#: Options of ``generate`` that need what only PETALS' own loop collects.
_NEEDS_OWN_LOOP = (
    "output_scores",
    "return_dict_in_generate",
    "output_attentions",
    "output_hidden_states",
    "synced_gpus",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass of a generation: its drafts, those that were right, its new tokens, seconds."""

    number: int
    drafts: int
    right: int
    tokens: tuple[int, ...]
    seconds: float
    chain: Chain


class Speculation:
    """A distributed model whose generations are drafted."""

    def __init__(
        self,
        model: Any,
        draft: Any,
        live: LiveDrafts,
        *,
        routing: PlannedRouting | None = None,
        on_pass: Callable[[Pass], None] = lambda _: None,
    ) -> None:
        self.model, self.draft, self.live, self.on_pass = model, draft, live, on_pass
        self._routing = routing
        self._greedy, self._sample = model.greedy_search, model.sample
        model.greedy_search, model.sample = self._take_best, self._draw

    def report(self) -> DraftReport:
        """What drafting came to so far."""
        return self.live.report()

    def _take_best(self, input_ids: Any, **asked: Any) -> Any:
        if not _can_draft(self.model, input_ids, asked):
            return self._greedy(input_ids, **asked)
        return _Generation(self, self.draft, self._routing, asked, draws=False).run(input_ids)

    def _draw(self, input_ids: Any, **asked: Any) -> Any:
        if not _can_draft(self.model, input_ids, asked):
            return self._sample(input_ids, **asked)
        return _Generation(self, self.draft, self._routing, asked, draws=True).run(input_ids)


def _can_draft(model: Any, ids: Any, asked: dict[str, Any]) -> bool:
    """One text, of which its session has seen all but the last token or nothing; its length known,
    and nothing unusual asked."""
    criteria = asked.get("stopping_criteria")
    limited = criteria is not None and criteria.max_length is not None
    usual = not any(asked.get(name) for name in _NEEDS_OWN_LOOP)
    session = model.active_session
    if not (limited and usual) or len(ids) != 1 or not hasattr(session, "rollback"):
        return False
    before = session.output_ids
    seen = 0 if before is None else before.shape[1] - 1
    # Trained prompts take positions that are no tokens.
    return session.position == seen and not getattr(model.config, "tuning_mode", None)


class _Generation:
    """One answer."""

    def __init__(
        self,
        owner: Speculation,
        draft: Any,
        routing: PlannedRouting | None,
        asked: dict[str, Any],
        *,
        draws: bool,
    ) -> None:
        self._model, self._live, self._on_pass = owner.model, owner.live, owner.on_pass
        self._session = owner.model.active_session
        self._guesser, self._routing, self._draws = Guesser(draft), routing, draws
        self._processors = [
            one
            for name in ("logits_processor", "logits_warper")
            for one in asked.pop(name, None) or ()
        ]
        self._criteria = asked.pop("stopping_criteria")
        self._streamer = asked.pop("streamer", None)
        ends = asked.pop("eos_token_id", None)
        self._ends = set() if ends is None else {ends} if isinstance(ends, int) else set(ends)
        self._inputs = {
            k: v for k, v in asked.items() if k not in (*_NEEDS_OWN_LOOP, "pad_token_id")
        }
        self._chain: Chain = ()
        # Drafts of a pass, and for how many passes more.
        self._best, self._holds = 0, 0

    def run(self, ids: Any) -> Any:
        """The text with its answer."""
        # PETALS' own way to the tokens that its session has not seen yet.
        new = self._model.prepare_inputs_for_generation(ids, **self._inputs)["input_ids"]
        number, going = 0, True
        while going:
            began = time.perf_counter()
            drafts, guessed = self._guess(ids, number)
            drafted_s = time.perf_counter() - began
            kept, right = self._pass(ids, new, drafts, guessed)
            ids, kept, going = self._grown(ids, kept)
            self._go_on_at(ids.shape[1] - 1, len(kept) - 1)
            took_s = time.perf_counter() - began
            self._tell(number, len(drafts), right, kept, drafted_s, took_s)
            new = ids[:, -1:]
            number += 1
        if self._streamer is not None:
            self._streamer.end()
        return ids

    def _guess(self, ids: Any, number: int) -> tuple[list[int], Any]:
        """Drafts for the next pass: none with the prompt, never past the end of the answer."""
        left = self._criteria.max_length - ids.shape[1]
        room = self._session._max_length - ids.shape[1]
        drafts = min(self._wanted(), left - 1, room) if number else 0
        if drafts <= 0:
            return [], np.empty((0, 0))
        return self._guesser.guess(ids, drafts, self._scores, draws=self._draws)

    def _wanted(self) -> int:
        """Drafts by the chain, as it is now, and by what was learned since."""
        hops = self._session._server_sessions
        chain = tuple((h.span.peer_id.to_base58(), h.span.start, h.span.end) for h in hops)
        if chain == self._chain and self._holds:
            return self._best
        self._chain = chain
        stuck = [h.span for h in hops if not capabilities.rolls_back(h.span.server_info)]
        if stuck:
            names = ", ".join(s.server_info.public_name or str(s.peer_id) for s in stuck)
            text = f"no drafts on this chain: sessions at {names} cannot take tokens back"
            self._live.note(text)
            logger.warning(text)
            self._best, self._holds = 0, REVIEW
        else:
            planned = None if self._routing is None else self._routing.passes(chain)
            self._best, self._holds = self._live.best(chain, planned)
        if self._routing is not None:
            self._routing.tokens_per_pass = self._live.tokens_per_pass(self._best)
        return self._best

    def _pass(self, ids: Any, new: Any, drafts: list[int], guessed: Any) -> tuple[list[int], int]:
        """New tokens, and how many of them are drafts."""
        tally = getattr(self._session, "tally", None)
        if tally is not None:
            tally.drafts = len(drafts)
        sent = torch.cat([new, torch.tensor([drafts], dtype=new.dtype, device=new.device)], dim=1)
        logits = self._model(sent).logits[0, -(len(drafts) + 1) :].float()
        whole = torch.cat([ids, sent[:, new.shape[1] :]], dim=1)
        at = ids.shape[1]
        rows = [self._scores(whole[:, : at + i], logits[i : i + 1]) for i in range(len(logits))]
        if self._draws:
            target = torch.cat(rows).softmax(-1).double().cpu().numpy()
            luck = torch.rand(len(rows), dtype=torch.float64).numpy()
            right, token = judge_sampled(target, guessed, drafts, luck)
        else:
            right, token = judge_greedy([int(r.argmax(-1)) for r in rows], drafts)
        return [*drafts[:right], token], right

    def _scores(self, text: Any, logits: Any) -> Any:
        for process in self._processors:
            logits = process(text, logits)
        return logits

    def _grown(self, ids: Any, kept: list[int]) -> tuple[Any, list[int], bool]:
        """The text with the new tokens, those that it took, and whether it goes on."""
        for count, token in enumerate(kept, 1):
            one = torch.tensor([[token]], dtype=ids.dtype, device=ids.device)
            ids = torch.cat([ids, one], dim=1)
            if self._streamer is not None:
                self._streamer.put(one[0].cpu())
            if token in self._ends or self._criteria(ids, None):
                return ids, kept[:count], False
        return ids, kept, True

    def _go_on_at(self, position: int, gained: int) -> None:
        """Take back what the next pass does not go on from; the last token is always sent then."""
        self._session.rollback(position)
        tally = getattr(self._session, "tally", None)
        if tally is not None:
            tally.gained(gained)

    def _tell(
        self, number: int, drafts: int, right: int, kept: list[int], drafted_s: float, took_s: float
    ) -> None:
        chain = tuple(
            (h.span.peer_id.to_base58(), h.span.start, h.span.end)
            for h in self._session._server_sessions
        )
        if number:
            self._holds = max(0, self._holds - 1)
            self._live.saw(
                chain,
                drafts=drafts,
                right=right,
                new=len(kept),
                draft_s=drafted_s,
                verify_s=took_s - drafted_s,
                usual=number > 1,
            )
        self._on_pass(
            Pass(
                number=number,
                drafts=drafts,
                right=right,
                tokens=tuple(kept),
                seconds=took_s,
                chain=chain,
            )
        )


def speculate(
    model: Any,
    draft: Any,
    *,
    draft_tokens: int | Literal["auto"] = "auto",
    routing: PlannedRouting | None = None,
    name: str | None = None,
    on_pass: Callable[[Pass], None] = lambda _: None,
) -> Speculation:
    """Let a small model draft for every generation of a distributed model.

    Call ``swarmplan.swarm.compat.apply_remedies("client")`` before petals is imported.

    Parameters
    ----------
    draft : the small model, its folder or repository; its tokens must be those of the target.
    draft_tokens : of each pass; ``auto`` = what chain, plan and acceptance make best.
    routing : of ``plan_requests`` for the same model, if there is one.
    name : of the distributed model, to compare its tokenizer with the draft model's.
    on_pass : hears of every pass.

    Raises
    ------
    ScenarioError
        If the draft model cannot be used, or the remedy ``rollback`` is not there.
    """
    from petals.client.inference_session import InferenceSession

    if not hasattr(InferenceSession, "rollback"):
        raise ScenarioError.single("--draft", "needs the remedy rollback: apply_remedies('client')")
    if draft_tokens != "auto" and not 0 <= draft_tokens <= MOST_DRAFTS:
        text = f"must be auto or lie in 0 .. {MOST_DRAFTS}, got {draft_tokens}"
        raise ScenarioError.single("--draft-tokens", text)
    loaded = load_draft(draft, model, target_name=name) if isinstance(draft, str) else draft
    plan, client = (None, None) if routing is None else (routing.plan, routing.client)
    live = LiveDrafts(
        wanted=draft_tokens, prior=prior_of(plan, client), draft_s=time_drafts(loaded)
    )
    return Speculation(model, loaded, live, routing=routing, on_pass=on_pass)
