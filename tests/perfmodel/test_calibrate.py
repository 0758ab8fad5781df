from __future__ import annotations

import csv
import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmplan.core.errors import CalibrationError
from swarmplan.core.problem import COEFFICIENTS, Timing
from swarmplan.perfmodel.calibrate import Given, calibrate_all, calibrate_file
from swarmplan.perfmodel.devices import device
from swarmplan.perfmodel.fitting import fit_floored, fit_nonnegative
from swarmplan.perfmodel.profilefile import parse_profiles, read_profiles, write_profiles
from swarmplan.perfmodel.timing import decode_s, more_s, prefill_s

HEADER = "phase,prompt_tokens,context_tokens,batch,ms_per_block\n"
PROMPTS = (1, 16, 64, 128, 256, 512, 1024, 2048)
CONTEXTS = (0, 128, 512, 2048, 8192)
TRUE = Timing(
    decode_base_s=0.5e-3,
    decode_per_context_token_s=3e-9,
    decode_per_sequence_s=0.02e-3,
    prefill_floor_s=0.55e-3,
    prefill_base_s=0.2e-3,
    prefill_per_token_s=2.5e-6,
)


def table(timing: Timing = TRUE) -> str:
    prefill = [f"prefill,{t},,1,{float(prefill_s(timing, t)) * 1e3!r}" for t in PROMPTS]
    decode = [f"decode,,{c},{b},{decode_s(timing, c, b) * 1e3!r}" for c in CONTEXTS for b in (1, 4)]
    return HEADER + "\n".join(prefill + decode) + "\n"


