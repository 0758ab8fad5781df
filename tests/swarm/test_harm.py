"""Live chains within accuracy budgets: by what servers announce, whoever chooses, retries too."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.api import plan
from swarmplan.core.drafting import Drafting, DraftModel, Use
from swarmplan.core.errors import NoRouteError
from swarmplan.perfmodel.accuracy import harm_of as harm_of_percent
from swarmplan.scenarios.planfile import plan_document
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.swarm.choice import ChainRequest, LiveServer, choose_chain
from swarmplan.swarm.harm import Chain, check_budget, precision_of
from swarmplan.swarm.record import LivePlan, read_record, record_of
from swarmplan.tests.extras import needs

BLOCKS = 8
WHOLE = ChainRequest(start=0, end=BLOCKS, max_tokens=40, exclude=frozenset(), retry=False)
PERCENT = {"bf16": 0.0, "int8": 0.5, "nf4": 2.0}
BUDGETS = {"anybody": math.inf, "office": 0.3, "strict": 0.0}
TEXT = """
format = "swarmplan/scenario/1"
name = "two clients, five servers"
[model]
name = "small"
num_blocks = 8
hidden_size = 64
block_mb = 100
cache_bytes_per_token = 1000
quantisation = "bf16"
[network]
delay = "measured"
rtt_ms = [
  [0, 0, 0, 10, 12, 20, 22, 40], [0, 0, 0, 10, 12, 20, 22, 40], [0, 0, 0, 10, 12, 20, 22, 40],
  [10, 10, 10, 0, 9, 9, 9, 9], [12, 12, 12, 9, 0, 9, 9, 9], [20, 20, 20, 9, 9, 0, 9, 9],
  [22, 22, 22, 9, 9, 9, 0, 9], [40, 40, 40, 9, 9, 9, 9, 0]]
[workload]
streams = [
  {client = "anybody", rate_per_s = 0.1, prompt_tokens = 8, output_tokens = 32},
  {client = "office", rate_per_s = 0.1, prompt_tokens = 8, output_tokens = 32},
  {client = "strict", rate_per_s = 0.1, prompt_tokens = 8, output_tokens = 32}]
[planning]
sessions = 3
[accuracy]
harm = { bf16 = 0, int8 = 0.5, nf4 = 2.0 }
[accuracy.budget_of]
office = 0.3
strict = 0
[devices.kind]
inference_rps = 100
forward_rps = 1000
[[clients]]
id = "anybody"
[[clients]]
id = "office"
[[clients]]
id = "strict"
[[servers]]
id = "a"
device = "kind"
memory_gb = 8
span = [0, 4]
precisions = ["bf16", "int8", "nf4"]
[[servers]]
id = "b"
device = "kind"
memory_gb = 8
span = [4, 8]
precisions = ["bf16", "int8", "nf4"]
[[servers]]
id = "c"
device = "kind"
memory_gb = 8
span = [0, 6]
[[servers]]
id = "d"
device = "kind"
memory_gb = 8
span = [4, 8]
[[servers]]
id = "e"
device = "kind"
memory_gb = 8
span = [0, 8]
"""
SPANS = {"a": (0, 4), "b": (4, 8), "c": (0, 6), "d": (4, 8), "e": (0, 8)}


@pytest.fixture(scope="module")
def live_plan(tmp_path_factory: pytest.TempPathFactory) -> LivePlan:
    """Everybody at 16 bit, as planned."""
    path = tmp_path_factory.mktemp("harm") / "five.toml"
    path.write_text(TEXT)
    scenario = load_scenario(path)
    made = plan(scenario.problem, "manual", router="ws-rr")
    document = plan_document(made, scenario)
    body = record_of(scenario, document, prefix="p", version=1, now_s=0.0, valid_s=100.0)
    return read_record(body, prefix="p", now_s=1.0)


def live(precisions: Mapping[str, str | None]) -> dict[str, LiveServer]:
    return {
        peer: LiveServer(span=SPANS[peer], cache_tokens_left=None, rtt_s=None, precision=precision)
        for peer, precision in precisions.items()
    }


def harm(chain: Chain, precisions: Mapping[str, str | None]) -> float:
    """By hand: the same harm on every block of the model; 16 bit as planned where nothing is
    announced."""
    each = {p: harm_of_percent(percent) / BLOCKS for p, percent in PERCENT.items()}
    return sum((z - a) * each[precisions[peer] or "bf16"] for peer, a, z in chain)


def least(start: int, end: int, precisions: Mapping[str, str | None]) -> float:
    """The least harm of all chains over some blocks, one after the other."""
    if start == end:
        return 0.0
    found = [math.inf]
    for peer in precisions:
        first, last = SPANS[peer][0], min(SPANS[peer][1], end)
        if first <= start < last:
            one = harm([(peer, start, last)], precisions)
            found.append(one + least(last, end, precisions))
    return min(found)


def beyond(harm: float, most: float) -> bool:
    """Whether it is above a budget; there is none where there is no chain."""
    return math.isinf(harm) or harm > most + 1e-12


SWARM = st.dictionaries(
    st.sampled_from("abcde"), st.sampled_from([None, "bf16", "int8", "nf4"]), min_size=1
)


@given(announced=SWARM, client=st.sampled_from(list(BUDGETS)))
def test_a_chain_is_within_the_clients_budget_by_what_is_announced_wherever_one_is(
    live_plan: LivePlan, announced: dict[str, str | None], client: str
) -> None:
    most = harm_of_percent(BUDGETS[client])
    try:
        chain = choose_chain(live_plan, client, live(announced), WHOLE).chain
    except NoRouteError:
        assert beyond(least(0, BLOCKS, announced), most)
        return
    assert harm(chain, announced) <= most + 1e-12


@given(announced=SWARM, client=st.sampled_from(list(BUDGETS)), kept=st.sampled_from("abcde"))
def test_after_a_failure_the_chain_as_a_whole_is_within_the_budget(
    live_plan: LivePlan, announced: dict[str, str | None], client: str, kept: str
) -> None:
    """A server in the middle of the session's chain is lost; what it keeps has spent its share."""
    if kept not in announced:
        return
    a, z = SPANS[kept]
    start, end = (z, BLOCKS) if a == 0 else (0, a)
    if start == end:
        return
    hop = (kept, a, z)
    request = replace(WHOLE, start=start, end=end, retry=True, kept=[hop])
    most = harm_of_percent(BUDGETS[client])
    spent = harm([hop], announced)
    if spent > most:
        return
    try:
        chain = choose_chain(live_plan, client, live(announced), request).chain
    except NoRouteError:
        assert beyond(spent + least(start, end, announced), most)
        return
    assert spent + harm(chain, announced) <= most + 1e-12


