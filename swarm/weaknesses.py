"""Settings with which everything works, and something is easier to break than it need be.

What is looked at: files of keys and states, the address of the monitor, the plan in force, and what
serving peers say of themselves. Plain Python, no hivemind.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..perfmodel.announced import default_session_tokens
from .announce import Announcement
from .planseen import PlanSeen

#: A plan that is in force for longer can be served to others that long after it was replaced.
LONG_S = 7 * 86_400.0
#: A plan that ends so soon, unless somebody renews it.
SOON_S = 3_600.0
#: The oldest version of PETALS that the plugin was tested beside.
OLDEST = (2, 2, 0)
#: Of many servers with the same weakness, those that are named.
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakness:
    """One weak setting: of what, what is found, and what to do."""

    what: str
    found: str
    advice: str


def of_files(keys: Sequence[Path], state: Path | None) -> Iterator[Weakness]:
    """Of private keys and of the file that remembers versions."""
    seen: dict[bytes, Path] = {}
    for path in keys:
        yield from _of_key(path)
        content = path.read_bytes() if path.is_file() else b""
        if content and seen.setdefault(content, path) is not path:
            found = f"the same key as {seen[content]}"
            yield Weakness(
                what=f"key {path}", found=found, advice="make each its own: swarm keygen"
            )
    if state is not None and state.exists() and state.stat().st_mode & 0o022:
        yield Weakness(
            what=f"state {state}",
            found="others can write it, and let an older plan be accepted again",
            advice=f"chmod 644 {state}",
        )


def _of_key(path: Path) -> Iterator[Weakness]:
    what = f"key {path}"
    try:
        mode, folder = path.stat().st_mode, path.resolve().parent.stat().st_mode
    except OSError as error:
        yield Weakness(
            what=what, found=f"cannot be read: {error.strerror}", advice="give its place"
        )
        return
    if mode & 0o077:
        found = f"others can read it ({stat.filemode(mode)})"
        yield Weakness(what=what, found=found, advice=f"chmod 600 {path}; better a new key")
    if folder & 0o022 and not folder & stat.S_ISVTX:
        advice = f"chmod go-w {path.resolve().parent}"
        yield Weakness(what=what, found="others can put another in its place", advice=advice)


def of_monitor(health: str | None) -> Iterator[Weakness]:
    """Of the address of the health monitor."""
    if health is None or not health.startswith("http://"):
        return
    try:
        host = urlsplit(health).hostname
    except ValueError:
        return
    if host not in ("localhost", "127.0.0.1", "::1"):
        found = "without TLS: whoever is on the way can change what it says"
        yield Weakness(what="monitor", found=found, advice="https://, or --initial-peers")


def of_plan(plan: PlanSeen, now_s: float) -> Iterator[Weakness]:
    """Of the operator's plan."""
    if plan.standing == "not looked for":
        found = "no trusted key: no plan of anybody is looked for or followed"
        yield Weakness(what="plan", found=found, advice="swarm keygen, then --operator-key KEY.pub")
        return
    if plan.standing != "in force":
        found = plan.standing + (f": {plan.reason}" if plan.reason else "")
        yield Weakness(what="plan", found=found, advice="swarm publish, or swarm watch --publish")
        return
    left_s = plan.expires_s - now_s
    if left_s > LONG_S:
        found = f"in force for {left_s / 86_400:.0f} days: so long it can be passed off as the last"
        advice = "publish --valid-hours 24, renewed by watch --publish"
        yield Weakness(what="plan", found=found, advice=advice)
    elif left_s < SOON_S:
        found = f"ends in {max(0.0, left_s) / 60:.0f} min; servers then place themselves"
        yield Weakness(what="plan", found=found, advice="renew it: swarm watch --publish")


def of_servers(
    servers: Sequence[Announcement],
    plan: PlanSeen,
    *,
    operator: str = "",
    asked: bool = True,
    grouped: bool,
) -> Iterator[Weakness]:
    """Of serving peers.

    Parameters
    ----------
    operator : short name of the trusted key, "" = none.
    asked : whether they were asked what they say of themselves; a monitor does not tell that.
    grouped : whether the model has grouped queries, on which PETALS' defaults depend.
    """
    online = [s for s in servers if s.state == "online"]
    tokens = plan.session_tokens
    judged: list[tuple[str, str, Callable[[Announcement], bool]]] = [
        (
            "without the plugin: what is announced is anybody's word, and anything is stored at "
            "the plan's key",
            "swarmplan swarm serve",
            lambda s: asked and s.stated is None,
        ),
        (
            "follow nobody's plan",
            "swarm serve --operator-key KEY.pub",
            lambda s: s.stated is not None and not s.stated.operator,
        ),
        (
            "follow another operator's plans",
            "swarm serve --operator-key KEY.pub",
            lambda s: bool(operator and s.stated and s.stated.operator not in ("", operator)),
        ),
        (
            f"refuse sessions of the {tokens} tokens that are planned",
            f"--inference_max_length {tokens}",
            lambda s: _longest(s, grouped) < tokens,
        ),
        (
            f"have too little cache for one session of {tokens} tokens",
            "a larger --attn_cache_tokens, or fewer blocks",
            lambda s: _cache_per_block(s) is not None and (_cache_per_block(s) or 0) < tokens,
        ),
        (
            f"run a version of PETALS before {'.'.join(map(str, OLDEST))}, or say none",
            "update them",
            _is_old,
        ),
    ]
    for found, advice, is_weak in judged:
        yield from _some("servers", found, advice, [s for s in online if is_weak(s)], len(online))
    yield from _without_abilities(online)


def _without_abilities(servers: Sequence[Announcement]) -> Iterator[Weakness]:
    """Where all others can do something, and two at least."""
    known = [s for s in servers if s.stated is not None]
    have = {s.peer: s.stated.abilities for s in known if s.stated is not None}
    for ability in sorted(frozenset().union(*have.values())):
        lack = [s for s in known if ability not in have[s.peer]]
        if len(lack) == 1 and len(known) > 2:
            found = f"alone without {ability}"
            yield from _some("servers", found, "start it as the others", lack, len(known))


def _some(
    what: str, found: str, advice: str, weak: Sequence[Announcement], every: int
) -> Iterator[Weakness]:
    if not weak:
        return
    names = [s.public_name or f"~{s.peer[-12:]}" for s in weak[:_NAMED]]
    more = f" and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
    counted = f"{len(weak)} of {every}" if every > 1 else "1"
    yield Weakness(what=what, found=f"{counted} {found} ({', '.join(names)}{more})", advice=advice)


def _longest(server: Announcement, grouped: bool) -> int:
    """The longest session that it accepts: as it says, else PETALS' own default."""
    limits = {} if server.stated is None else server.stated.limits
    return limits.get("inference_max_length", default_session_tokens(grouped=grouped))


def _cache_per_block(server: Announcement) -> float | None:
    """Tokens that it can hold of every block, None where it does not say."""
    whole = None if server.stated is None else server.stated.cache_tokens
    return None if whole is None else whole / 2 / (server.end - server.start)


def _is_old(server: Announcement) -> bool:
    found = re.match(r"(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?", server.version)
    return found is None or tuple(int(n or 0) for n in found.groups()) < OLDEST


def in_order(found: Iterable[Weakness]) -> tuple[Weakness, ...]:
    """Each once, as they came."""
    return tuple(dict.fromkeys(found))