def saved(tmp_path: Path, text: str, name: str = "gpu.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def near(timing: Timing, expected: Timing, rel: float) -> None:
    for field in COEFFICIENTS:
        assert getattr(timing, field) == pytest.approx(getattr(expected, field), rel=rel), field


def test_exact_measurements_give_their_formula_back(tmp_path: Path) -> None:
    fitted = calibrate_file(saved(tmp_path, table()), name="mine")
    near(fitted.timing, TRUE, 1e-6)
    assert fitted.mean_error_percent is not None
    assert fitted.mean_error_percent < 1e-3
    assert len(fitted.points) == len(PROMPTS) + 2 * len(CONTEXTS)
    assert (fitted.largest_prompt_tokens, fitted.largest_context_tokens) == (2048, 8192)
    assert any("beyond 4096 tokens" in warning for warning in fitted.warnings)


def test_the_coefficients_are_told_in_human_units(tmp_path: Path) -> None:
    fitted = calibrate_file(saved(tmp_path, table()), name="mine")
    figures = [figure for _, figure in fitted.terms]
    assert [name.partition(",")[2].split()[0] for name, _ in fitted.terms] == [
        "ms", "us", "ms", "ms", "ms", "ms", "us", "ns"
    ]  # fmt: skip
    assert figures == pytest.approx([0.5, 0.003, 0.02, 0.0, 0.55, 0.2, 2.5, 0.0], abs=1e-6)


HOPS = """\
step,,0,,,1,8,,20,34
step,,0,,,8,8,,20,48
first,1,,,,1,8,,20,31.4
first,2048,,,,1,8,8,20,92.56
"""


def with_hops() -> str:
    """The table, with rows of a hop: 8 ms of a step delay, 2 ms are work of the server."""
    rows = table().replace("ms_per_block\n", "ms_per_block,clients,blocks,tasks,rtt_ms,ms\n")
    return rows + HOPS


def test_rows_of_hops_tell_what_delays_and_what_is_work(tmp_path: Path) -> None:
    fitted = calibrate_file(saved(tmp_path, with_hops()), name="mine")
    near(fitted.timing, TRUE, 1e-6)
    assert fitted.hop is not None
    assert (fitted.hop.step_s, fitted.hop.task_s) == pytest.approx((8e-3, 2e-3), rel=1e-6)
    assert dict(fitted.terms)["hop, work of each task, ms"] == pytest.approx(2.0)
    write_profiles(tmp_path / "mine.json", "mine", [fitted])
    (read,) = read_profiles(tmp_path / "mine.json")
    assert read.hop is not None
    assert astuple(read.hop) == pytest.approx(astuple(fitted.hop), rel=1e-12)


def test_a_table_without_hops_says_nothing_of_them(tmp_path: Path) -> None:
    fitted = calibrate_file(saved(tmp_path, table()), name="mine")
    assert fitted.hop is None
    write_profiles(tmp_path / "mine.json", "mine", [fitted])
    (read,) = read_profiles(tmp_path / "mine.json")
    assert read.hop is None


def of_two_precisions(hop_precision: str) -> str:
    """The table twice, nf4 at twice the time, and rows of a hop of one of them."""
    slow = Timing(**{name: 2 * getattr(TRUE, name) for name in COEFFICIENTS})
    lines = ["precision," + HEADER.strip() + ",clients,blocks,tasks,rtt_ms,ms"]
    for precision, timing in (("bf16", TRUE), ("nf4", slow)):
        lines += [f"{precision},{line}" for line in table(timing).splitlines()[1:]]
    return "\n".join([*lines, *(f"{hop_precision},{line}" for line in HOPS.splitlines())])


def test_rows_of_hops_belong_to_the_block_times_of_their_precision(tmp_path: Path) -> None:
    found = calibrate_all(saved(tmp_path, of_two_precisions("bf16")), name="mine")
    hops = {one.precision: one.hop for one in found}
    assert hops["nf4"] is None
    assert hops["bf16"] is not None
    assert hops["bf16"].task_s == pytest.approx(2e-3, rel=1e-6)


@pytest.mark.parametrize(("precision", "matching"), [("", 2), ("int8", 0)])
def test_rows_of_hops_that_may_be_of_several_block_times_or_of_none_are_refused(
    tmp_path: Path, precision: str, matching: int
) -> None:
    with pytest.raises(CalibrationError, match=f"gpu.csv: rows of phase step .* {matching} prof"):
        calibrate_all(saved(tmp_path, of_two_precisions(precision)), name="mine")


def test_one_wild_point_hardly_moves_the_fit_and_shows_in_the_table(tmp_path: Path) -> None:
    text = table().replace(f"decode,,512,1,{decode_s(TRUE, 512) * 1e3!r}", "decode,,512,1,9.9")
    fitted = calibrate_file(saved(tmp_path, text), name="mine")
    assert decode_s(fitted.timing, 1024) == pytest.approx(decode_s(TRUE, 1024), rel=0.02)
    worst = max(fitted.points, key=lambda p: abs(p.error_percent))
    assert (worst.phase, worst.tokens, worst.batch) == ("decode", 512, 1)
    assert worst.error_percent < -90


def test_held_out_points_are_not_fitted(tmp_path: Path) -> None:
    """Bending the last prompt upwards must show as an error there, although a fit could follow."""
    text = table().replace(
        f"prefill,2048,,1,{float(prefill_s(TRUE, 2048)) * 1e3!r}", "prefill,2048,,1,8"
    )
    fitted = calibrate_file(saved(tmp_path, text), name="mine")
    point = next(p for p in fitted.points if p.phase == "prefill" and p.tokens == 2048)
    assert point.error_percent == pytest.approx(100 * (prefill_s(TRUE, 2048) / 8e-3 - 1), abs=1e-3)


@given(
    st.lists(st.floats(0.0, 10.0), min_size=3, max_size=3),
    st.lists(st.floats(0.5, 2.0), min_size=9, max_size=9),
)
def test_fits_are_finite_and_never_negative(true: list[float], noise: list[float]) -> None:
    x = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0])
    y = (0.1 + true[0] + true[1] * x + true[2] * (x % 3)) * np.array(noise)
    for fitted in (
        fit_nonnegative(np.column_stack([np.ones(9), x, x % 3]), y),
        fit_floored(x, y),
        fit_floored(x + 1, y, 2),
    ):
        assert np.isfinite(fitted).all()
        assert (fitted >= 0).all()


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_fits_scale_with_the_unit_of_time(level: float, unit: float) -> None:
    x = np.array([1.0, 64.0, 256.0, 1024.0, 2048.0])
    y = level * np.maximum(0.6, 0.1 + 0.003 * x * (1 + 0.02 * np.sin(x)))
    assert fit_floored(x, unit * y) == pytest.approx(unit * fit_floored(x, y), rel=1e-6)


