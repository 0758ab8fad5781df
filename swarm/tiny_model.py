"""A tiny random-weight Llama for demos and live tests."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def save_tiny_llama(
    folder: Path, *, blocks: int = 8, hidden: int = 64, vocabulary: int = 256, seed: int = 0
) -> Path:
    """Write a Llama of ``blocks`` blocks with random float32 weights; needs no tokenizer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers 4.34 warns of names that torch renamed
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=blocks,
        num_attention_heads=4,
        max_position_embeddings=2048,
        # Tokens of a random model repeat at once without some spread.
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_disturbed(target: Path, folder: Path, *, share: float, seed: int = 1) -> Path:
    """Write a draft model for a target: the same but for noise in its head.

    Parameters
    ----------
    share : of the noise, in the spread of the head's own weights.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(target)
    torch.manual_seed(seed)
    with torch.no_grad():
        head = model.lm_head.weight
        head += share * head.std() * torch.randn_like(head)
    model.save_pretrained(folder)
    return folder


def local_tokens(folder: Path, prompts: Sequence[Sequence[int]], new_tokens: int) -> list[Any]:
    """Greedy tokens of the model run here, without a swarm; the new ones only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LlamaForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        return [
            model.generate(torch.tensor([list(p)]), max_new_tokens=new_tokens, do_sample=False)[
                0, len(p) :
            ].tolist()
            for p in prompts
        ]
