"""Scenario files: what is shipped loads, what is wrong is named."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from swarmplan.core.errors import ScenarioError
from swarmplan.core.problem import COEFFICIENTS, Timing
from swarmplan.perfmodel.calibrate import calibrate_file
from swarmplan.perfmodel.overhead import HopOverhead
from swarmplan.perfmodel.profilefile import write_profiles
from swarmplan.perfmodel.roofline import roofline_timing
from swarmplan.perfmodel.timing import decode_s
from swarmplan.scenarios.files import parse_file
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.scenarios.schema import json_schema, plan_json_schema

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
SHIPPED = sorted(FOLDER.glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_every_shipped_scenario_loads_without_a_warning(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.warnings == ()
    jsonschema.validate(parse_file(path), json_schema())


def in_one_order(schema: Any) -> Any:
    """With alternatives sorted: msgspec lists them differently from version to version."""
    if isinstance(schema, list):
        return [in_one_order(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: in_one_order(part) for name, part in schema.items()}
    if "anyOf" in parts:
        parts["anyOf"].sort(key=lambda part: json.dumps(part, sort_keys=True))
    return parts


def test_the_committed_schemas_are_those_of_the_code() -> None:
    for name, schema in (("scenario", json_schema()), ("plan", plan_json_schema())):
        committed = json.loads((FOLDER / f"{name}.schema.json").read_text())
        assert in_one_order(committed) == in_one_order(schema)


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = (FOLDER / "tiny.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "edited.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("memory_gb = 1.0", "memory_gb = -1.0", "devices.fast.memory_gb"),
        ("memory_gb = 1.0", "memory = 1.0", "devices.fast"),
        ("num_blocks = 12", 'num_blocks = "twelve"', "model.num_blocks"),
        ("num_blocks = 12\n", "", "model"),
        ('client = "me"', 'client = "you"', "workload.streams[0].client"),
        ("[0, 20, 30, 10, 15]", "[0, 20, 30, 10]", "network.rtt_ms"),
        ('device = "slow"', 'device = "slwo"', "servers[1]"),
        ("rate_per_s = 0.4", "rate_per_s = 0", "workload.streams"),
        ("count = 2", "count = 200000", "servers[0].count"),
        ('id = "slow"', 'id = "fast"', "servers"),
        ("rate_per_s = 0.4", "rate_per_s = nan", "workload.streams[0].rate_per_s"),
    ],
)
def test_a_defect_is_reported_with_its_field(
    tmp_path: Path, old: str, new: str, field: str
) -> None:
    path = edited(tmp_path, (old, new))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert any(p.path.startswith(field) for p in caught.value.problems), caught.value.problems
    assert str(path) in str(caught.value)


def test_all_defects_are_reported_at_once(tmp_path: Path) -> None:
    path = edited(
        tmp_path, ("memory_gb = 1.0", "memory_gb = 0"), ("prompt_tokens = 50", "prompt_tokens = 0")
    )
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"format = ", b"", b"[" * 100_000, b"a = 1" + b"0" * 10_000]
)
def test_files_that_are_not_toml_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(content)
    with pytest.raises(ScenarioError):
        load_scenario(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.toml: cannot be read"):
        load_scenario(tmp_path / "nowhere.toml")


def test_the_hash_ignores_layout_but_not_content(tmp_path: Path) -> None:
    plain = load_scenario(FOLDER / "tiny.toml").sha256
    (tmp_path / "a").mkdir()
    spaced = edited(tmp_path / "a", ("num_blocks = 12", "num_blocks   =   12  # twelve"))
    assert load_scenario(spaced).sha256 == plain
    changed = edited(tmp_path, ("decode_ms = 2", "decode_ms = 3"))
    assert load_scenario(changed).sha256 != plain


PROFILED = ("decode_ms = 2\nprefill_base_ms = 5\nprefill_us_per_token = 50", 'profile = "gpu.json"')
TABLE = (
    "phase,prompt_tokens,context_tokens,batch,ms_per_block\n"
    "prefill,1,,1,6\nprefill,256,,1,7\nprefill,1024,,1,20\nprefill,2048,,1,40\n"
    "decode,,128,1,3\ndecode,,2048,1,3.5\ndecode,,2048,4,3.8\n"
)


def test_a_calibrated_profile_is_used_as_measured(tmp_path: Path) -> None:
    (tmp_path / "measured.csv").write_text(TABLE)
    fitted = calibrate_file(tmp_path / "measured.csv", name="gpu")
    write_profiles(tmp_path / "gpu.json", "gpu", [fitted])
    scenario = load_scenario(edited(tmp_path, PROFILED))
    timing = scenario.problem.servers[0].timing
    for name in COEFFICIENTS:
        assert getattr(timing, name) == pytest.approx(getattr(fitted.timing, name), rel=1e-12)
    before = scenario.sha256
    write_profiles(tmp_path / "gpu.json", "other", [fitted])
    assert load_scenario(edited(tmp_path, PROFILED)).sha256 != before


OWN_SHEET = (
    PROFILED[0],
    "bandwidth_gb_per_s = 4800\ntflop_per_s = 989",
)


def test_a_gpu_is_estimated_by_the_data_sheet_in_the_file(tmp_path: Path) -> None:
    problem = load_scenario(edited(tmp_path, OWN_SHEET)).problem
    assert problem.servers[0].timing == roofline_timing(problem.model, "H200")
    assert problem.servers[0].validity.origin == "estimated"
    assert "data sheet of fast" in problem.servers[0].validity.remark


def test_an_estimate_takes_the_launches_of_the_host_that_is_told(tmp_path: Path) -> None:
    def timing(*lines: str) -> Timing:
        sheet = (OWN_SHEET[0], "\n".join((OWN_SHEET[1], *lines)))
        dense = ('name = "toy"', 'name = "toy"\nquantisation = "bf16"')
        found = load_scenario(edited(tmp_path, dense, sheet)).problem.servers[0].timing
        assert isinstance(found, Timing)
        return found

    usual, slow = timing(), timing("launch_ms = 2.5")
    # Hosts are told by a dense 16-bit block of seven layers, which this is.
    assert slow.decode_floor_s == pytest.approx(0.0025)
    assert 0.0007 < usual.decode_floor_s < 0.0013
    assert slow.decode_base_s == usual.decode_base_s


@pytest.mark.parametrize(
    ("old", "new", "field", "message"),
    [
        (OWN_SHEET[0], "bandwidth_gb_per_s = 4800", "tflop_per_s", "together"),
        (OWN_SHEET[0], "tflop_per_s = 989", "bandwidth_gb_per_s", "together"),
        (OWN_SHEET[0], f'profile = "H200"\n{OWN_SHEET[1]}', "profile", "not both"),
        (OWN_SHEET[0], f'profile = "absent.json"\n{OWN_SHEET[1]}', "profile", "not both"),
        (OWN_SHEET[0], OWN_SHEET[1].replace("4800", "0"), "bandwidth_gb_per_s", "1"),
        (OWN_SHEET[0], OWN_SHEET[0] + "\nlaunch_ms = 1", "launch_ms", "times of fast are given"),
        (OWN_SHEET[0], 'profile = "H100-80GB"\nlaunch_ms = 1', "launch_ms", "are scaled"),
    ],
)
def test_a_data_sheet_that_is_none_and_a_host_without_one_are_refused(
    tmp_path: Path, old: str, new: str, field: str, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        load_scenario(edited(tmp_path, (old, new)))
    assert [p.path for p in caught.value.problems] == [f"devices.fast.{field}"]


def test_a_curve_by_batch_gives_the_step_and_what_more_sequences_cost(tmp_path: Path) -> None:
    curve = ("decode_ms = 2\n", "decode_ms_by_batch = [[1, 2], [4, 2.5], [8, 4.5]]\n")
    timing = load_scenario(edited(tmp_path, curve)).problem.servers[0].timing
    assert isinstance(timing, Timing)
    assert timing.decode_base_s == 0.002
    for batch, ms in ((1, 2), (2, 2 + 0.5 / 3), (4, 2.5), (6, 3.5), (8, 4.5), (10, 5.5)):
        assert decode_s(timing, 0, batch) == pytest.approx(ms * 1e-3)


@pytest.mark.parametrize("curve", ["[[2, 2]]", "[[1, 2], [1, 3]]", "[[1, 2], [4, 1.9]]"])
def test_a_curve_by_batch_begins_with_one_and_rises(tmp_path: Path, curve: str) -> None:
    with pytest.raises(ScenarioError, match="must begin with batch 1 and rise") as caught:
        load_scenario(edited(tmp_path, ("decode_ms = 2\n", f"decode_ms_by_batch = {curve}\n")))
    assert [p.path for p in caught.value.problems] == ["devices.fast.decode_ms_by_batch"]


def test_overheads_of_tasks_come_from_the_file_else_from_the_profile_else_are_none(
    tmp_path: Path,
) -> None:
    assert load_scenario(edited(tmp_path)).problem.servers[0].task_overhead_s == 0.0
    (tmp_path / "measured.csv").write_text(TABLE)
    hop = HopOverhead(step_s=0.008, task_s=0.002, prefill_s=0.01, piece_s=0.003)
    fitted = calibrate_file(tmp_path / "measured.csv", name="gpu")
    write_profiles(tmp_path / "gpu.json", "gpu", [dataclasses.replace(fitted, hop=hop)])
    server = load_scenario(edited(tmp_path, PROFILED)).problem.servers[0]
    assert (server.task_overhead_s, server.piece_delay_s) == pytest.approx((0.002, 0.003))
    own = (PROFILED[0], PROFILED[1] + "\ntask_overhead_ms = 5\npiece_delay_ms = 0")
    server = load_scenario(edited(tmp_path, own)).problem.servers[0]
    assert (server.task_overhead_s, server.piece_delay_s) == pytest.approx((0.005, 0.0))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"timing_ms": {"decode_base": "3"}}', '{"timing_ms": {"decode_base": NaN}}',
     '{"timing_ms": {"decode_base": 1, "speed": 2}}', '{"timing_ms": {"decode_base": 1e400}}',
     '{"timing_ms": {"decode_base": 3}, "forward_rps": 0}', "[" * 5_000, "\xff"],
)  # fmt: skip
def test_a_profile_file_that_is_none_is_refused_by_field(tmp_path: Path, content: str) -> None:
    (tmp_path / "gpu.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(edited(tmp_path, PROFILED))
    assert [p.path for p in caught.value.problems] == ["devices.fast.profile"]


def test_round_trip_times_below_the_fibre_floor_are_reported(tmp_path: Path) -> None:
    """Washington and Amsterdam cannot be 10 ms apart."""
    path = edited(
        tmp_path,
        ('id = "me"', 'id = "me"\nlat = 38.9\nlon = -77.0'),
        ('device = "slow"\ncount = 2', 'device = "slow"\ncount = 2\nlat = 52.4\nlon = 4.9'),
    )
    warned = load_scenario(path).warnings
    assert len(warned) == 2
    assert "RTT me - slow-0 is 10 ms, but light in fibre needs 60" in warned[0]


def test_repetita_delays_are_told_to_be_too_fast(tmp_path: Path) -> None:
    text = (FOLDER / "demo.toml").read_text()
    path = tmp_path / "published.toml"
    path.write_text(text.replace('delay = "internet"', 'delay = "repetita"'))
    lost, warning = load_scenario(path).warnings
    assert "topohub has 22 of at least 23 nodes" in lost
    assert "below the light-in-fibre floor" in warning


def of_shipped_cards(tmp_path: Path, **changes: Any) -> list[str]:
    document: dict[str, Any] = parse_file(FOLDER / "tiny.toml")
    document |= {"model": {"name": "Llama-2-70B"}, **changes}
    for server in document["servers"]:
        server.setdefault("device", "RTX4090")
    (tmp_path / "cards.json").write_text(json.dumps(document))
    scenario = load_scenario(tmp_path / "cards.json")
    return [*scenario.warnings, *(f"note: {note}" for note in scenario.notes)]


def cards(**fields: Any) -> list[dict[str, Any]]:
    return [{"id": "a", "count": 2, **fields}, {"id": "b", "count": 2, **fields}]


def test_nominal_memory_is_told(tmp_path: Path) -> None:
    (told,) = of_shipped_cards(tmp_path, servers=cards())
    assert told.startswith(
        "4 server(s) plan with the nominal memory of their card (RTX4090: 24 GB)"
    )
    (told,) = of_shipped_cards(tmp_path, servers=cards(memory_gb=24))
    assert told.startswith("note: 4 server(s) plan with the nominal memory")
    profile = {"card": {"profile": "RTX4090"}}
    (told,) = of_shipped_cards(tmp_path, servers=cards(device="card"), devices=profile)
    assert told.startswith("4 server(s) plan with the nominal memory of their card (card: 24 GB)")
    assert of_shipped_cards(tmp_path, servers=cards(memory_gb=22)) == []
    assert of_shipped_cards(tmp_path, servers=cards(), resilience={"headroom_percent": 8}) == []


def test_sessions_longer_than_the_context_are_refused_or_told(tmp_path: Path) -> None:
    stream = {"client": "me", "rate_per_s": 0.1, "prompt_tokens": 4000, "output_tokens": 97}
    given = {"servers": cards(memory_gb=22), "workload": {"streams": [stream]}}
    longer = r"workload: sessions of 4,097 tokens are longer than the context of Llama-2-70B, 4,096"
    with pytest.raises(ScenarioError, match=longer):
        of_shipped_cards(tmp_path, **given)
    given["planning"] = {"session_tokens": 4_096}  # single requests may be longer than planned
    (told,) = of_shipped_cards(tmp_path, **given)
    assert (
        "sessions of up to 4,097 tokens are longer than the context of Llama-2-70B, 4,096" in told
    )
    own = {"name": "toy", "num_blocks": 12, "hidden_size": 64, "block_mb": 1, "context_tokens": 99}
    with pytest.raises(ScenarioError, match=r"planning.session_tokens: .* context of toy, 99"):
        of_shipped_cards(tmp_path, **given, model=own)
    # BLOOM tells distances by biases: it has no longest session.
    assert not any(
        "context" in told
        for told in of_shipped_cards(
            tmp_path, **{**given, "planning": {}}, model={"name": "BLOOM-7B1"}
        )
    )
    stream["output_tokens"] = 96
    assert of_shipped_cards(tmp_path, **given) == []
    (tmp_path / "t.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,9,9\n1,4000,97\n")
    given["workload"] = {"trace": {"csv": "t.csv"}}
    assert "up to 4,097 tokens" in of_shipped_cards(tmp_path, **given)[0]