@pytest.mark.parametrize("gpu", ["RTX4090", "RTXPRO6000"])
def test_public_measurements_are_met_as_well_as_the_published_fit(
    gpu: str, shared_data: Path, tmp_path: Path
) -> None:
    with (shared_data / "gpu" / "timings.csv").open(newline="") as stream:
        rows = [
            f"{r['phase']},{r['prompt_tokens']},{r['context_tokens'] or 0},1,{r['ms_per_layer']}"
            for r in csv.DictReader(stream)
            if r["source"] == "llmservingsim-v1"
            and r["gpu"] == gpu
            and r["model"] == "Llama-3.1-8B"
            and r["batch"] == "1"
            and (r["phase"] == "decode" or r["context_tokens"] in ("", "0"))
        ]
    fitted = calibrate_file(saved(tmp_path, HEADER + "\n".join(rows)), name=gpu)
    prefill = [abs(p.error_percent) for p in fitted.points if p.phase == "prefill"]
    decode = [abs(p.error_percent) for p in fitted.points if p.phase == "decode"]
    assert len(prefill) >= 8
    assert len(decode) >= 10
    assert np.mean(prefill) < 15
    assert np.mean(decode) < 1


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ((), r"prefill at 3 or more prompt lengths \(found 0\).*; and decode at 2 or more"),
        (("prefill,1,", "prefill,2048,", "decode"), r"prompt lengths \(found 2\): 1, about 256"),
        (("prefill,1,", "prefill,16,", "prefill,512,", "decode"), "prefill at >= 1024 tokens"),
        (("prefill", "decode,,128,"), r"decode at 2 or more context lengths \(found 1\)"),
    ],
)
def test_too_little_data_says_what_to_measure(
    keep: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    rows = [line for line in table().splitlines()[1:] if line.startswith(keep)] if keep else []
    with pytest.raises(CalibrationError, match=message):
        calibrate_file(saved(tmp_path, HEADER + "\n".join(rows)), name="mine")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "prefill,16,,1,",
            "prefil,16,,1,",
            "gpu.csv:3:phase: must be prefill, decode, verify, step or first",
        ),
        ("prefill,16,", "prefill,-16,", "gpu.csv:3:prompt_tokens: must be a whole number"),
        ("prefill,16,,", "prefill,16,7,", "gpu.csv:3:context_tokens: prefill is measured"),
        ("prefill,16,,1,", "prefill,16,,0,", "gpu.csv:3:batch: must lie in 1"),
        ("prefill,16,,1,", "prefill,16,,1,nan,", "gpu.csv:3:ms_per_block: must be a positive"),
        ("prefill,16,,1,", "prefill,16\n", "gpu.csv:3:ms_per_block: must be a positive"),
        ("ms_per_block", "ms", "gpu.csv:1: missing column ms_per_block"),
    ],
)
def test_malformed_rows_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError) as caught:
        calibrate_file(saved(tmp_path, table().replace(old, new, 1)), name="mine")
    assert message in str(caught.value)


@settings(max_examples=30)
@given(junk=st.text(max_size=60), at=st.integers(0, 600))
def test_any_table_is_fitted_or_refused(
    junk: str, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = table()
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_text(text[:at] + junk + text[at + len(junk) :], encoding="utf-8")
    message = "fuzz.csv"
    try:
        calibrate_file(path, name="mine")
    except CalibrationError as error:
        message = str(error)
    assert "fuzz.csv" in message


def petals_file(shared_data: Path, tmp_path: Path) -> Path:
    data = json.loads((shared_data / "gpu" / "petals_throughput.json").read_text())
    return saved(tmp_path, json.dumps(data["throughput_v5"]), "throughput_v5.json")


def test_petals_file_gives_level_without_error_figures(shared_data: Path, tmp_path: Path) -> None:
    path = petals_file(shared_data, tmp_path)
    fitted = calibrate_file(path, name="A100")
    assert fitted.timing.decode_base_s == pytest.approx(1 / 369.2226095704935)
    assert prefill_s(fitted.timing, 1024) == pytest.approx(1024 / 20829.38146541331)
    assert (fitted.forward_rps, fitted.network_rps) == (20829.38146541331, 3020.3700586885343)
    assert fitted.mean_error_percent is None
    with pytest.raises(CalibrationError, match="found: bloom_device_NVIDIA_A100"):
        calibrate_file(path, name="mine")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        '{"a": {"inference_rps": "fast"}}',
        '{"a": {"inference_rps": 3}}',
    ],
)
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"throughput\.json"):
        calibrate_file(saved(tmp_path, text, "throughput.json"), name="mine")