def test_what_the_kept_hops_cost_is_spent(live_plan: LivePlan) -> None:
    """Half of the model at 8 bit is allowed, the whole is not."""
    retry = replace(WHOLE, start=4, retry=True, kept=[("a", 0, 4)])
    at: dict[str, str | None] = {"a": "int8", "b": "int8", "d": "bf16"}
    assert choose_chain(live_plan, "anybody", live(at), retry).chain == [("b", 4, 8)]
    assert choose_chain(live_plan, "office", live(at), retry).chain == [("d", 4, 8)]
    fresh = replace(retry, kept=[("e", 0, 4)])
    assert choose_chain(live_plan, "office", live(at), fresh).chain == [("b", 4, 8)]
    with pytest.raises(NoRouteError):
        choose_chain(live_plan, "office", live(at | {"d": "int8"}), retry)


def test_a_server_that_is_not_at_its_planned_precision_yet_is_passed_by(
    live_plan: LivePlan,
) -> None:
    at = dict.fromkeys(SPANS, "bf16") | {"a": "nf4"}
    by_client = {c: choose_chain(live_plan, c, live(at), WHOLE).chain for c in BUDGETS}
    assert by_client["anybody"] == [("a", 0, 4), ("b", 4, 8)]
    assert by_client["office"] == by_client["strict"] == [("c", 0, 6), ("b", 6, 8)]
    near = {peer: at[peer] for peer in "ab"}
    chain = choose_chain(live_plan, "anybody", live(near), WHOLE).chain
    assert [peer for peer, _, _ in chain] == ["a", "b"]
    with pytest.raises(NoRouteError, match="leads client 'office' from block 0 on within"):
        choose_chain(live_plan, "office", live(near), WHOLE)


def test_of_what_nobody_knows_the_harm_only_a_client_without_a_budget_takes_part(
    live_plan: LivePlan,
) -> None:
    accuracy = live_plan.problem.accuracy
    assert accuracy is not None
    few = replace(accuracy, harm=tuple(pair for pair in accuracy.harm if pair[0] == "bf16"))
    servers = tuple(replace(s, variants=()) for s in live_plan.problem.servers)
    chosen = replace(live_plan, problem=replace(live_plan.problem, servers=servers, accuracy=few))
    at = {"e": "nf4"}
    assert choose_chain(chosen, "anybody", live(at), WHOLE).chain
    with pytest.raises(NoRouteError):
        choose_chain(chosen, "office", live(at), WHOLE)


