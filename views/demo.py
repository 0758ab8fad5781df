"""What the demo says before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from ..core.findings import Finding
from ..core.problem import Problem
from ..render import number, print_lines
from ..scenarios.scenario import Scenario
from ..simulator.compare import Comparison
from ..simulator.figures import RESPONSE
from ..studies.roles import Roles

#: Whom the plan is compared with; the first is PETALS as it is shipped.
RIVALS = ("petals", "petals-tuned", "cg-bp")
#: Gains are told as so many times from here on, else as a percentage.
TIMES = 1.5


def opening(scenario: Scenario) -> list[str]:
    """What is about to be looked at."""
    problem, document = scenario.problem, scenario.document
    told = document.description or (
        f"{problem.model.name} over {problem.num_servers} servers, {len(problem.clients)} clients"
    )
    load = problem.workload.rate_per_s
    return [f"{told}; {number(load)} requests/s.", f"Scenario: {scenario.path}"]


def print_findings(comparison: Comparison, roles: Roles, findings: Sequence[Finding]) -> None:
    """What was found, in one sentence."""
    grave = [str(f) for f in findings if f.grave]
    print_lines(["", *wrap(finding(comparison, roles), 80, break_on_hyphens=False), *grave, ""])


def finding(comparison: Comparison, roles: Roles) -> str:
    """The gain of the last over the first, and who could go."""
    base, ours = comparison.rows[0], comparison.rows[-1]
    if ours.error or base.error:
        said = f"{ours.method}: {ours.error}" if ours.error else f"{base.method}: {base.error}"
    else:
        before = base.interval(RESPONSE.of, comparison.per_seed(base)).mean
        after = ours.interval(RESPONSE.of, comparison.per_seed(ours)).mean
        said = (
            f"auto answers in {number(after, 3)} s where PETALS as shipped takes "
            f"{number(before, 3)}: {_sooner(before, after)}"
        )
    can_go = roles.dispensable
    if not can_go:
        return f"{said}."
    who = " and ".join(can_go) if len(can_go) < 3 else f"{len(can_go)} servers"
    return f"{said}; {who} could be switched off without a measurable loss."


def _sooner(before: float, after: float) -> str:
    if not after > 0:
        return "no request was completed"
    if before / after >= TIMES:
        return f"{number(before / after, 2)} times sooner"
    gain = 1 - after / before
    return f"{abs(gain) * 100:.0f} % {'sooner' if gain >= 0 else 'later'}"


def what_next(problem: Problem, scenario: Path | None, plan: Path, report: Path) -> list[str]:
    """The files, and what to try with them."""
    regions = Counter(s.region for s in problem.servers if s.region).most_common()
    name = "demo.toml" if scenario is None else str(scenario)
    commands = [
        ("where the time goes", f"swarmplan explain {name} --plan {plan}"),
        *(
            ("what if a region is lost", f"swarmplan whatif {name} --fail {r}")
            for r, _ in regions[:1]
        ),
        ("a swarm of your own, from five questions", "swarmplan init my.toml"),
    ]
    if scenario is None:
        commands.insert(0, ("the scenario as a file to change", "swarmplan example demo"))
    tries = (f"  {what}:\n    {command}" for what, command in commands)
    return [f"Report: {report} (open it in a browser)", "Try next:", *tries]
