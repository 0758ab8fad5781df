"""What each server of a plan is for, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..core.names import block_ranges, blocks
from ..render import print_lines, print_table
from ..studies.roles import TOLERATED, Role, Roles
from .text import interval, percent

#: Columns of ``role_rows``; the last two only where something was simulated.
ROLES = ("server", "what it is for", "share", "without it s")
#: Names that are listed in a line.
MOST_NAMES = 12


def purpose(role: Role, chains: int) -> str:
    """What a server is for, in a few words."""
    start, end = role.blocks
    if end == start:
        return "nothing: it hosts no block"
    said = []
    if role.chains:
        said.append(f"blocks {blocks(*role.runs)} for {_chains(role.chains, chains)}")
    if role.alone:
        said.append(f"only host of {', '.join(block_ranges(role.alone))}")
    elif not role.chains:
        said.append(f"spare: doubles {blocks(start, end)}")
    return ", ".join(said)


def _chains(count: int, total: int) -> str:
    if total == 1:
        return "the one chain"
    if count == total:
        return "both chains" if total == 2 else f"all {total} chains"
    return f"{count} of {total} chains"


def without_it(role: Role) -> str:
    """What is lost without a server, in seconds of response."""
    loss = role.loss_s
    if role.fate in ("needed", "useless"):
        return role.fate
    if role.fate == "unknown":
        return "not simulated"
    if loss.mean != loss.mean:
        return "requests are not served"
    return interval(loss) + {"no worth": ": no loss", "unclear": ": unclear"}.get(role.fate, "")


def role_columns(roles: Roles) -> tuple[str, ...]:
    """The columns that say something."""
    return ROLES if roles.requests else ROLES[:2]


def role_rows(roles: Roles) -> list[list[object]]:
    """A row for each server."""
    rows: list[list[object]] = [
        [r.server, purpose(r, roles.chains), percent(r.share), without_it(r)] for r in roles.servers
    ]
    return [row[: len(role_columns(roles))] for row in rows]


def verdict_lines(roles: Roles) -> list[str]:
    """Who carries nothing and who could go, a line each."""
    unused, can_go, unknown = roles.unused, roles.dispensable, roles.unknown
    what = "no traffic" if roles.requests else "on no planned chain"
    lines = [f"{what}: {_names(unused)}"] if unused else []
    if roles.requests:
        lines.insert(0, "share: of the requests under load that pass the server")
    if can_go:
        word = "together" if len(can_go) > 1 else "alone"
        simulated = any(r.fate == "no worth" for r in roles.servers)
        tested = f" (at most {TOLERATED * 100:g} % longer responses, 95 %)" if simulated else ""
        lines.append(f"could be switched off {word}: {_names(can_go)}{tested}")
    elif not unknown:
        lines.append("none was found that could be switched off without a loss")
    if unknown:
        who = "other servers" if can_go else "servers"
        lines.append(
            f"whether {len(unknown)} {who} could be switched off was not simulated: "
            "`plan --each-server` does"
        )
    return lines


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def print_roles(roles: Roles) -> None:
    """The table, then who could go."""
    print_lines([""])
    print_table("What each server is for", role_columns(roles), role_rows(roles))
    print_lines(verdict_lines(roles))


def roles_document(roles: Roles) -> dict[str, Any]:
    """The same for programs."""
    return {
        "chains": roles.chains,
        "requests": roles.requests,
        "no_traffic": list(roles.unused),
        "switch_off": list(roles.dispensable),
        "not_simulated": list(roles.unknown),
        "servers": [_role_document(r, roles.chains) for r in roles.servers],
    }


def _role_document(role: Role, chains: int) -> dict[str, Any]:
    """Null where nothing is known, as in every file."""
    loss = {k: None if v != v else v for k, v in asdict(role.loss_s).items()}
    share = None if role.share != role.share else role.share
    alone, told = block_ranges(role.alone), purpose(role, chains)
    return {**asdict(role), "alone": alone, "share": share, "loss_s": loss, "purpose": told}
