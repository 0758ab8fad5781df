"""Write tests/studies/recorded.json: reduced runs of every shipped scenario, checked in CI.

python benchmarks/recorded.py
"""

from __future__ import annotations

import json
from pathlib import Path

from swarmplan import api
from swarmplan.scenarios.scenario import load_scenario
from swarmplan.simulator.metrics import summarise

ROOT = Path(__file__).resolve().parents[1]
#: Planning a thousand servers the way PETALS does takes seconds: one method there.
METHODS = {"data-centres": ("cg-bp",)}
REQUESTS = 60


def run(name: str, method: str, requests: int = REQUESTS) -> dict[str, float]:
    """Figures of one scenario under one method, seed 0."""
    scenario = load_scenario(ROOT / "scenarios" / f"{name}.toml")
    found = summarise(api.simulate(scenario, method=method, requests=requests, seed=0))
    return {
        "completed": found.completed,
        "hops": found.mean_hops,
        "response_s": found.response_s.mean,
        "p95_response_s": found.response_s.p95,
        "ttft_s": found.ttft_s.mean,
        "wait_s": found.wait_s.mean,
    }


def main() -> None:
    """Run all and write the file."""
    found = [
        {"scenario": name, "method": method, "requests": REQUESTS, "figures": run(name, method)}
        for name in sorted(p.stem for p in (ROOT / "scenarios").glob("*.toml"))
        for method in METHODS.get(name, ("petals-tuned", "cg-bp"))
    ]
    path = ROOT / "tests" / "studies" / "recorded.json"
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(f"wrote {path.relative_to(ROOT)}: {len(found)} runs")


if __name__ == "__main__":
    main()
