"""The key of a model in the table is the one under which PETALS' own classes look."""

from __future__ import annotations

import json
import subprocess
import sys

from swarmplan.scenarios.checkpoint import model_figures
from swarmplan.tests.extras import needs

PUBLIC = {
    "llama": (
        "meta-llama/Llama-2-70b-hf",
        "meta-llama/Llama-2-70b-chat-hf",
        "meta-llama/Llama-2-70b",
        "meta-llama/Llama-3.1-8B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "meta-llama/Meta-Llama-3.1-70B-Instruct",
        "meta-llama/Meta-Llama-3.1-405B-Instruct",
        "petals-team/StableBeluga2",
        "stabilityai/StableBeluga2",
    ),
    "bloom": (
        "bigscience/bloom",
        "bigscience/bloomz",
        "bigscience/bloom-petals",
        "bigscience/bloomz-petals",
        "bigscience/bloom-7b1",
        "bigscience/bloomz-7b1",
    ),
    "falcon": (
        "tiiuae/falcon-40b",
        "tiiuae/falcon-40b-instruct",
        "tiiuae/falcon-180B",
        "tiiuae/falcon-180B-chat",
    ),
    # Only PETALS' main branch runs these; its class is not in the published wheel.
    "mixtral": ("mistralai/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
}

#: PETALS' classes, with nothing fetched: their base class tells what it was given.
SCRIPT = """
import importlib, json, sys
from swarmplan.swarm.compat import apply_remedies
apply_remedies("both")
import petals
from types import SimpleNamespace
from transformers import PretrainedConfig
from petals.utils.auto_config import _CLASS_MAPPING
PretrainedConfig.from_pretrained = classmethod(
    lambda cls, name, *a, dht_prefix=None, **k: SimpleNamespace(prefix=dht_prefix, pad_token_id=0)
)
found = {}
for family, names in json.loads(sys.argv[1]).items():
    if family in _CLASS_MAPPING:
        kind = _CLASS_MAPPING[family].config
        found |= {name: kind.from_pretrained(name).prefix for name in names}
print(json.dumps(found))
"""


def test_prefixes_of_public_models_equal_those_of_petals_classes() -> None:
    needs("swarm")
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, json.dumps(PUBLIC)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.splitlines()[-1])
    assert len(theirs) >= 12
    assert {name: model_figures(name).prefix for name in theirs} == theirs
    assert {name.split("/")[0] for name in theirs} > {"meta-llama", "bigscience", "tiiuae"}
