"""Asking a live swarm: ``swarmplan swarm drive``, in the process of the command itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from ..core.errors import ScenarioError, SwarmplanError, SwarmUnreachableError
from .client import plan_requests
from .draft_model import tokenizer_of
from .drafting import DraftReport
from .drive import load_model
from .routes import check_adapter
from .speculate import speculate


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What to ask whom, and how; see the command's options."""

    model: str
    initial_peers: Sequence[str] = ()
    prefix: str | None = None
    operator_key: str | None = None
    client: str | None = None
    prompts: Sequence[str] = ()
    ids: Sequence[str] = ()
    new_tokens: int = 64
    draft: str | None = None
    draft_tokens: int | Literal["auto"] = "auto"
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer.

    Attributes
    ----------
    text : None where the model has no tokenizer.
    first_s, whole_s : time to the first token, to the last one.
    """

    ids: tuple[int, ...]
    text: str | None
    first_s: float
    whole_s: float

    @property
    def token_s(self) -> float | None:
        """Time of a token after the first."""
        more = len(self.ids) - 1
        return (self.whole_s - self.first_s) / more if more > 0 else None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "ids": list(self.ids),
            "text": self.text,
            "first_ms": 1e3 * self.first_s,
            "ms_per_token": None if self.token_s is None else 1e3 * self.token_s,
        }

    def line(self) -> str:
        """For people."""
        rest = "" if self.token_s is None else f", then {1e3 * self.token_s:.0f} ms per token"
        return f"{len(self.ids)} tokens; the first after {1e3 * self.first_s:.0f} ms{rest}"


class _Watch:
    """A streamer of ``generate`` that notes when the first token came."""

    def __init__(self) -> None:
        self._heard = 0
        self.first_s = self._began = time.perf_counter()

    def put(self, _tokens: Any) -> None:
        """The prompt, then every token."""
        if self._heard == 1:
            self.first_s = time.perf_counter()
        self._heard += 1

    def end(self) -> None:
        """The answer is over."""


def ask(given: Ask) -> tuple[list[Answer], DraftReport | None]:
    """The answers, and what drafting came to where a model drafts.

    Raises
    ------
    ScenarioError, SwarmUnreachableError
        For prompts that cannot be read, models that cannot be used, and a swarm that does not
        answer.
    """
    tokenizer = tokenizer_of(given.model) if given.prompts else None
    prompts = _prompts(given, tokenizer)
    options: dict[str, Any] = {"do_sample": given.temperature is not None}
    if given.temperature is not None:
        options["temperature"] = given.temperature
        if given.top_p is not None:
            options["top_p"] = given.top_p
    elif given.top_p is not None:
        raise ScenarioError.single("--top-p", "goes with --temperature")
    model = _loaded(given)
    check_adapter(model.transformer.h.sequence_manager)
    routing = drafting = None
    if given.operator_key is not None:
        routing = plan_requests(model, public_key=given.operator_key, client=given.client)
    if given.draft is not None:
        drafting = speculate(
            model,
            given.draft,
            draft_tokens=given.draft_tokens,
            routing=routing,
            name=given.model,
        )
    if given.seed is not None:
        torch.manual_seed(given.seed)
    answers = [_answer(model, p, given.new_tokens, tokenizer, options) for p in prompts]
    return answers, None if drafting is None else drafting.report()


def _loaded(given: Ask) -> Any:
    job: dict[str, Any] = {"model": given.model, "dtype": "auto"}
    job |= {"config": {"active_adapter": given.adapter}} if given.adapter else {}
    job |= {"prefix": given.prefix} if given.prefix else {}
    job |= {"initial_peers": list(given.initial_peers)} if given.initial_peers else {}
    try:
        return load_model(job)
    except (OSError, ValueError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ScenarioError.single("--model", f"cannot load {given.model!r}: {said}") from error


def _prompts(given: Ask, tokenizer: Any) -> list[list[int]]:
    if given.prompts and tokenizer is None:
        text = f"{given.model!r} has no tokenizer: give --ids in place of text"
        raise ScenarioError.single("--prompt", text)
    found = [list(map(int, tokenizer(text)["input_ids"])) for text in given.prompts]
    for text in given.ids:
        try:
            found.append([int(word) for word in text.replace(",", " ").split()])
        except ValueError:
            raise ScenarioError.single("--ids", f"{text[:40]!r} is no list of numbers") from None
    if not found or not all(found):
        raise ScenarioError.single("--prompt", "give --prompt or --ids, with a token at least")
    return found


def _answer(
    model: Any, prompt: list[int], new_tokens: int, tokenizer: Any, options: dict[str, Any]
) -> Answer:
    least = model.config.vocab_size
    if not all(0 <= token < least for token in prompt):
        raise ScenarioError.single("--ids", f"tokens lie in 0 .. {least - 1}")
    watch, began = _Watch(), time.perf_counter()
    with torch.inference_mode():
        try:
            whole = model.generate(
                torch.tensor([prompt]), max_new_tokens=new_tokens, streamer=watch, **options
            )
        except SwarmplanError:
            raise
        # PETALS raises bare errors of many types when no server is left.
        except Exception as error:
            raise SwarmUnreachableError(f"no answer: {type(error).__name__}: {error}") from error
    ids = tuple(map(int, whole[0, len(prompt) :]))
    text = None if tokenizer is None else tokenizer.decode(ids, skip_special_tokens=True)
    return Answer(
        ids=ids,
        text=text,
        first_s=watch.first_s - began,
        whole_s=time.perf_counter() - began,
    )
