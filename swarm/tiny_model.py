"""A tiny random-weight Llama for demos and live tests."""

from __future__ import annotations

import json
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


def save_adapter(target: Path, folder: Path, *, rank: int = 4, seed: int = 2) -> Path:
    """Write a LoRA adapter of a target's query and value projections, as peft keeps it, with random
    weights that change its tokens."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    config = LlamaConfig.from_pretrained(target)
    torch.manual_seed(seed)
    weights = {}
    for block in range(config.num_hidden_layers):
        for name in ("q_proj", "v_proj"):
            where = f"base_model.model.model.layers.{block}.self_attn.{name}"
            weights[f"{where}.lora_A.weight"] = torch.randn(rank, config.hidden_size)
            weights[f"{where}.lora_B.weight"] = 0.02 * torch.randn(config.hidden_size, rank)
    told = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(target),
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "target_modules": ["q_proj", "v_proj"],
        "bias": "none",
        "init_lora_weights": True,
    }
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(told), encoding="utf-8")
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def local_tokens(
    folder: Path,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    *,
    precisions: Sequence[str] = (),
    adapter: Path | None = None,
) -> list[list[int]]:
    """Greedy tokens of the model run here, without a swarm; the new ones only.

    Parameters
    ----------
    precisions : (L,) of the blocks: ``int8`` and ``nf4`` as bitsandbytes makes them, others as they
        are; empty = all as they are.
    adapter : folder of one whose matrices are added to the model's own.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LlamaForCausalLM.from_pretrained(folder).requires_grad_(False)
    if adapter is not None:
        _merge(model, adapter)
    for block, precision in zip(model.model.layers, precisions, strict=False):
        if precision in ("int8", "nf4"):
            _quantise(block, precision)
    with torch.inference_mode():
        return [
            model.generate(torch.tensor([list(p)]), max_new_tokens=new_tokens, do_sample=False)[
                0, len(p) :
            ].tolist()
            for p in prompts
        ]


def _merge(model: Any, adapter: Path) -> None:
    """Add ``alpha / r B A`` to every matrix that an adapter changes."""
    from safetensors.torch import load_file

    told = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    weights = load_file(adapter / "adapter_model.safetensors")
    for key, down in weights.items():
        if key.endswith(".lora_A.weight"):
            where = key.removesuffix(".lora_A.weight")
            matrix = model.get_submodule(where.removeprefix("base_model.model.")).weight
            up = weights[f"{where}.lora_B.weight"]
            matrix += told["lora_alpha"] / told["r"] * up @ down


def _quantise(block: Any, precision: str) -> None:
    """Put bitsandbytes' layers in the place of a block's linear ones."""
    import torch
    from bitsandbytes import nn

    for parent in list(block.modules()):
        for name, old in list(parent.named_children()):
            if not isinstance(old, torch.nn.Linear):
                continue
            size, bias = (old.in_features, old.out_features), old.bias is not None
            if precision == "int8":
                new = nn.Linear8bitLt(*size, bias, has_fp16_weights=False, threshold=6.0)
            else:
                new = nn.LinearNF4(*size, bias)
            new.load_state_dict(old.state_dict())
            setattr(parent, name, new.requires_grad_(False).to("cpu"))