def test_two_figures_of_petals_give_a_step_and_a_slope(tmp_path: Path) -> None:
    rates = {"forward_rps": 2_000, "inference_rps": 200, "network_rps": 500}
    path = saved(tmp_path, json.dumps({"A100": rates}), "throughput.json")
    fitted = calibrate_file(path, name="mine")
    assert fitted.timing == Timing(
        decode_base_s=1 / 200, prefill_floor_s=1 / 200, prefill_per_token_s=1 / 2_000
    )
    assert fitted.source == "throughput.json: A100"
    assert (fitted.largest_prompt_tokens, fitted.largest_context_tokens) == (1_024, 1)
    assert (fitted.forward_rps, fitted.inference_rps, fitted.network_rps) == (2_000, 200, 500)
    assert fitted.mean_error_percent is None


@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("decode_base", 0, True),
        ("decode_base", 1e9, True),
        ("decode_base", 1.01e9, False),
        ("decode_base", -0.1, False),
        ("decode_base", True, False),
        ("decode_base", "1", False),
        ("forward_rps", 0.5, True),
        ("forward_rps", None, True),
        ("forward_rps", 0, False),
        ("inference_rps", 0, False),
        ("network_rps", 0, False),
        ("network_rps", float("nan"), False),
    ],
)
def test_figures_of_a_profile_are_numbers_within_reason(
    field: str, value: object, accepted: bool
) -> None:
    document: dict[str, object] = {"name": "x", "timing_ms": {"decode_base": 3.0}}
    if field == "decode_base":
        document["timing_ms"] = {field: value}
    else:
        document[field] = value
    for text in (json.dumps(document), json.dumps({"name": "y", "profiles": [document]})):
        if accepted:
            assert parse_profiles(text, source="x.json")[0].name == "x"
            continue
        with pytest.raises(CalibrationError, match=r"^x\.json: no profile of swarmplan calibrate"):
            parse_profiles(text, source="x.json")


def test_written_profiles_read_back(tmp_path: Path) -> None:
    fitted = calibrate_file(saved(tmp_path, table()), name="mine")
    write_profiles(tmp_path / "mine.json", "mine", [fitted])
    (read,) = read_profiles(tmp_path / "mine.json")
    near(read.timing, fitted.timing, 1e-12)
    assert read.validity.origin == "measured"
    assert read.validity.prompt_tokens == fitted.validity.prompt_tokens == (1, 2048)
    write_profiles(tmp_path / "again.json", "mine", [fitted])
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "mine.json").read_bytes()
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(CalibrationError, match="cannot write the profile"):
        write_profiles(tmp_path / "absent" / "mine.json", "mine", [fitted])
    with pytest.raises(CalibrationError, match="no profile of swarmplan calibrate"):
        read_profiles(saved(tmp_path, '{"timing_ms": {"decode": 3}}', "bad.json"))


WIDE = (
    "gpu,model,precision,style,phase,batch,new_tokens,context_tokens,"
    "ms_per_block,min_ms_per_block\n"
)


def wide(precision: str, timing: Timing, *, prompts: tuple[int, ...], style: str = "petals") -> str:
    """Rows of a table that holds several models and precisions; the minimum counts."""
    lines = []
    for tokens in prompts:
        ms = float(prefill_s(timing, tokens)) * 1e3
        lines.append(
            f"NVIDIA H100,Llama-3.1-70B,{precision},{style},prefill,1,{tokens},0,99,{ms!r}"
        )
    for context in (1, 2048, 8192):
        ms = float(decode_s(timing, context)) * 1e3
        lines.append(
            f"NVIDIA H100,Llama-3.1-70B,{precision},{style},decode,1,1,{context},99,{ms!r}"
        )
    return "\n".join(lines) + "\n"


