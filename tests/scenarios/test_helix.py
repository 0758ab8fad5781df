"""Clusters of Helix: both forms, what becomes of them, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios.helix import (
    FILL_BY_OWN,
    layout_of,
    read_cluster,
    scenario_of_cluster,
    spans_of,
    write_layout,
)
from swarmplan.scenarios.scenario import scenario_of

CLUSTER: dict[str, Any] = {
    "case": "small",
    "model": {
        "name": "toy",
        "layers": 4,
        "layer_bytes": 1e9,
        "activation_bytes_per_token": 2_000,
    },
    "kinds": {
        "big": {
            "max_layers": 3,
            "kv_entries": {"1": 900_000, "2": 700_000, "3": 500_000},
            "prompt_ms_per_layer": [[0, 0], [500, 5], [1000, 10], [2000, 20]],
            "decode_ms_per_layer": [[0, 0], [2, 1.0], [4, 1.5], [8, 1.4], [16, 3.0]],
            "throughput_tokens_per_s": {"1": 90.0, "2": 40.0, "3": 25.0},
            "prompt_max_requests": {"1": 2, "2": 2, "3": 2},
        }
    },
    "nodes": [{"id": 7, "kind": "big", "region": 0}, {"id": 9, "kind": "big", "region": 1}],
    "links": [
        {"from": "source", "to": 7, "bandwidth_Bps": 1e9, "latency_s": 0.001},
        {"from": "source", "to": 9, "bandwidth_Bps": 1e9, "latency_s": 0.002},
        {"from": 7, "to": "sink", "bandwidth_Bps": 1e9, "latency_s": 0.003},
        {"from": 9, "to": "sink", "bandwidth_Bps": 1e9, "latency_s": 0.004},
        {"from": 7, "to": 9, "bandwidth_Bps": 1e7, "latency_s": 0.05, "both_ways": True},
    ],
}
INI = """
[NodeNames]
total_compute_nodes=2
[ComputeNode-7]
type=big
[ComputeNode-9]
type=big
[Link-source-7]
bandwidth=1000 * mbps
latency=1 * MilliSec
[Link-source-9]
bandwidth=1 * gbps
latency=2 * MilliSec
[Link-7-sink]
bandwidth=1000000 * kbps
latency=3 * MilliSec
[Link-9-sink]
bandwidth=1000 * mbps
latency=4 * MilliSec
[Link-7-9]
bandwidth=10 * mbps
latency=50 * MilliSec
"""


def saved(tmp_path: Path, document: Any, name: str = "cluster.json") -> Path:
    path = tmp_path / name
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_a_cluster_becomes_a_scenario_of_a_pipeline(tmp_path: Path) -> None:
    document = scenario_of_cluster(read_cluster(saved(tmp_path, CLUSTER)))
    problem = scenario_of(document, tmp_path / "made.json").problem
    assert [s.id for s in problem.servers] == ["node-7", "node-9"]
    first = problem.servers[0]
    assert (first.sharing, first.batch_prompts, first.max_blocks) == ("batched", 2, 3)
    assert first.rated_per_s == (90.0, 40.0, 25.0)
    network = problem.network
    assert network.relay == "pipeline"
    assert network.client_rtt_s[0] == pytest.approx([0.004, 0.006])
    assert network.server_rtt_s[0, 1] == pytest.approx(0.1)
    assert network.server_bandwidth_bytes_per_s is not None
    assert network.server_bandwidth_bytes_per_s[0, 1] == pytest.approx(1e7)
    cost = CostModel.of(problem)
    assert cost.step_run_s(0)(0, 0, 2) == pytest.approx(2 * 0.001, rel=0.1)
    assert cost.prefill_run_s(1_000)(0, 0, 1) == pytest.approx(0.010)


def test_cache_is_what_helix_fills_whatever_is_hosted(tmp_path: Path) -> None:
    document = scenario_of_cluster(read_cluster(saved(tmp_path, CLUSTER)))
    problem = scenario_of(document, tmp_path / "made.json").problem
    cost = CostModel.of(problem)
    for k, entries in ((2, 700_000), (3, 500_000)):
        room = cost.room_bytes(np.zeros(2, np.int64), np.full(2, k))[0]
        held = room / int(cost.cache_bytes(1, 0, 1))
        assert held == pytest.approx(FILL_BY_OWN * entries, rel=0.01)


def test_an_ini_file_says_the_same_with_the_kinds_of_a_document(tmp_path: Path) -> None:
    kinds, ini = saved(tmp_path, CLUSTER), saved(tmp_path, INI, "cluster.ini")
    made, same = read_cluster(ini, kinds), read_cluster(kinds)
    assert made.links == same.links
    assert [n.kind for n in made.nodes] == [n.kind for n in same.nodes]
    with pytest.raises(ScenarioError, match="--kinds"):
        read_cluster(ini)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"nodes": [{"id": 7, "kind": "none"}]}, "no kind 'none'"),
        ({"nodes": CLUSTER["nodes"] + [CLUSTER["nodes"][0]]}, "given twice"),
        ({"links": [{"from": 7, "to": 8, "bandwidth_Bps": 1, "latency_s": 0}]}, "no machine 8"),
        ({"model": {"name": "toy"}}, "model"),
        ({"kinds": {"big": {**CLUSTER["kinds"]["big"], "max_layers": 4}}}, "for 4 layers"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_field(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScenarioError, match=told):
        read_cluster(saved(tmp_path, {**CLUSTER, **change}))


@pytest.mark.parametrize(
    ("old", "new"),
    [("10 * mbps", "ten * mbps"), ("10 * mbps", "10 * miles"), ("[ComputeNode-7]", "[Node-7]")],
)
def test_a_damaged_ini_file_is_refused(tmp_path: Path, old: str, new: str) -> None:
    kinds = saved(tmp_path, CLUSTER)
    with pytest.raises(ScenarioError, match=r"cluster\.ini"):
        read_cluster(saved(tmp_path, INI.replace(old, new), "cluster.ini"), kinds)


def test_layouts_go_there_and_back(tmp_path: Path) -> None:
    document = scenario_of_cluster(read_cluster(saved(tmp_path, CLUSTER)))
    problem = scenario_of(document, tmp_path / "made.json").problem
    ids = [s.id for s in problem.servers]
    placement = CostModel.of(problem).placed([(0, 2), (2, 4)])
    layout = layout_of(placement, ids)
    assert layout == {"7": [0, 2], "9": [2, 4]}
    path = tmp_path / "layout.json"
    write_layout(path, layout)
    assert path.read_text() == '{"7": [0, 2], "9": [2, 4]}\n'
    spans = {machine: (first, end) for machine, (first, end) in layout.items()}
    assert spans_of(spans, ids) == [(0, 2), (2, 4)]
    assert layout_of(CostModel.of(problem).placed([(0, 2), (0, 0)]), ids) == {"7": [0, 2]}
    with pytest.raises(ScenarioError, match="no machine"):
        layout_of(placement, ["fast", "slow"])


def test_the_published_clusters_are_scenarios(shared_data: Path, tmp_path: Path) -> None:
    for path in sorted((shared_data / "helix").glob("*.json")):
        cluster = read_cluster(path)
        scenario = scenario_of(scenario_of_cluster(cluster), tmp_path / "made.json")
        assert not scenario.warnings
        assert scenario.problem.num_servers == len(cluster.nodes)