@pytest.mark.parametrize(
    ("chain", "fits"),
    [
        ([("a", 0, 4), ("new", 4, 8)], True),
        ([("a", 0, 4), ("quiet", 4, 8)], False),
        ([("a", 0, 4), ("b", 4, 8)], False),
        ([("a", 0, 4), ("d", 4, 8)], True),
    ],
)
def test_what_petals_would_choose_is_held_against_the_budget_too(
    live_plan: LivePlan, chain: Chain, fits: bool
) -> None:
    """Servers that the plan does not know count by what they announce; who announces nothing is
    none that a budget can be kept with."""
    announced = {"a": "bf16", "b": "nf4", "new": "bf16", "quiet": None}
    check_budget(live_plan.problem, 0, announced, chain)
    if fits:
        check_budget(live_plan.problem, 1, announced, chain)
        return
    with pytest.raises(NoRouteError, match="within what client 'office' bears"):
        check_budget(live_plan.problem, 1, announced, chain)


def test_each_client_of_a_plan_drafts_as_it_does(live_plan: LivePlan) -> None:
    models = (DraftModel(acceptance=(0.5,), draft_s=0.001),)
    each = tuple(Drafting(models=models, use=Use(k)) for k in (0, 2, 4))
    drafted = replace(live_plan, problem=replace(live_plan.problem, drafting=each))
    for client in BUDGETS:
        assert choose_chain(drafted, client, live(dict.fromkeys("ab", "bf16")), WHOLE).chain


def test_what_petals_announces_is_named_as_scenarios_do() -> None:
    assert [precision_of(q) for q in ("none", "NF4", "int8", "int4", None, 7)] == [
        "bf16", "nf4", "int8", None, None, None,
    ]  # fmt: skip


#: In a process of its own: the remedies change what is imported.
SCRIPT = """
import json, threading
from types import SimpleNamespace
from swarmplan.core.drafting import Drafting, DraftModel, Use
from swarmplan.core.errors import NoRouteError
from swarmplan.swarm.compat import apply_remedies
apply_remedies("client")
from hivemind import PeerID
from petals.data_structures import RemoteSpanInfo, ServerInfo, ServerState
from swarmplan.swarm.routes import SessionView

peers = [PeerID(bytes([18, 32]) + bytes([k]) * 32) for k in range(3)]
info = ServerInfo(state=ServerState.ONLINE, throughput=1.0)
spans = [RemoteSpanInfo(p, 0, 8, info) for p in peers]

class Manager:
    lock_changes = threading.Lock()
    _thread_start_lock = threading.Lock()
    ready = threading.Event()
    state = SimpleNamespace(sequence_info=SimpleNamespace(spans_by_priority=spans, block_infos=[]))
    def __len__(self):
        return 8
    def is_alive(self):
        return True
    def on_request_failure(self, peer):
        pass

class View(SessionView):
    def _by_petals(self, request):
        return [RemoteSpanInfo(peers[2], request.start, 8, info)]

Manager.ready.set()
asked, checked = [], []
def choose(request):
    asked.append([list(hop) for hop in request.kept])
    if request.retry:
        return None
    return [(peers[0].to_base58(), 0, 4), (peers[1].to_base58(), 4, 8)]
def check(chain):
    checked.append(sorted((a, z) for _, a, z in chain))
    if any(peer == peers[2].to_base58() for peer, _, _ in chain):
        raise NoRouteError("too much")

view = View(Manager(), choose, check=check)
view.make_sequence(0, 8, mode="min_latency")
refused = ""
try:
    view.make_sequence(0, 4, mode="min_latency")
except NoRouteError as error:
    refused = str(error)
names = {p.to_base58(): i for i, p in enumerate(peers)}
asked = [[[names[p], a, z] for p, a, z in kept] for kept in asked]
print(json.dumps([asked, checked, refused, len(view.chains)]))
"""


def test_a_session_tells_what_it_keeps_and_takes_nothing_that_is_refused() -> None:
    needs("swarm")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    asked, checked, refused, chains = json.loads(done.stdout.splitlines()[-1])
    assert asked == [[], [[1, 4, 8]]]
    assert checked == [[[0, 4], [4, 8]], [[0, 4], [4, 8]]]
    assert (refused, chains) == ("too much", 1)
