"""The command as its users run it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner, Result

from swarmplan.cli import main
from swarmplan.core.names import Quality, names
from swarmplan.simulator.figures import JUDGED_BY

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
TINY = str(FOLDER / "tiny.toml")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


def test_help_loads_no_heavy_package() -> None:
    code = (
        "import sys, swarmplan.cli\n"
        "heavy = {'torch', 'pulp', 'highspy', 'networkx', 'numpy', 'msgspec', 'rich', 'topohub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_compiler_is_loaded_only_when_something_is_simulated() -> None:
    code = (
        "import sys\n"
        "from swarmplan import api\n"
        f"api.plan({TINY!r}, 'cg-bp')\n"
        "before = 'numba' in sys.modules\n"
        f"api.simulate({TINY!r}, method='cg-bp', requests=2)\n"
        "print(before, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_plan_verify_and_explain_agree(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert run("plan", TINY, "-o", path).exit_code == 0
    assert "sound" in run("verify", path, TINY).stdout
    explained = json.loads(run("explain", TINY, "--plan", path, "--json").stdout)
    plan = json.loads(path.read_text())
    assert explained["clients"][0]["tpot_s"] * 1e3 == pytest.approx(plan["predicted"][0]["tpot_ms"])


def test_figures_of_block_times_that_nobody_measured_are_marked(tmp_path: Path) -> None:
    own = "decode_ms = 2\nprefill_base_ms = 5\nprefill_us_per_token = 50"
    guessed = tmp_path / "guessed.toml"
    guessed.write_text(Path(TINY).read_text().replace(own, 'profile = "H200"'))
    for path, origins in ((Path(TINY), {"given"}), (guessed, {"estimated"})):
        options = ("explain", path, "--method", "cg-bp")
        explained = json.loads(run(*options, "--json").stdout)
        hops = [hop for client in explained["clients"] for hop in client["hops"]]
        assert {hop["block_times"] for hop in hops} == origins
        assert ("~" in run(*options).stdout) == (path == guessed)
        (doubt,) = json.loads(run("scenario", "validate", path, "--json").stdout)["doubts"] or [""]
        assert ("2 servers (fast) are estimated" in doubt) == (path == guessed)


@pytest.mark.slow
def test_equal_inputs_give_byte_equal_plans(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run("plan", TINY, "-o", tmp_path / name, "--time-limit", "60")  # cut by nothing
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.slow
def test_a_plan_edited_by_hand_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    run("plan", TINY, "-o", path)
    plan = json.loads(path.read_text())
    plan["placement"][0]["end_block"] -= 1
    path.write_text(json.dumps(plan))
    result = run("verify", path, TINY)
    assert result.exit_code == 2
    assert "fast-0" in result.stdout


def test_a_bad_scenario_exits_with_2_and_names_the_field(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(Path(TINY).read_text().replace("decode_ms = 2", "decode_ms = -2"))
    result = run("plan", path)
    assert result.exit_code == 2
    assert "devices.fast.decode_ms" in result.stderr
    assert result.stdout == ""


def test_an_infeasible_scenario_exits_with_3(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    text = Path(TINY).read_text()
    path.write_text(text.replace("memory_gb = 1.0", "memory_gb = 0.2").replace("0.6", "0.2"))
    result = run("plan", path)
    assert result.exit_code == 3
    assert "blocks are missing" in result.stderr


def test_an_unknown_method_lists_those_that_exist() -> None:
    result = run("plan", TINY, "--method", "magic")
    assert result.exit_code == 2
    assert "cg-bp" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "gap", "code"),
    [
        (("--method", "exact"), 1e-4, 0),
        # Servers that work for others keep some of it from what a request alone would take.
        (("--method", "auto", "--objective", "response"), 0.05, 0),
        (("--method", "auto", "--objective", "response"), 1e-4, 4),
        # The bound is of the objective that was asked for, or there is none.
        (("--method", "auto", "--objective", "throughput"), 0.05, 0),
        (("--method", "flow", "--objective", "throughput"), 1e-3, 4),
        (("--method", "exact", "--objective", "response"), 1.0, 4),
        (("--method", "petals"), 0.2, 4),
    ],
)
def test_the_gap_that_is_required_is_that_of_what_was_asked_for(
    asked: tuple[str, ...], gap: float, code: int
) -> None:
    result = run("plan", TINY, *asked, "--require-gap", str(gap), "--time-limit", "8", "--json")
    assert result.exit_code == code
    found = json.loads(result.stdout)["certificate"]["objective"]["gap"]
    assert (found is not None and found <= gap) == (code == 0)


def test_compare_prints_one_document(tmp_path: Path) -> None:
    result = run("compare", TINY, "--seeds", "2", "--requests", "50", "--json")
    document = json.loads(result.stdout)
    assert [m["method"] for m in document["methods"]] == ["petals", "petals-tuned", "cg-bp", "auto"]


@pytest.mark.parametrize("metric", names(Quality))
def test_compare_judges_by_what_is_asked_for_and_routes_for_it(metric: str, tmp_path: Path) -> None:
    text = Path(TINY).read_text()
    path = tmp_path / "expected.toml"
    path.write_text(text + "\n[planning.deadlines]\nfirst_token_s = 0.1\nper_token_ms = 10\n")
    methods = ["-m", "cg-bp+overlap", "-m", "cg-bp + ws-rr"]
    options = [*methods, "--metric", metric, "--seeds", "2", "--requests", "50"]
    document = json.loads(run("compare", path, *options, "--json").stdout)
    figure = JUDGED_BY[cast("Quality", metric)]
    assert document["judged_by"] == figure.id
    one, two = document["methods"]
    assert (one["method"], two["method"]) == ("cg-bp + overlap", "cg-bp + ws-rr")
    runs: list[list[dict[str, Any]]] = [one["runs"], two["runs"]]
    pairs = zip(*([figure.stored(r) for r in made] for made in runs), strict=True)
    gains = [1 - b / a for a, b in pairs]
    assert two["gain_over_first"]["mean"] == pytest.approx(np.mean(gains))
    assert "judged by" in run("compare", path, *options).stdout


def test_without_deadlines_nobody_is_late() -> None:
    result = run("compare", TINY, "--metric", "late")
    assert result.exit_code == 2
    assert "planning.deadlines" in result.stderr


@pytest.mark.parametrize("name", ["requests.csv", "requests.jsonl"])
def test_simulate_writes_one_row_per_request(tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    assert run("simulate", TINY, "--requests", "30", "--table", table).exit_code == 0
    lines = table.read_text().splitlines()
    assert len(lines) == 30 + (name.endswith("csv"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["geographic", "reference", "topology"])
def test_a_generated_scenario_is_valid_and_can_be_planned(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "generated.toml"
    made = run("scenario", "generate", path, "--kind", kind, "--servers", "20", "--clients", "2")
    assert made.exit_code == 0
    assert run("scenario", "validate", path).exit_code == 0
    assert run("plan", path, "--sessions", "4", "--time-limit", "5").exit_code == 0
    assert run("scenario", "show", path).exit_code == 0


def test_the_schema_is_printed_as_json() -> None:
    assert "properties" in run("scenario", "schema").stdout
    assert json.loads(run("scenario", "schema", "--plan").stdout)["title"] == "swarmplan plan"


def test_verify_says_when_a_plan_is_for_another_scenario(tmp_path: Path) -> None:
    path, other = tmp_path / "plan.json", tmp_path / "other.toml"
    run("plan", TINY, "--method", "cg-bp", "-o", path)
    other.write_text(Path(TINY).read_text().replace("rate_per_s = 0.4", "rate_per_s = 0.3"))
    result = run("verify", path, other)
    assert "another version of this scenario" in result.stdout


def test_a_plan_is_compared_and_simulated_with_the_router_it_was_made_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    assert run("plan", TINY, "--method", "chains", "--headroom", "5", "-o", path).exit_code == 0
    plan = json.loads(path.read_text())
    assert plan["router"] == "jffc"
    assert any("5 % of the memory kept free" in note for note in plan["notes"])
    options = ("--seeds", "1", "--requests", "50", "--json")
    result = run("compare", TINY, "-m", "cg-bp", "--plan", path, *options)
    rows = json.loads(result.stdout)["methods"]
    assert [r["method"] for r in rows] == ["cg-bp", "mine.json"]
    assert not rows[1]["error"]
    plan["router"] = "none-such"
    path.write_text(json.dumps(plan))
    refused = run("simulate", TINY, "--plan", path)
    assert refused.exit_code == 2
    assert "least-response" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "command"),
    [
        ((), "plan"),
        ((), "simulate"),
        (("--seeds", "1", "-m", "cg-bp"), "compare"),
        (("--rtt-scale", "2", "--method", "cg-bp"), "whatif"),
        (("--each-server", "--method", "cg-bp"), "whatif"),
    ],
)
def test_what_is_assumed_of_servers_is_said_wherever_figures_are(
    tmp_path: Path, words: tuple[str, ...], command: str
) -> None:
    said = "assumed, as the papers do: sessions do not slow each other down at all servers"
    path = tmp_path / "assumed.toml"
    text = Path(TINY).read_text()
    path.write_text(text.replace("[model]", 'sharing = "independent"\n[model]', 1))
    assert said in run(command, path, *words).stdout
    assert "assumed" not in run(command, TINY, *words).stdout


def test_commands_tell_how_clients_draft(tmp_path: Path) -> None:
    path, plan = tmp_path / "drafts.toml", tmp_path / "plan.json"
    table = "[speculation]\nacceptance = 0.8\ndraft_ms = 1\n[model]"
    path.write_text(Path(TINY).read_text().replace("[model]", table, 1))
    shown = run("plan", path, "--method", "cg-bp", "-o", plan)
    assert "drafts per pass" in shown.stdout
    kept = json.loads(plan.read_text())
    (drafts,) = kept["drafts"]
    assert drafts["draft_tokens"] == kept["routes"][0]["draft_tokens"] > 0
    assert kept["routes"][0]["tokens_per_pass"] > 1
    assert run("verify", plan, path).exit_code == 0
    assert "drafts a pass" in run("explain", path, "--plan", plan).stdout
    told = json.loads(run("explain", path, "--plan", plan, "--json").stdout)
    assert told["clients"][0]["drafts"]["gain"] > 1
    words = "-m", "cg-bp", "--seeds", "1", "--requests", "40", "--json"
    rows = json.loads(run("compare", path, "--speculation", "none,auto", *words).stdout)["methods"]
    assert [r["method"] for r in rows] == ["cg-bp, drafts none", "cg-bp, drafts auto"]
    assert rows[1]["response_s"]["mean"] < rows[0]["response_s"]["mean"]
    refused = run("compare", TINY, "--speculation", "auto", *words)
    assert (refused.exit_code, "no draft model" in refused.stderr) == (2, True)
    assert run("compare", path, "--speculation", "none,none").exit_code == 2
    options = "--acceptance", "0.8", "--draft-ms", "1", "--method", "cg-bp", "--seeds", "1"
    changed = run("whatif", TINY, *options, "--requests", "40")
    assert "acceptance of drafts 0.8" in changed.stdout


def test_a_load_that_no_swarm_can_bear_is_said() -> None:
    shown = run("simulate", TINY, "--method", "cg-bp", "--load", "8")
    assert "overload: " in shown.stdout
    told = json.loads(run("simulate", TINY, "--method", "cg-bp", "--load", "8", "--json").stdout)
    assert told["offered_per_s"] > told["most_per_s"] > 2
    assert told["independent_servers"] == []
    assert "overload" not in run("simulate", TINY, "--method", "cg-bp").stdout


def test_calibrate_shows_the_fit_and_what_is_missing(tmp_path: Path) -> None:
    rows = [
        f"NVIDIA H200,Llama-3.1-8B,{precision},petals,{line}"
        for precision in ("bf16", "nf4")
        for line in (
            "decode,1,,1,1.1",
            "decode,1,,2048,1.2",
            "prefill,1,128,0,1.7",
            "verify,1,8,1,1.4",
        )
    ]
    table = tmp_path / "rows.csv"
    header = "gpu,model,precision,style,phase,batch,new_tokens,context_tokens,ms_per_block\n"
    table.write_text(header + "\n".join(rows))
    out, page = tmp_path / "gpu.json", tmp_path / "fit.html"
    shown = run("calibrate", table, "-o", out, "--report", page)
    assert shown.exit_code == 0
    assert shown.stdout.count("fit error, median %") == 2
    assert "missing: prefill at 3 or more prompt lengths (found 1)" in shown.stdout
    assert "decode, ms more for 2 rows" not in shown.stdout  # one knot is a line
    html = page.read_text()
    assert "gpu/Llama-3.1-8B/nf4" not in html  # named after the table
    assert html.count("<svg") >= 4
    assert "rows/Llama-3.1-8B/nf4: decode, ms per block" in html
    documents = json.loads(run("calibrate", table, "--json").stdout)["profiles"]
    assert [d["precision"] for d in documents] == ["bf16", "nf4"]
    assert documents[0]["points"][0]["measured_s"] == pytest.approx(0.0011)
    text = (FOLDER / "demo.toml").read_text().replace("BPRR-A100", "gpu.json")
    scenario = tmp_path / "s.toml"
    scenario.write_text(text.replace('name = "BLOOM-176B"', 'name = "Llama-3.1-8B"'))
    told = run("scenario", "show", scenario)
    assert told.exit_code == 0, told.output
    # Measured for one kind of server, scaled from BLOOM for the other.
    note = "note: block times of 10 servers (mig) are scaled: from BLOOM-176B on BPRR-MIG-1g"
    assert note in told.stderr
    assert "(a100) are" not in told.stderr


@pytest.mark.slow
def test_capacity_tells_bound_best_plan_and_what_binds(tmp_path: Path) -> None:
    path = tmp_path / "most.json"
    told = json.loads(run("capacity", TINY, "--json", "--time-limit", "3", "-o", path).stdout)
    assert 0 < told["found_per_s"] <= told["most_per_s"]
    assert told["load_per_s"] == pytest.approx(0.4)
    assert told["placements"][0]["held_per_s"] == told["found_per_s"]
    assert told["placements"][0]["carried_per_s"] <= told["most_per_s"]
    assert any("compute" in server["binds"] for server in told["servers"])
    plan = json.loads(path.read_text())
    assert plan["router"] == told["placements"][0]["router"]
    hosted = {s["server"]: s["start_block"] for s in told["servers"]}
    assert {s["server"]: s["start_block"] for s in plan["placement"]} == hosted
    assert run("verify", path, TINY).exit_code == 0
    shown = run("capacity", TINY, "--time-limit", "1").stdout
    assert "no plan sustains more than 2.437 requests/s" in shown
    assert "best found: " in shown
    assert "load 0.4 requests/s, 16 % of the 2.437" in shown


def test_the_load_is_said_beside_what_is_sustained() -> None:
    said = "load 0.4 requests/s, 16 % of the 2.437 that no plan exceeds"
    assert said in run("plan", TINY, "--method", "cg-bp").stdout
    assert said in run("compare", TINY, "-m", "cg-bp", "--seeds", "1").stdout
    compared = run("compare", TINY, "-m", "cg-bp", "--seeds", "1", "--load", "8").stdout
    assert "overload: 3.2 requests/s arrive" in compared
