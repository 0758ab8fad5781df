"""Plan files of earlier formats."""

from __future__ import annotations

from typing import Any

from ..core.objective import STEP, WEIGHTED_STEP, Objective
from ..core.plan import Certificate
from .schema import PLAN_FORMAT


def brought_up_to_date(raw: Any) -> Any:
    """A plan file of an earlier format in today's; anything else is left as it is."""
    if not isinstance(raw, dict) or raw.get("format") != "swarmplan/plan/1":
        return raw
    try:
        old, routed = raw["certificate"], sum(r["sessions"] for r in raw["routes"])
        goal = STEP if old["meaning"].startswith("seconds per output token") else WEIGHTED_STEP
        reached = Objective(goal=goal, value=old["objective"], bound=old["bound"])
        status = Certificate(objective=reached).status
        document = {
            **raw,
            "format": PLAN_FORMAT,
            "router": raw.get("router", "ws-rr"),
            "unrouted": max(0, raw["sessions"] - routed),
            "certificate": {
                "status": "optimal" if old["status"] == "optimal" else status,
                "objective": {
                    "id": goal.id,
                    "unit": goal.unit,
                    "direction": goal.direction,
                    "value": old["objective"],
                    "bound": old["bound"],
                    "gap": old["gap"],
                },
                "proof": "" if old["bound"] is None else old["method"],
                "interrupted": "interrupted" in old["method"],
            },
            # They were compared by figures of other goals.
            "candidates": [],
        }
    except (KeyError, TypeError, AttributeError):
        return raw  # its defects are told as those of a plan file
    return document
