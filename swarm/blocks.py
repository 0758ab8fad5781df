"""A server's blocks and caches without the server, for what is measured or tested of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from hivemind import BatchTensorDescriptor
from petals.data_structures import InferenceMetadata
from petals.server.backend import TransformerBackend, _MergedInferenceStep
from petals.server.memory_cache import MemoryCache
from petals.utils.convert_block import QuantType, convert_block
from petals.utils.misc import DUMMY_INT64

_PREFIX = "m"
#: As ``--max_chunk_size_bytes`` and ``--max_batch_size`` of PETALS' server.
_CHUNK_BYTES, _MOST_TOKENS = 256 * 2**20, 8192


@dataclass(frozen=True, slots=True)
class Session:
    """A session on blocks ``[start, end)``: which cache of which block, and where it is."""

    infos: tuple[Any, ...]

    def at(self, position: int) -> Session:
        """The same session with so many tokens before the next one."""
        return Session(tuple(replace(info, prefix_length=position) for info in self.infos))

    @property
    def position(self) -> int:
        """Tokens before the next one."""
        return int(self.infos[0].prefix_length)

    def task(self, hidden: Any) -> list[Any]:
        """Arguments of PETALS' step."""
        return [hidden, DUMMY_INT64, self.infos, *[None] * len(self.infos)]


class Blocks:
    """Blocks as PETALS makes them: its conversion, backends and memory cache.

    Attributes
    ----------
    backends : by the name of the block.
    own : PETALS' own inference step over them.
    """

    def __init__(
        self,
        modules: Sequence[Any],
        config: Any,
        *,
        dtype: torch.dtype = torch.float32,
        quantised: str = "NONE",
        device: str = "cpu",
    ) -> None:
        here = torch.device(device)
        self.cache = MemoryCache(2**40)
        self._handles = 0
        described = (BatchTensorDescriptor(1, 2048, config.hidden_size, dtype=dtype),)
        self.backends: dict[str, Any] = {}
        for number, module in enumerate(modules):
            name = f"{_PREFIX}.{number}"
            self.backends[name] = TransformerBackend(
                name,
                convert_block(
                    module.to(dtype), number, config, (here,), here, QuantType[quantised]
                ),
                config=config,
                memory_cache=self.cache,
                backend_dtype=dtype,
                max_chunk_size_bytes=_CHUNK_BYTES,
                args_schema=described,
                kwargs_schema={},
                outputs_schema=described,
                min_batch_size=1,
                max_batch_size=_MOST_TOKENS,
            )
        self.own = _MergedInferenceStep(self.backends)

    def session(
        self, tokens: int, span: tuple[int, int] | None = None, *, sequences: int = 1
    ) -> Session:
        """A new session with room for so many tokens, on all blocks or some."""
        infos = []
        for name in list(self.backends)[slice(*(span or (None,)))]:
            described = self.backends[name].get_inference_cache_descriptors(
                batch_size=sequences, max_length=tokens
            )
            handles = tuple(self._handles + i for i in range(len(described)))
            self._handles += len(described)
            for handle, each in zip(handles, described, strict=True):
                self.cache._allocated_tensors[handle] = each.make_zeros()
            infos.append(InferenceMetadata(name, 0, handles, ""))
        return Session(tuple(infos))

    def run(self, session: Session, hidden: Any) -> Any:
        """PETALS' own step, or a prompt, of one session."""
        return self.own(*session.task(hidden))[0]

    def tensors(self, session: Session) -> list[Any]:
        """Keys and values of each of its blocks."""
        kept = self.cache._allocated_tensors
        return [kept[handle] for info in session.infos for handle in info.cache_handles]

    def lose(self, session: Session) -> None:
        """As if the cache of one of its blocks were gone."""
        self.cache._allocated_tensors.pop(session.infos[-1].cache_handles[0])
