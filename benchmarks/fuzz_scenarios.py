"""Fuzzing of every file that a user hands in: scenarios, plans and the files they refer to.

    python benchmarks/fuzz_scenarios.py --count 20000 --seed 0

Hypothesis takes valid documents apart: wrong types, nan, absurd numbers, missing, renamed and
doubled fields, unknown names, deep nesting, binary junk, as TOML and as JSON; referenced CSV,
``.graph``, gzip and profile files as well. A document passes when it loads or is refused by a
``ScenarioError`` that names the field (or, for bytes that are no document, the file), and when
everything that loads can be planned, simulated and verified, or is refused by a
``SwarmplanError``. Anything else, a numpy warning included, is a defect; so is taking more than
``--limit`` CPU seconds. Exit 0 only without defects.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import math
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from swarmplan import api
from swarmplan.core.errors import ScenarioError, SwarmplanError, SwarmplanWarning
from swarmplan.methods.routers import router_named
from swarmplan.methods.verify import sound, verify
from swarmplan.perfmodel.cost import CostModel
from swarmplan.scenarios import schema
from swarmplan.scenarios.planfile import plan_document, read_plan
from swarmplan.scenarios.scenario import Scenario, load_scenario
from swarmplan.simulator.engine import simulate
from swarmplan.workload.draw import draw_requests

Steps = tuple[str | int, ...]

GRAPH = """NODES 3
label x y
Paris 2.35 48.85
London -0.12 51.5
Nowhere 0 0

