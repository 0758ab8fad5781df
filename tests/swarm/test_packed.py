"""Hidden states in 8 bit: messages of hivemind, and a session over a server that packs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarmplan.perfmodel.wire import PACKED
from swarmplan.swarm.loopback import LoopbackSwarm, ServerSpec
from swarmplan.swarm.trial import ClientProcess
from swarmplan.tests.extras import needs

PROMPT, TOKENS = [3, 1, 4, 1, 5], 8
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
#: The model without a swarm, its states packed where they go to and come from blocks 0:4.
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
layers[0].register_forward_pre_hook(lambda _, given: (packed(given[0]), *given[1:]))
layers[3].register_forward_hook(lambda _, given, made: (packed(made[0]), *made[1:]))
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


@pytest.mark.live
def test_a_session_runs_over_servers_that_pack_their_states(
    tiny_model: Path, tmp_path: Path
) -> None:
    packed = ServerSpec(name="packed", blocks=(0, 4), wire="quantile_8bit")
    with LoopbackSwarm(folder=tmp_path, model=tiny_model) as swarm:
        swarm.start_servers([packed, ServerSpec(name="plain", blocks=(4, 8))])
        request = {"id": "r", "prompt": PROMPT, "new_tokens": TOKENS}
        job = {"requests": [request], "config": {"max_retries": 2}}
        with ClientProcess(swarm=swarm, name="client", job=job) as client:
            events = client.wait_for(
                lambda found: any(e["event"] in ("done", "failed") for e in found), limit_s=120
            )
    done = events[-1]
    assert done["event"] == "done", done
    assert done["tokens"] == json.loads(own_process(PACKED_HERE, str(tiny_model)))
