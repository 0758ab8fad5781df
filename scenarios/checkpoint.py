"""A model's figures from the catalogue or from a checkpoint's ``config.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.blocks import Block
from ..core.errors import ScenarioError
from ..perfmodel.catalogue import (
    BYTES_PER_VALUE,
    OVERHEAD,
    architecture,
    petals_prefix,
    shipped_name,
)
from ..perfmodel.configs import Architecture, read
from .files import read_bytes

#: Configurations are a few kilobytes.
MAX_CONFIG_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """What a scenario needs to know of a model.

    Attributes
    ----------
    prefix : the DHT prefix that PETALS derives from the name.
    block_bytes : weights of one block at ``bytes_per_value``.
    cache_bytes_per_token : K and V of one block for one token.
    """

    name: str
    prefix: str
    num_blocks: int
    hidden_size: int
    block: Block
    grouped_query: bool

    @property
    def block_parameters(self) -> int:
        """Weights of one block; of a model that PETALS runs all are alike."""
        return self.block.parameters

    def block_bytes(self, bytes_per_value: float) -> int:
        """Weights of one block as PETALS counts them."""
        return max(1, int(self.block_parameters * bytes_per_value * OVERHEAD))

    def cache_bytes_per_token(self, bytes_per_value: float) -> int:
        """K and V of one block for one token."""
        return int(self.block.cache_bytes / BYTES_PER_VALUE["bf16"] * bytes_per_value)

    def document(self, bytes_per_value: float) -> dict[str, Any]:
        """The ``model`` section of a scenario file."""
        return {
            "name": self.name,
            "quantisation": "bf16",
            "num_blocks": self.num_blocks,
            "hidden_size": self.hidden_size,
            "block_mb": self.block_bytes(bytes_per_value) / 1e6,
            "cache_bytes_per_token": self.cache_bytes_per_token(bytes_per_value),
            "grouped_query": self.grouped_query,
        }

    def held_bytes(
        self, blocks: int, bytes_per_value: float, quantisation: str | None, cache_tokens_left: int
    ) -> int:
        """Lower bound of a server's memory: its blocks, and the cache it has left.

        Parameters
        ----------
        cache_tokens_left : as PETALS announces it, K and V of each block apart.
        """
        quantised = BYTES_PER_VALUE.get(quantisation or "")
        ratio = quantised / BYTES_PER_VALUE["bf16"] if quantised else 1.0
        weights = self.block_bytes(bytes_per_value) * ratio * blocks
        left = cache_tokens_left * self.cache_bytes_per_token(bytes_per_value) / 2
        return max(1_000, round(weights + left))


def model_figures(model: str, prefix: str | None = None) -> ModelFigures:
    """Figures of a catalogue name, of a repository's name, or of a checkpoint folder.

    Raises
    ------
    ScenarioError
        If the name is unknown and no such folder exists, or its configuration is incomplete.
    """
    folder = Path(model)
    name = folder.name if folder.is_dir() else model.split("/")[-1]
    known = _from_folder(folder) if folder.is_dir() else architecture(model)
    # PETALS makes none of a folder: servers and clients have to be given one, this or another.
    own = petals_prefix(name if folder.is_dir() else model, known.family)
    return ModelFigures(
        name=name,
        prefix=prefix or own,
        num_blocks=known.num_blocks,
        hidden_size=known.hidden_size,
        block=known.block,
        grouped_query=known.grouped_query,
    )


def _from_folder(folder: Path) -> Architecture:
    path = folder / "config.json"
    return read_config(read_bytes(path, MAX_CONFIG_BYTES), str(path))


def read_config(content: bytes, source: str) -> Architecture:
    """A model by the content of its ``config.json``.

    Raises
    ------
    ScenarioError
        If it is no JSON, of an unknown family, or incomplete.
    """
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        message = f"is no JSON: {str(error) or type(error).__name__}"
        raise ScenarioError.single("", message, source=source) from error
    return read(given, source)


def model_named(given: str) -> tuple[str, Architecture]:
    """What to call a model and its blocks: of a configuration, or of the catalogue.

    Raises
    ------
    ScenarioError
        If there is neither, or the configuration is unknown or incomplete.
    """
    path = Path(given)
    if path.is_dir():
        path = path / "config.json"
    if path.suffix != ".json" and not path.exists():
        return shipped_name(given), architecture(given)
    found = read_config(read_bytes(path, MAX_CONFIG_BYTES), str(path))
    return name_of(path, found), found


def name_of(path: Path, found: Architecture) -> str:
    """What to call a model that nobody named: as its folder, or its file."""
    stem = path.stem if path.stem != "config" else path.resolve().parent.name
    return stem or found.family