EDGES 4
label src dest weight bw delay
edge_0 0 1 1 1000000 570
edge_1 1 0 1 1000000 570
edge_2 1 2 1 1000000 600
edge_3 2 1 1 1000000 600
"""
RTT_CSV = "id,me,fast,slow\nme,0,20,30\nfast,20,0,12\nslow,30,12,0\n"
TRACE = (
    "arrival_s,prompt_tokens,output_tokens,client\n"
    "0.0,50,20,me\n0.5,60,10,\n2023-11-16 18:17:03.9799600,70,5,me\n"
).replace("2023-11-16 18:17:03.9799600", "9.5")
STAMPED = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:17:{s:02d}.9799600,{100 + s},{10 + s}\n" for s in range(5)
)
PROFILE = {
    "name": "gpu",
    "timing_ms": {"decode_base": 3.0, "prefill_base": 20.0, "prefill_per_token": 0.05},
    "forward_rps": 9000.0,
    "network_rps": None,
}
MEASURED = {
    **PROFILE,
    "model": "BLOOM-176B",
    "precision": "nf4",
    "gpu": "NVIDIA L4",
    "timing_ms": {
        "decode_base": 3.0,
        "prefill_per_token": 0.05,
        "step_curve": [[2, 0.5], [8, 1.0]],
    },
    "measured": {"prompt_tokens": [1, 2048], "rows": [1, 8]},
    "fit_max_error_percent": 12.0,
}
FILES: dict[str, bytes] = {
    "gpu.json": json.dumps(PROFILE, indent=1).encode(),
    "gpus.json": json.dumps({"name": "gpus", "profiles": [MEASURED, PROFILE]}, indent=1).encode(),
    "net.graph": GRAPH.encode(),
    "rtt.csv": RTT_CSV.encode(),
    "trace.csv": TRACE.encode(),
    "stamped.csv.gz": gzip.compress(STAMPED.encode(), mtime=0),
    "lengths.txt": b"20\n30\n40\n",
    "lengths.csv": b"prompt,output\n20,5\n30,6\n",
}


def _document(**parts: Any) -> dict[str, Any]:
    """A valid scenario of four servers with some sections replaced."""
    stream = {"client": "me", "rate_per_s": 0.4, "prompt_tokens": 50, "output_tokens": 40}
    base: dict[str, Any] = {
        "format": "swarmplan/scenario/1",
        "name": "fuzz",
        "model": {
            "name": "toy",
            "num_blocks": 12,
            "hidden_size": 1024,
            "block_mb": 100.0,
            "cache_bytes_per_token": 4096,
        },
        "devices": {
            "fast": {"memory_gb": 1.0, "decode_ms": 2.0, "prefill_us_per_token": 50.0},
            "slow": {"memory_gb": 0.6, "decode_ms": 8.0, "prefill_base_ms": 20.0},
        },
        "network": {"delay": "internet", "step_overhead_ms": 5.0, "prefill_overhead_ms": 10.0},
        "workload": {"requests": 5, "streams": [stream]},
        "clients": [{"id": "me", "lat": 48.8, "lon": 2.3}],
        "servers": [
            {"id": "fast", "device": "fast", "count": 2, "lat": 51.5, "lon": -0.1},
            {"id": "slow", "device": "slow", "count": 2, "lat": 52.4, "lon": 4.9},
        ],
    }
    return {**base, **parts}


def _bases() -> dict[str, dict[str, Any]]:
    """Valid documents that together use every field."""
    rtt = [[0.0, 20.0, 30.0], [20.0, 0.0, 12.0], [30.0, 12.0, 0.0]]
    here, there = {"region": "eu"}, {"region": "us"}
    two = [
        {"id": "fast", "device": "fast", "span": [0, 8], "max_blocks": 9, **here},
        {"id": "slow", "device": "slow", "span": [7, 12], "memory_gib": 0.7, **there},
    ]
    plain = [{"id": "me", "last_mile_ms": 3.0, **here}]
    overheads = {"prefill_overhead_us_per_token": 60.0}
    stream = {"client": "me", "rate_per_s": 0.4, "gap_cv": 2.0, "prompt_tokens": [20, 60]}
    return {
        "coordinates": _document(
            description="plain",
            planning={
                "sessions": 3,
                "safety_z": 1.0,
                "session_quantile": 0.9,
                "deadlines": {"first_token_s": 5.0, "per_token_ms": 400.0},
            },
            session_setup_ms=70.0,
            testbed_alloc_delay_ms=5.0,
        ),
        "matrix": _document(
            network={"delay": "measured", "rtt_ms": rtt, "relay": "server", **overheads},
            clients=plain,
            servers=two,
            resilience={
                "redundancy": 1,
                "redundancy_of": "servers",
                "survive": [],
                "headroom_percent": 1.0,
                "pinned": {"fast": [0, 8]},
                "forbidden": {"slow": [[0, 2], [3, 5]]},
            },
            events=[
                {"at_s": 3.0, "action": "fail", "server": "slow"},
                {"at_s": 9.0, "action": "join", "region": "us"},
            ],
        ),
        "csv": _document(
            network={"delay": "measured", "rtt_csv": "rtt.csv"},
            clients=plain,
            servers=two,
            workload={
                "requests": 5,
                "trace": {"csv": "trace.csv", "rate_per_s": 2.0, "shares": {"me": 1.0}},
            },
        ),
        "regions": _document(
            network={
                "delay": "measured",
                "region_rtt_ms": {"eu": {"eu": 8.0, "us": 90.0}, "us": {"us": 5.0}},
            },
            clients=plain,
            servers=two,
            workload={"trace": {"csv": "stamped.csv.gz", "client": "me", "max_requests": 4}},
        ),
        "pipeline": _document(
            sharing="batched",
            devices={
                "fast": {
                    "memory_gb": 1.0,
                    "decode_ms_by_batch": [[1, 2.0], [8, 3.0]],
                    "batch_prompts": 2,
                    "rated_tokens_per_s": [90.0, 40.0],
                },
                "slow": {"memory_gb": 0.6, "decode_ms": 8.0, "prefill_base_ms": 20.0},
            },
            network={
                "delay": "measured",
                "rtt_ms": rtt,
                "relay": "pipeline",
                "region_mbit_per_s": {"eu": {"us": 100.0}},
                **overheads,
            },
            clients=plain,
            servers=two,
        ),
        "graph": _document(
            network={"delay": "repetita", "topology": "net.graph"},
            clients=[{"id": "me", "node": "Paris"}],
            servers=[
                {"id": "fast", "device": "fast", "node": 1, "relayed": True},
                {"id": "slow", "device": "slow", "node": "Nowhere", "quantisation": "int8"},
            ],
            workload={
                "requests": 5,
                "streams": [
                    {**stream, "output_tokens": {"file": "lengths.csv", "column": "output"}},
                    {**stream, "output_tokens": {"file": "lengths.txt"}},
                ],
            },
        ),
        "adapters": _document(
            model={"name": "Llama-2-7B", "quantisation": "nf4"},
            devices={"fast": {"memory_gb": 6.0, "decode_ms": 2.0}},
            adapters={
                "a": {"rank": 16, "modules": ["q", "v", "up"], "source": "org/a"},
                "b": {"block_mb": 1.5},
            },
            accuracy={
                "harm": {"nf4": 3.0},
                "wire_harm": {"uniform_8bit": 0.1},
                "profile": "ends",
                "budget": 2.5,
                "budget_of": {"me": 2.0},
            },
            clients=[{"id": "me", "lat": 48.8, "lon": 2.3, "adapter": "a"}],
            network={"wire": "uniform_8bit", "wire_us_per_token": {"uniform_8bit": 50.0}},
            servers=[
                {
                    "id": "fast",
                    "device": "fast",
                    "count": 2,
                    "lat": 51.5,
                    "lon": -0.1,
                    "precisions": ["bf16", "nf4"],
                    "wire": ["none", "uniform_8bit"],
                    "bandwidth_mbit_per_s": 50.0,
                },
                {"id": "slow", "device": "fast", "lat": 52.4, "lon": 4.9, "adapters": ["b", "a"]},
                {
                    "id": "own",
                    "device": "fast",
                    "lat": 48.8,
                    "lon": 2.3,
                    "only": ["me"],
                    "local": True,
                },
            ],
        ),
        "catalogue": _document(
            model={"name": "BLOOM-176B", "quantisation": "nf4"},
            devices={
                "a100": {"profile": "BPRR-A100", "memory_gb": 79.13, "network_rps": 3000.0},
                "own": {
                    "memory_gib": 40.0,
                    "inference_rps": 200.0,
                    "forward_rps": 9000.0,
                    "decode_us_per_context_token": 0.1,
                    "decode_ms_per_sequence": 0.1,
                    "decode_floor_ms": 1.0,
                    "decode_ms_by_batch": [[1, 2.0], [8, 2.5], [32, 4.0]],
                    "prefill_floor_ms": 30.0,
                    "prefill_ns_per_token_squared": 1.0,
                },
                "sheet": {
                    "bandwidth_gb_per_s": 4800.0,
                    "tflop_per_s": 989.0,
                    "launch_ms": 1.0,
                    "memory_gib": 141.0,
                },
                "calibrated": {"profile": "gpu.json", "memory_gib": 24.0},
                "measured": {"profile": "gpus.json", "memory_gib": 24.0},
            },
            network={"delay": "fibre", "topology": "Abilene"},
            clients=[{"id": "me", "node": "Denver"}],
            servers=[
                {"id": "a", "device": "a100", "node": "New York", "bandwidth_mbit_per_s": 500.0},
                {"id": "b", "device": "own", "node": 3, "count": 2},
                {"id": "c", "device": "calibrated", "node": "Seattle"},
                {"id": "d", "device": "measured", "node": "Atlanta"},
                {"id": "e", "device": "sheet", "node": "Atlanta"},
            ],
        ),
    }


BASES = _bases()
NAMES = (
    *("me", "fast", "slow", "a", "b", "eu", "us", "a100", "own", "toy", "BLOOM-176B", "BLOOM-7B1"),
    *("Mixtral-8x7B", "Llama-2-70B", "BPRR-A100", "H100", "Paris", "Nowhere", "Abilene", "Abvt"),
    *("sndlib/polska", "internet", "fibre", "repetita", "measured", "client", "server", "nf4"),
    *("int8", "bf16", "fail", "join", "optimal", "ws-rr", "swarmplan/scenario/2"),
    *FILES,
    *("absent.csv", "absent.graph", ".", "..", "/", "/dev/null", "/dev/zero", "/etc", "a\0b"),
)
TEXTS = ("", " ", "0", "-1", "1e9", "nan", "None", "é" * 150, "x" * 201, "\x1b[31m", "\ud800", "\n")
NUMBERS = (
    *(0, 1, -1, 2, 7, 12, 13, 1_000, 3_000, 3_001, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**30),
    *(0.5, -0.0, -1.5, 1e-12, 5e-324, 1e-300, 1e6, 1e7, 1e9, 1e18, 1e308),
    *(math.nan, math.inf, -math.inf),
)
FACTORS = (0, -1, 1e-9, 1e-3, 0.5, 1.001, 2, 10, 1e3, 1e6, 1e9)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.none(),
    st.booleans(),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    SCALARS,
    SCALARS,
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    st.sampled_from((20, 200, 2_000)).map(lambda depth: ("nested", depth)),
)
KINDS = ("set", "set", "set", "scale", "scale", "delete", "add", "rename", "double", "graft")
MUTATION = st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6), st.integers(0, 10**6), VALUES)
FILE_KINDS = ("cell", "cell", "cell", "drop", "double", "cut", "junk", "empty", "absent", "swap")
FILE_MUTATION = st.tuples(
    st.sampled_from(FILE_KINDS), st.integers(0, 10**6), SCALARS, st.binary(max_size=12)
)
BYTES = st.tuples(st.sampled_from(("cut", "junk", "double", "drop")), st.integers(0, 10**6),
                  st.binary(min_size=1, max_size=8))  # fmt: skip


def case_strategy() -> st.SearchStrategy[Case]:
    """One mutated scenario (or plan) with the files beside it."""
    mutations = st.lists(MUTATION, max_size=3)
    return st.builds(
        Case,
        base=st.sampled_from(sorted(BASES)),
        mutations=mutations,
        json_syntax=st.booleans(),
        file_mutations=st.dictionaries(st.sampled_from(sorted(FILES)), FILE_MUTATION, max_size=1),
        damage=st.none() | st.none() | st.none() | BYTES,
        plan_mutations=st.none() | mutations,
        plan_damage=st.none() | st.none() | st.none() | BYTES,
        method=st.sampled_from(("cg-bp", "petals", "petals-tuned", "chains", "whole-model",
                                "manual")),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is done to a document, its files and its plan."""

    base: str
    mutations: list[Any]
    json_syntax: bool
    file_mutations: dict[str, Any]
    damage: Any
    plan_mutations: list[Any] | None
    plan_damage: Any
    method: str


