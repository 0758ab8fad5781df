"""Measured round-trip times: both forms of tables, names, duplicates, gaps, last miles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.scenarios.generate import write_document
from swarmplan.scenarios.scenario import Scenario, load_scenario
from swarmplan.studies import edits
from swarmplan.studies.catalogue import load_market

MATRIX = "id,Zürich,New York,São Paulo\nZürich,,90,210\nNew York,,,115\n"


def load(
    folder: Path,
    csv: str | None = None,
    *,
    servers: list[dict[str, Any]] | None = None,
    client: dict[str, Any] | None = None,
    **network: Any,
) -> Scenario:
    if csv is not None:
        (folder / "r.csv").write_text(csv, encoding="utf-8")
        network["rtt_csv"] = "r.csv"
    document = {
        "format": "swarmplan/scenario/1",
        "name": "pairs",
        "model": {"name": "toy", "num_blocks": 12, "hidden_size": 1024, "block_mb": 100},
        "devices": {"d": {"memory_gb": 2.0, "decode_ms": 2}},
        "network": {"delay": "measured", **network},
        "servers": [
            {"device": "d", **s} for s in servers or [{"id": "New York"}, {"id": "São Paulo"}]
        ],
        "clients": [client or {"id": "Zürich"}],
        "workload": {
            "streams": [
                {
                    "client": (client or {"id": "Zürich"})["id"],
                    "rate_per_s": 0.01,
                    "prompt_tokens": 10,
                    "output_tokens": 10,
                }
            ]
        },
    }
    write_document(folder / "s.json", document)
    return load_scenario(folder / "s.json")


def client_ms(scenario: Scenario) -> list[float]:
    return [round(float(s) * 1e3, 6) for s in scenario.problem.network.client_rtt_s[0]]


def told(folder: Path, csv: str, **given: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(folder, csv, **given)
    return str(caught.value)


@pytest.mark.parametrize(
    "csv",
    [
        MATRIX,
        MATRIX.replace(",", ";"),
        "from,to,ms\nZürich,New York,90\nSão Paulo,Zürich,210\nNew York,São Paulo,115\n",
        "Source\tTarget\tRTT_ms\nZürich\tNew York\t90\nZürich\tSão Paulo\t210\n",
        "client,server,latency_s\nZürich,New York,0.09\nZürich,São Paulo,0.21\n",
        '{"from": "Zürich", "to": "New York", "rtt_ms": 90}\n'
        '{"from": "Zürich", "to": "São Paulo", "rtt_ms": 210}\n',
        "src_provider,src_region,dst_provider,dst_region,rtt_p50_ms\n"
        "aws,Zürich,aws,New York,90\naws,Zürich,aws,São Paulo,210\naws,Zürich,aws,Tokyo,300\n",
        "id,New York,São Paulo,Tokyo\nZürich,90,210,300\nParis,80,200,290\n",
        "\ufeffid,New York,São Paulo\nZürich,90,210\nZürich 2,1,oops\n",
    ],
)
def test_matrix_and_list_are_read_and_extra_rows_passed_over(csv: str, tmp_path: Path) -> None:
    scenario = load(tmp_path, csv)
    assert client_ms(scenario) == [90, 210]
    assert not [w for w in scenario.warnings if "rtt_csv" in w]


def test_names_that_differ_in_case_and_accents_are_taken_and_told(tmp_path: Path) -> None:
    scenario = load(tmp_path, "id,new york,Sao_Paulo\nZURICH,90,210\n")
    assert client_ms(scenario) == [90, 210]
    assert "network.rtt_csv: 'Sao_Paulo' is taken for 'São Paulo'" in scenario.warnings
    assert "network.rtt_csv: 'ZURICH' is taken for 'Zürich'" in scenario.warnings


def test_a_misspelt_name_is_told_with_what_it_may_mean(tmp_path: Path) -> None:
    csv = "id,New Yrok,São Paulo\nZürich,90,210\n"
    assert "'New Yrok' is no client or server here; did you mean 'New York'?" in told(tmp_path, csv)
    placed: list[dict[str, Any]] = [
        {"id": "New York", "lat": 40.7, "lon": -74.0},
        {"id": "São Paulo"},
    ]
    scenario = load(tmp_path, csv, servers=placed, client={"id": "Zürich", "lat": 47.4, "lon": 8.5})
    assert any("did you mean 'New York'" in w for w in scenario.warnings)


def test_two_spellings_of_one_name_are_told(tmp_path: Path) -> None:
    scenario = load(tmp_path, "id,New York,São Paulo\nZürich,90,210\nZurich,30,33\n")
    assert any("'Zurich'" in w and "'Zürich' stands there too" in w for w in scenario.warnings)


@pytest.mark.parametrize(
    ("csv", "says"),
    [
        (MATRIX + "Zürich,,30,33\n", "names 'Zürich' twice in its first column, lines 2 and 4"),
        ("id,New York,New York,São Paulo\nZürich,90,30,9\n", "'New York' twice in its first row"),
        (
            "from,to,ms\nZürich,New York,90\nZürich,São Paulo,9\nZürich,New York,30\n",
            "'Zürich' to 'New York' is given twice, 90 ms in line 2 and 30 in line 4",
        ),
        (MATRIX.replace("90", "-9"), "line 2, 'Zürich' to 'New York': '-9' is no time in ms"),
        (MATRIX.replace("90", "nan"), "'nan' is no time in ms"),
        (MATRIX.replace("90", "inf"), "'inf' is no time in ms"),
        (MATRIX.replace("90", "timeout"), "'timeout' is no time in ms"),
        ("id,Tokyo\nParis,90\n", "names no client or server in its first row or"),
        ("from,to,ms\nParis,Tokyo,90\n", "names no client or server in its columns of names"),
        ("id,New York\nZürich,90\n", "rtt Zürich - São Paulo is not measured"),
    ],
)
def test_what_a_table_cannot_mean_is_refused(csv: str, says: str, tmp_path: Path) -> None:
    assert says in told(tmp_path, csv)


def test_directions_that_disagree_and_absurd_times_are_told(tmp_path: Path) -> None:
    scenario = load(tmp_path, "id,Zürich,New York,São Paulo\nZürich,,90,21000\nNew York,30,,\n")
    assert client_ms(scenario) == [90, 21000]
    assert any(
        "Zürich - New York is 90 ms, New York - Zürich is 30 ms" in w for w in scenario.warnings
    )
    assert any("Zürich - São Paulo is 21000 ms: times are in ms" in w for w in scenario.warnings)
    near = load(tmp_path, "id,Zürich,New York,São Paulo\nZürich,,90,210\nNew York,92,,\n")
    assert not [w for w in near.warnings if "one time" in w]
    near = load(tmp_path, rtt_ms=[[0, 9, 9], [5, 0, 7], [9, 7, 0]])
    assert any("Zürich - New York is 9 ms, New York - Zürich is 5 ms" in w for w in near.warnings)


def test_only_pairs_that_the_relay_needs_are_needed(tmp_path: Path) -> None:
    csv = "id,New York,São Paulo\nZürich,90,210\n"
    scenario = load(tmp_path, csv)
    between = scenario.problem.network.server_rtt_s * 1e3
    np.testing.assert_allclose(between, [[0, 300], [300, 0]])
    assert any("1 pairs of servers have no round-trip time" in w for w in scenario.warnings)
    assert "rtt New York - São Paulo is not measured" in told(tmp_path, csv, relay="server")


def test_a_measured_pair_gets_no_last_mile_on_top(tmp_path: Path) -> None:
    servers = [
        {"id": "mine", "lat": 49.5, "lon": 8.5, "last_mile_ms": 12, "region": "home"},
        {"id": "rented", "lat": 49.5, "lon": 8.5, "last_mile_ms": 3, "region": "eu"},
    ]
    me = {"id": "me", "lat": 49.5, "lon": 8.5, "last_mile_ms": 12, "region": "home"}
    scenario = load(tmp_path, "id,mine\nme,0.1\n", servers=servers, client=me)
    assert client_ms(scenario) == [0.1, 5.7 + 15]
    matrix = [[0, 0.1, 7], [0.1, 0, 8], [7, 8, 0]]
    assert client_ms(load(tmp_path, servers=servers, client=me, rtt_ms=matrix)) == [0.1, 7]
    table = {"home": {"home": 1, "eu": 10}}
    assert client_ms(load(tmp_path, servers=servers, client=me, region_rtt_ms=table)) == [25, 25]


def test_a_table_of_regions_may_know_more_of_them(tmp_path: Path) -> None:
    servers = [{"id": "a", "region": "eu"}]
    me = {"id": "me", "region": "eu"}
    table = {"eu": {"eu": 8, "us": 90}, "us": {"us": 8}}
    scenario = load(tmp_path, servers=servers, client=me, region_rtt_ms=table)
    assert client_ms(scenario) == [8]
    assert scenario.warnings == ()
    with pytest.raises(ScenarioError, match="region 'EU-West'; did you mean 'eu west'"):
        load(
            tmp_path,
            servers=[{"id": "a", "region": "eu west"}],
            client={"id": "me", "region": "eu"},
            region_rtt_ms={"eu": {"EU-West": 8}},
        )
    scenario = load(
        tmp_path,
        servers=servers,
        client=me,
        region_rtt_ms={"eu": {"eu": 8, "us": 90}, "us": {"eu": 9}},
    )
    assert "eu - us is 90 ms, us - eu is 9 ms" in scenario.warnings[0]


def test_a_gap_of_a_matrix_takes_the_distance(tmp_path: Path) -> None:
    here = {"lat": 49.5, "lon": 8.5}
    servers = [{"id": "a", **here}, {"id": "b", **here}]
    matrix = [[0, None, 7], [None, 0, None], [7, None, 0]]
    scenario = load(tmp_path, servers=servers, client={"id": "me", **here}, rtt_ms=matrix)
    assert client_ms(scenario) == [5.7, 7]
    write_document(tmp_path / "s.toml", json.loads((tmp_path / "s.json").read_text()))
    assert client_ms(load_scenario(tmp_path / "s.toml")) == [5.7, 7]


RACK = [
    {"id": "rack", "count": 3, "lat": 50.0, "lon": 8.0},
    {"id": "far", "lat": 40.0, "lon": -70.0},
]
OF_RACK = "id,rack,far\nme,20,90\nrack,0.4,70\n"
AT = {"id": "me", "lat": 50.1, "lon": 8.7}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (edits.remove("rack-1"), [20, 20, 90]),
        (edits.remove("rack"), [90]),
        (edits.remove("far"), [20, 20, 20]),
        (edits.set_value("servers.rack-0.memory_gb=1"), [20, 20, 20, 90]),
        (edits.set_value("servers.*.memory_gb=1"), [20, 20, 20, 90]),
        (edits.add("id=x,like=rack"), [20, 20, 20, 90, 20]),
        (edits.add("id=x,like=rack-2,count=2"), [20, 20, 20, 90, 20, 20]),
        (edits.add("id=x,like=me,device=d"), [20, 20, 20, 90, 0]),
        (edits.add("id=x,device=d,lat=50.1,lon=8.7"), [20, 20, 20, 90, 5.7]),
        (edits.move("rack-1=far"), [20, 90, 20, 90]),
        (edits.move("rack-1=50.1,8.7"), [20, 5.7, 20, 90]),
        (edits.move("far=rack-0"), [20, 20, 20, 20]),
    ],
)
@pytest.mark.parametrize("form", ["table", "matrix"])
def test_groups_of_like_servers_keep_their_times_in_every_edit(
    edit: edits.Edit, expected: list[float], form: str, tmp_path: Path
) -> None:
    if form == "table":
        scenario = load(tmp_path, OF_RACK, servers=RACK, client=AT)
    else:
        near = [[0, 20, 20, 20, 90], *([20, 0.4, 0.4, 0.4, 70],) * 3, [90, 70, 70, 70, 0]]
        scenario = load(tmp_path, servers=RACK, client=AT, rtt_ms=near)
    assert client_ms(edits.apply(scenario, [edit])) == pytest.approx(expected)


def test_one_count_may_say_what_its_machines_have_among_each_other(tmp_path: Path) -> None:
    scenario = load(tmp_path, OF_RACK, servers=RACK, client=AT)
    between = scenario.problem.network.server_rtt_s * 1e3
    assert between[0].round(6).tolist() == [0, 0.4, 0.4, 70]


@pytest.mark.parametrize("scratch", [False, True])
def test_offers_have_their_times_from_their_places_beside_a_matrix(
    scratch: bool, tmp_path: Path
) -> None:
    near = [[0, 20, 20, 20, 90], *([20, 0.4, 0.4, 0.4, 70],) * 3, [90, 70, 70, 70, 0]]
    scenario = load(tmp_path, servers=RACK, client=AT, rtt_ms=near)
    offer = {"id": "g", "device": "d", "lat": 50.1, "lon": 8.7, "available": 2}
    write_document(tmp_path / "offers.json", {"format": "swarmplan/catalogue/1", "offers": [offer]})
    market = load_market(scenario, tmp_path / "offers.json", scratch=scratch)
    own = [] if scratch else [20, 20, 20, 90]
    assert client_ms(market.scenario_with((2,))) == pytest.approx([*own, 5.7, 5.7])
