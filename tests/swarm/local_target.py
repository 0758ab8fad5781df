"""A model of this process in place of a distributed one: real logits, and a session that goes back.

What ``speculate`` needs of PETALS' model, over transformers' own cache.
"""

from __future__ import annotations

import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.generation.utils import _crop_past_key_values


# Threads that spin for each other on a busy machine take minutes over a tiny model.
torch.set_num_threads(1)


class LocalSession:
    """The cache of one text."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._server_sessions: list[Any] = []
        self.past: Any = None
        self.output_ids: Any = None
        self.position = self.longest = self.steps = 0

    def rollback(self, position: int) -> None:
        """As PETALS' session under the remedy."""
        assert 0 <= position <= self.position
        self.position = position


class LocalTarget(LlamaForCausalLM):  # type: ignore[misc, unused-ignore]
    """A Llama whose text so far lies in its session."""

    active_session: LocalSession

    def forward(self, input_ids: Any, **_given: Any) -> Any:
        """Logits of tokens that go on from the session's position."""
        session = self.active_session
        past = session.past
        if past is not None and past[0][0].shape[2] > session.position:
            past = _crop_past_key_values(self, past, session.position)
        out = super().forward(input_ids, past_key_values=past or None, use_cache=True)
        session.past, session.steps = out.past_key_values, session.steps + 1
        session.position += input_ids.shape[1]
        session.longest = max(session.longest, session.position)
        assert session.position <= session._max_length
        out.past_key_values = None
        return out

    def prepare_inputs_for_generation(self, input_ids: Any, **_given: Any) -> dict[str, Any]:
        """What the session has not seen."""
        return {"input_ids": input_ids[:, self.active_session.position :]}

    def answer(self, prompt: list[int], new_tokens: int, **options: Any) -> list[int]:
        """The new tokens of ``generate`` in a session of its own."""
        self.active_session = LocalSession(len(prompt) + new_tokens)
        return self.go_on(prompt, new_tokens, **options)

    def go_on(self, prompt: list[int], new_tokens: int, **options: Any) -> list[int]:
        """The new tokens of a further answer in the same session, as PETALS goes on."""
        session, ids = self.active_session, torch.tensor([prompt])
        if session.output_ids is not None:
            ids = torch.cat([session.output_ids, ids], dim=1)
        with torch.no_grad():
            session.output_ids = self.generate(ids, max_new_tokens=new_tokens, **options)
        return list(session.output_ids[0, ids.shape[1] :].tolist())


def tiny(vocabulary: int = 256, *, seed: int = 0, blocks: int = 2) -> LocalTarget:
    """A random one."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    made = LocalTarget(config)
    made.eval()
    return made


def disturbed(model: LlamaForCausalLM, share: float) -> LlamaForCausalLM:
    """An ordinary model that is like it but for its head."""
    like = LlamaForCausalLM(model.config).eval()
    like.load_state_dict(model.state_dict())
    torch.manual_seed(1)
    with torch.no_grad():
        like.lm_head.weight += (
            share * like.lm_head.weight.std() * torch.randn_like(like.lm_head.weight)
        )
    return like