def paths(value: Any, at: Steps = ()) -> Iterator[Steps]:
    """Every place of a document below its top."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*at, key)
        yield from paths(inner, (*at, key))


def mutated(document: dict[str, Any], mutations: list[Any]) -> dict[str, Any]:
    """The document after all mutations."""
    document = copy.deepcopy(document)
    for kind, first, second, value in mutations:
        places = list(paths(document))
        if not places:
            break
        other = places[second % len(places)]
        _mutate(
            document,
            kind,
            places[first % len(places)],
            other,
            FACTORS[second % len(FACTORS)],
            value,
        )
    return document


def _mutate(
    document: Any, kind: str, steps: Steps, other: Steps, factor: float, value: Any
) -> None:
    parent, key = _at(document, steps[:-1]), steps[-1]
    if kind == "set":
        parent[key] = value
    elif kind == "scale" and isinstance(parent[key], int | float):
        scaled = parent[key] * factor
        whole = isinstance(parent[key], int) and math.isfinite(scaled)
        parent[key] = int(scaled) if whole else scaled
    elif kind == "delete":
        del parent[key]
    elif kind == "add":
        target = parent[key] if isinstance(parent[key], dict) else document
        target[str(value)[:20] if isinstance(value, str) else "extra"] = value
    elif kind == "rename" and isinstance(parent, dict):
        parent[f"{key}s"] = parent.pop(key)
    elif kind == "double" and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[int(key)]))
    elif kind == "graft":
        parent[key] = copy.deepcopy(_at(document, other))


def _at(value: Any, steps: Steps) -> Any:
    for step in steps:
        value = value[step]
    return value


def to_toml(document: dict[str, Any]) -> str:
    """A document as TOML, in one inline table per field; what TOML lacks becomes a string."""
    return "".join(f"{json.dumps(str(k))} = {_toml(v)}\n" for k, v in document.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    if isinstance(value, tuple):
        return "[" * int(value[1]) + "]" * int(value[1])
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return '"null"' if value is None else json.dumps(value)


def to_json(document: dict[str, Any]) -> str:
    """A document as JSON, nan and infinity included."""
    text = json.dumps(document)
    pattern = re.compile(r'\["nested", (\d+)\]')
    return pattern.sub(lambda m: "[" * int(m[1]) + "]" * int(m[1]), text)


def damaged(content: bytes, damage: Any) -> bytes:
    """Bytes cut, doubled, dropped or replaced by junk at one place."""
    if damage is None or not content:
        return content
    kind, where, junk = damage
    at = where % len(content)
    if kind == "cut":
        return content[:at]
    if kind == "drop":
        return content[:at] + content[at + len(junk) :]
    return content[:at] + (junk if kind == "junk" else content[at : at + 40]) + content[at:]


def damaged_file(name: str, mutation: Any) -> bytes | None:
    """A referenced file with one line, cell or byte changed; None = there is none."""
    kind, where, value, junk = mutation
    content = FILES[name]
    if kind == "absent":
        return None
    if kind == "empty":
        return b""
    if kind == "swap":
        return FILES[sorted(FILES)[where % len(FILES)]]
    zipped = name.endswith(".gz")
    if kind in ("cut", "junk"):
        return damaged(content, (kind, where, junk or b"\0"))
    lines = (gzip.decompress(content) if zipped else content).decode().split("\n")
    row = where % len(lines)
    if kind == "drop":
        del lines[row]
    elif kind == "double":
        lines.insert(row, lines[row])
    else:
        cells = re.split(r"([, ])", lines[row])
        cells[(where // 7) % len(cells)] = str(value)
        lines[row] = "".join(cells)
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return gzip.compress(text, mtime=0) if zipped else text


class TooSlowError(BaseException):
    """A document took more CPU time than allowed; no library code may catch it."""


@dataclass(kw_only=True)
class Report:
    """What became of the documents."""

    outcomes: Counter[str] = field(default_factory=Counter)
    defects: dict[str, str] = field(default_factory=dict)
    slowest: list[tuple[float, str]] = field(default_factory=list)

    def add_time(self, seconds: float, what: str) -> None:
        """Keep the five slowest."""
        self.slowest = sorted([*self.slowest, (seconds, what)], reverse=True)[:5]

    def add_defect(self, key: str, detail: str) -> None:
        """Remember one example of every kind of defect."""
        self.outcomes["DEFECT"] += 1
        self.defects.setdefault(key, detail)


#: What a message without a field may say: the bytes are no document at all.
NO_DOCUMENT = (
    "is not valid TOML",
    "is not valid JSON",
    "is nested too deeply",
    "cannot be read",
    "has a key of 100 parts",
)


def unnamed(error: ScenarioError, roots: set[str]) -> str:
    """Why an error is not good enough, empty when it is."""
    if not error.problems:
        return "lists no problem"
    for problem in error.problems:
        root = re.split(r"[.\[]", problem.path)[0]
        if not problem.message or len(problem.message) > 1_000:
            return f"message of {len(problem.message)} characters at {problem.path!r}"
        if not problem.path:
            if not (error.source and problem.message.startswith(NO_DOCUMENT)):
                return f"names no field: {problem.message[:80]!r}"
        elif "is unknown" not in problem.message and root not in {*roots, "(top level)"}:
            return f"names no field of the file: {problem.path!r}: {problem.message[:80]!r}"
    return ""


SCENARIO_FIELDS = set(schema.Scenario.__struct_fields__)
PLAN_FIELDS = set(schema.PlanFile.__struct_fields__)


class Fuzzer:
    """Runs cases in a folder and keeps a report."""

    def __init__(self, folder: Path, limit_s: float) -> None:
        self.report = Report()
        self._folder = folder
        self._limit_s = limit_s
        signal.signal(signal.SIGPROF, self._too_slow)

    def _too_slow(self, _number: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    def run(self, case: Case) -> None:
        """One case: load, plan, simulate, plan file."""
        for name, content in FILES.items():
            self._write(name, content, case.file_mutations)
        document = mutated(BASES[case.base], case.mutations)
        text = to_json(document) if case.json_syntax else to_toml(document)
        path = self._folder / ("case.json" if case.json_syntax else "case.toml")
        path.write_bytes(damaged(text.encode("utf-8", "surrogatepass"), case.damage))
        scenario = self._guarded("load", case, lambda: self._load(path))
        if scenario is None:
            return
        made = self._guarded("plan", case, lambda: self._plan(scenario, case.method))
        if made is not None and case.plan_mutations is not None:
            self._guarded("plan file", case, lambda: self._plan_file(scenario, made, case))

    def _write(self, name: str, content: bytes, mutations: dict[str, Any]) -> None:
        found = damaged_file(name, mutations[name]) if name in mutations else content
        path = self._folder / name
        if found is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(found)

    def _guarded(self, what: str, case: Case, work: Callable[[], Any]) -> Any:
        """Run one step under the time limit; everything unexpected is a defect."""
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, self._limit_s)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.simplefilter("ignore", SwarmplanWarning)
                return work()
        except ScenarioError as error:
            self.report.outcomes[f"{what}: refused"] += 1
            roots = PLAN_FIELDS if what == "plan file" else SCENARIO_FIELDS
            if what != "plan" and (why := unnamed(error, roots)):
                self.report.add_defect(f"{what}: {why[:60]}", f"{why}\n{error}\n{case}")
        except SwarmplanError as error:
            self.report.outcomes[f"{what}: {type(error).__name__}"] += 1
            if what != "plan":
                self.report.add_defect(f"{what}: {type(error).__name__}", f"{error}\n{case}")
        except TooSlowError:
            trace = traceback.format_exc(limit=-12)
            self.report.add_defect(f"{what}: too slow, {case.base}", f"{trace}\n{case}")
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            key = f"{what}: {type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            self.report.add_defect(key, f"{traceback.format_exc(limit=-8)}\n{case}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.report.add_time(time.process_time() - begin, f"{what} {case.base} {case.method}")
        return None

    def _load(self, path: Path) -> Scenario:
        scenario = load_scenario(path)
        self.report.outcomes["load: accepted"] += 1
        return scenario

    def _plan(self, scenario: Scenario, method: str) -> dict[str, Any]:
        problem = scenario.problem
        made = api.plan(problem, method)
        broken = verify(problem, made)
        if broken:
            raise AssertionError(f"{method} made an unsound plan: {broken[0]}")
        draw_requests(problem, 0, num_requests=5)
        chosen = router_named(made.router)
        simulate(
            problem,
            made.placement,
            chosen(CostModel.of(problem), made.placement),
            draw_requests(problem, 0, num_requests=5),
        )
        self.report.outcomes["plan: made"] += 1
        return plan_document(made, scenario)

    def _plan_file(self, scenario: Scenario, document: dict[str, Any], case: Case) -> None:
        path = self._folder / "case.plan.json"
        text = to_json(mutated(document, case.plan_mutations or []))
        path.write_bytes(damaged(text.encode("utf-8", "surrogatepass"), case.plan_damage))
        found = verify(scenario.problem, read_plan(path, scenario))
        self.report.outcomes[f"plan file: {'sound' if sound(found) else 'unsound'}"] += 1


def fuzz(count: int, number: int, limit_s: float, *, progress: bool = False) -> Report:
    """The report of ``count`` documents drawn with a seed."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), limit_s)
        done = 0

        @seed(number)
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case_strategy())
        def every(case: Case) -> None:
            nonlocal done
            fuzzer.run(case)
            done += 1
            if progress and done % 1_000 == 0:
                print(f"{done} documents", file=sys.stderr, flush=True)

        every()
        fuzzer.report.outcomes["documents"] = done
        return fuzzer.report


def main() -> int:
    """Print the counts, the slowest documents and one example of every defect."""
    parser = argparse.ArgumentParser(description="Fuzz scenario and plan files.")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=10.0, help="CPU seconds per step")
    given_ = parser.parse_args()
    begin = time.process_time()
    report = fuzz(given_.count, given_.seed, given_.limit, progress=True)
    for name in sorted(report.outcomes):
        print(f"{report.outcomes[name]:8d}  {name}")
    for seconds, what in report.slowest:
        print(f"{seconds:8.2f}  CPU s, {what}")
    for key, detail in report.defects.items():
        print(f"--- {key}\n{detail}\n")
    print(
        f"{report.outcomes['documents']} documents, {report.outcomes['DEFECT']} defects of "
        f"{len(report.defects)} kinds, {time.process_time() - begin:.0f} s CPU"
    )
    return 1 if report.defects else 0


if __name__ == "__main__":
    sys.exit(main())