def test_one_file_gives_a_profile_for_every_precision(tmp_path: Path) -> None:
    sixteen, four = (device(f"H100-80GB/Llama-3.1-70B/{q}").timing for q in ("bf16", "nf4"))
    rows = wide("bf16", sixteen, prompts=(128, 512, 2048)) + wide("nf4", four, prompts=(128,))
    path = saved(tmp_path, WIDE + rows + "NVIDIA H100,,bf16,host,span,1,1,1,3,3\n")
    found = {c.precision: c for c in calibrate_all(path, name="mine")}
    assert sorted(found) == ["bf16", "nf4"]
    assert [found[q].name for q in found] == ["mine/Llama-3.1-70B/bf16", "mine/Llama-3.1-70B/nf4"]
    for precision, true in (("bf16", sixteen), ("nf4", four)):
        for context in (1, 512, 8192):
            mine = decode_s(found[precision].timing, context)
            assert mine == pytest.approx(decode_s(true, context), rel=0.03)
    # The 4-bit prompts that nobody measured are estimated, and it is said which.
    assert prefill_s(found["nf4"].timing, 2048) == pytest.approx(prefill_s(four, 2048), rel=0.3)
    assert any("prefill at 3 or more prompt lengths" in line for line in found["nf4"].missing)
    assert not any("prefill" in line for line in found["bf16"].missing)
    assert "terms that no row shows are estimates" in found["nf4"].warnings
    with pytest.raises(CalibrationError, match=r"holds several profiles: Llama-3\.1-70B bf16, "):
        calibrate_file(path, name="mine")


def test_what_columns_do_not_say_may_be_said_beside_the_table(tmp_path: Path) -> None:
    few = "\n".join([*table().splitlines()[1:4], "decode,,128,1,1.9"])
    path = saved(tmp_path, HEADER + few)
    with pytest.raises(CalibrationError, match="or say which model of the catalogue"):
        calibrate_file(path, name="mine")
    given = Given(model="Llama-3.1-70B", gpu="RTX4090", precision="nf4")
    fitted = calibrate_file(path, name="mine", given=given)
    assert (fitted.model, fitted.precision, fitted.gpu) == ("Llama-3.1-70B", "nf4", "RTX4090")
    assert decode_s(fitted.timing, 128) == pytest.approx(1.9e-3, rel=0.05)


def test_rows_of_two_gpus_are_no_table_of_one(tmp_path: Path) -> None:
    rows = wide("bf16", TRUE, prompts=(128, 512, 2048))
    other = rows.replace("NVIDIA H100", "NVIDIA H200")
    with pytest.raises(CalibrationError, match="several GPUs, one file each: NVIDIA H100, NVIDIA"):
        calibrate_all(saved(tmp_path, WIDE + rows + other), name="mine")


def test_verified_tokens_and_batches_are_one_curve(tmp_path: Path) -> None:
    """What more rows cost comes from another style where PETALS' own has only single rows."""
    curve = ((2.0, 0.1e-3), (8.0, 0.4e-3), (32.0, 0.5e-3))
    steps = [
        f"NVIDIA H100,Llama-3.1-70B,bf16,sdpa,{phase},{batch},{new},512,9,{ms!r}"
        for phase, batch, new, ms in (
            ("decode", 1, 1, 0.7),
            ("verify", 1, 2, 0.8),
            ("decode", 8, 1, 1.1),
            ("verify", 2, 16, 1.2),
        )
    ]  # fmt: skip
    text = WIDE + wide("bf16", TRUE, prompts=(128, 512, 2048)) + "\n".join(steps)
    fitted = calibrate_file(saved(tmp_path, text), name="mine")
    assert [rows for rows, _ in fitted.timing.step_curve] == [2.0, 8.0, 32.0]
    for rows, more in curve:
        assert more_s(fitted.timing, rows) == pytest.approx(more)
    assert fitted.validity.rows == (1, 32)
    assert "what more rows cost is of another style of attention" in fitted.warnings
