"""Hidden states in 8 bit: messages of hivemind, and a session over servers that pack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarmplan.perfmodel.wire import PACKED
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.trial import ClientProcess, operate, publish_spans
from swarmplan.tests.extras import needs

#: Sums in another order may fall on the other side of a step of 8 bit: later tokens may differ.
PROMPT, TOKENS = [3, 1, 4, 1, 5], 4
MESSAGES = """
import json
from swarmplan.swarm.compat import apply_remedies
apply_remedies("both")
import torch
from hivemind.compression import deserialize_torch_tensor, serialize_torch_tensor
from hivemind.proto.runtime_pb2 import CompressionType

found = {}
for wire in ("uniform_8bit", "quantile_8bit"):
    kind = CompressionType.Value(wire.upper())
    for tokens in (1, 7):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            states = torch.randn(1, tokens, 512).to(dtype)
            message = serialize_torch_tensor(states.clone(), kind)
            again = deserialize_torch_tensor(message)
            assert (again.dtype, again.shape) == (states.dtype, states.shape)
            off = (again.float() - states.float()).norm() / states.float().norm()
            found[f"{wire} {tokens} {dtype}"] = [len(message.buffer), off.item()]
    for other in (torch.empty(0), torch.empty(0, dtype=torch.int64), torch.tensor([4, 2])):
        assert deserialize_torch_tensor(serialize_torch_tensor(other, kind)).equal(other)
print(json.dumps(found))
"""
#: Mended once, and looked at again, as by a doctor in a process that has served.
LOOKED_AT = """
import warnings
import hivemind
from swarmplan.swarm.compat.packed import cannot_pack_steps, pack_states_alone
from swarmplan.swarm.needs import quiet_imports
warnings.simplefilter("error")
quiet_imports()
pack_states_alone()
print(cannot_pack_steps())
"""
#: The model without a swarm, its states packed where they go to and come from blocks 0:4 and 4:8.
PACKED_HERE = f"""
import json, sys
from swarmplan.swarm.compat import apply_remedies
apply_remedies("both")
import torch
from hivemind.compression import deserialize_torch_tensor, serialize_torch_tensor
from hivemind.proto.runtime_pb2 import CompressionType
from transformers import LlamaForCausalLM

def packed(states):
    message = serialize_torch_tensor(states.clone(), CompressionType.QUANTILE_8BIT)
    return deserialize_torch_tensor(message)

torch.set_num_threads(1)
model = LlamaForCausalLM.from_pretrained(sys.argv[1])
layers = model.model.layers
for first, last in ((0, 3), (4, 7)):
    layers[first].register_forward_pre_hook(lambda _, given: (packed(given[0]), *given[1:]))
    layers[last].register_forward_hook(lambda _, given, made: (packed(made[0]), *made[1:]))
with torch.inference_mode():
    made = model.generate(torch.tensor([{PROMPT}]), max_new_tokens={TOKENS}, do_sample=False)
print(json.dumps(made[0, {len(PROMPT)}:].tolist()))
"""


def own_process(script: str, *arguments: str) -> str:
    """The last line that a script prints; PETALS' warnings would be errors here."""
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.splitlines()[-1]


def test_messages_are_as_long_as_the_cost_model_says_and_can_be_read() -> None:
    needs("swarm")
    found = json.loads(own_process(MESSAGES))
    assert len(found) == 12
    for name, (length, off) in found.items():
        wire, tokens, _ = name.split(" ")
        message, value = next(figures for known, figures in PACKED.items() if known == wire)
        assert length == message + int(tokens) * 512 * value
        assert 0.0 < off < 0.1


def test_messages_are_unpacked_without_a_word_about_numpy() -> None:
    needs("swarm")
    assert own_process(LOOKED_AT) == "False"


@pytest.mark.live
def test_a_session_gives_the_tokens_of_states_packed_where_the_plan_says(
    tiny_model: Path, tmp_path: Path
) -> None:
    operate(tmp_path / "keygen.log", "keygen", str(tmp_path / "key"))
    follow = ("--operator-key", str(tmp_path / "key.pub"), "--follow", "1", "--drain", "1")
    first = ServerSpec(name="first", blocks=(0, 4), wire="quantile_8bit")
    then = ServerSpec(name="then", blocks=(4, 7), planned=follow)
    with LoopbackSwarm(folder=tmp_path, model=tiny_model, update_period_s=2.0) as swarm:
        swarm.start_servers([first, then])
        # Told to pack it does so with the blocks of its next span.
        publish_spans(swarm, tmp_path, tmp_path / "key", {"first": (0, 4), "then": (4, 8)},
                      wires={"first": "quantile_8bit", "then": "quantile_8bit"})  # fmt: skip
        watch = {"observe_s": 0.2, "blocks": 8, "until": str(tmp_path / "stop")}
        with ClientProcess(swarm=swarm, name="watch", job=watch) as watcher:
            wanted = ["online", 4, 8]
            peer = swarm.peers["then"]
            watcher.wait_for(
                lambda found: any(
                    e["event"] == "spans" and e["live"].get(peer) == wanted for e in found
                ),
                limit_s=60,
            )
        request = {"id": "r", "prompt": PROMPT, "new_tokens": TOKENS}
        job = {"requests": [request], "config": {"max_retries": 2}}
        with ClientProcess(swarm=swarm, name="client", job=job) as client:
            events = client.wait_for(
                lambda found: any(e["event"] in ("done", "failed") for e in found), limit_s=120
            )
    assert events[-1]["event"] == "done", events[-1]
    assert events[-1]["tokens"] == json.loads(own_process(PACKED_HERE, str(tiny_model)))
