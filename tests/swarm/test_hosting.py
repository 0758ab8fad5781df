"""What a machine can make of a plan's precision and adapters: tried before blocks are let go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarmplan.tests.extras import needs

#: In a process of its own: the remedies change what is imported.
SCRIPT = """
import json, sys
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None
from swarmplan.swarm.needs import prepare
prepare("server")
import torch
from swarmplan.swarm.hosting import KINDS, loadable, quantising_fails
fails = {name: quantising_fails(kind, torch.device("cpu")) for name, kind in KINDS.items()}
found = {"fails": fails, "loadable": loadable(json.loads(sys.argv[2]))}
if sys.argv[3]:
    from petals.utils.peft import load_peft
    config, tensors = load_peft(sys.argv[3], 3, cache_dir="nowhere")
    found["loaded"] = [config["r"], sorted({name.split(".")[4] for name in tensors})]
    from pathlib import Path
    from petals.models.llama.config import DistributedLlamaConfig
    from petals.server.from_pretrained import load_pretrained_block
    from petals.utils.convert_block import convert_block
    from petals.utils.peft import using_adapter
    model, here = str(Path(sys.argv[3]).with_name("model")), torch.device("cpu")
    config = DistributedLlamaConfig.from_pretrained(model)
    torch.manual_seed(0)
    hidden, answers = torch.randn(1, 5, config.hidden_size), {}
    for name, kind in KINDS.items():
        block = load_pretrained_block(
            model, 3, config=config, torch_dtype=torch.float32, cache_dir=model
        )
        block = convert_block(
            block, 3, config, [here], here, kind, adapters=[sys.argv[3]], cache_dir=model
        )
        with torch.inference_mode():
            for adapter in (sys.argv[3], None):
                with using_adapter(adapter):
                    answers[name, adapter] = block(hidden)[0]
    def apart(one, other):
        return float((answers[one] - answers[other]).norm() / answers[other].norm())
    found["moves"] = {n: apart((n, sys.argv[3]), (n, None)) for n in KINDS}
    found["error"] = {n: apart((n, sys.argv[3]), ("bf16", sys.argv[3])) for n in KINDS}
print(json.dumps(found))
"""


def tried(*absent: str, names: list[str] | None = None, load: Path | None = None) -> Any:
    words = [json.dumps(absent), json.dumps(names or []), str(load or "")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, *words],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def adapter(folder: Path, **changes: Any) -> str:
    from swarmplan.swarm.tiny_model import save_adapter, save_tiny_llama

    save_adapter(save_tiny_llama(folder / "model", blocks=4), folder / "adapter")
    told = folder / "adapter" / "adapter_config.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), **changes}))
    return str(folder / "adapter")


def test_where_packages_are_absent_it_is_said_and_nothing_fails(tmp_path: Path) -> None:
    needs("swarm")
    name = adapter(tmp_path)
    found = tried("bitsandbytes", "peft", names=[name])
    assert found["fails"]["bf16"] == ""
    assert "bitsandbytes is not installed" in found["fails"]["int8"]
    assert found["loadable"] == [[], {name: "bitsandbytes and peft not installed"}]


def test_blocks_are_quantised_on_a_cpu_and_adapters_come_from_folders(tmp_path: Path) -> None:
    needs("swarm")
    needs("quantised")
    good = adapter(tmp_path)
    found = tried(names=[good], load=Path(good))
    assert found["fails"] == {"bf16": "", "int8": "", "nf4": ""}
    assert found["loadable"] == [[good], {}]
    # The matrices of the block that was asked for, no others.
    assert found["loaded"] == [4, ["3"]]
    # On blocks of every kind, and there beside the rounding.
    assert all(moved > 0.3 for moved in found["moves"].values())
    assert found["error"]["int8"] < 0.1 < found["error"]["nf4"] < 0.4


def test_what_cannot_be_loaded_is_left_out_with_the_reason(tmp_path: Path) -> None:
    needs("swarm")
    needs("quantised")
    (tmp_path / "empty").mkdir()
    other = adapter(tmp_path / "other", peft_type="PREFIX_TUNING")
    names = [str(tmp_path / "empty"), other, "org/none-such"]
    kept, why = tried(names=names)["loadable"]
    assert kept == []
    assert why[names[0]] == "its folder has no adapter_model.safetensors"
    assert "LoRA alone" in why[other]
    assert why["org/none-such"].startswith("no folder here, and no repository")


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_adapter_is_none(text: str, tmp_path: Path) -> None:
    needs("swarm")
    needs("quantised")
    good = adapter(tmp_path)
    (Path(good) / "adapter_config.json").write_text(text)
    kept, why = tried(names=[good])["loadable"]
    assert (kept, list(why)) == ([], [good])
