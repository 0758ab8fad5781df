"""The operator's plan as somebody sees it who only looks. Plain Python, no hivemind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .record import ExpiredPlanError, Hosting, RefusedPlanError, read_record

Standing = Literal["not looked for", "none", "in force", "expired", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSeen:
    """What was found under the operator's key.

    Attributes
    ----------
    standing : "none" also where what lies there bears no valid signature of the key: that is
        never handed on.
    issued_s, expires_s : seconds since the epoch, 0 where there is no plan.
    reason : why it is refused.
    spans : peer -> blocks ``[start, end)`` that it plans; hosting : how they are to be hosted.
    session_tokens : the longest session that is planned, 0 = not known.
    """

    standing: Standing = "not looked for"
    version: int = 0
    issued_s: float = 0.0
    expires_s: float = 0.0
    reason: str = ""
    router: str = ""
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    hosting: Hosting = field(default_factory=Hosting)
    session_tokens: int = 0


def plan_seen(packed: object, prefix: str, now_s: float) -> PlanSeen:
    """What a record whose signature was checked means now; None = there is none."""
    if packed is None:
        return PlanSeen(standing="none")
    try:
        plan = read_record(packed, prefix=prefix, now_s=now_s)
    except ExpiredPlanError as error:
        return PlanSeen(standing="expired", version=error.version)
    except RefusedPlanError as error:
        return PlanSeen(standing="refused", reason=str(error))
    return PlanSeen(
        standing="in force",
        version=plan.version,
        issued_s=plan.issued_s,
        expires_s=plan.expires_s,
        router=plan.router,
        spans=dict(plan.spans),
        hosting=plan.hosting,
        session_tokens=plan.limits.inference_max_length,
    )
