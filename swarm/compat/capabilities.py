"""What a mended server can do beyond PETALS, said in its own announcement.

A server's record in the swarm's table is a small table of fields, of which PETALS' readers ignore
those that they do not know. A capability is one more field: a name and a whole number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..announce import MOST_TASK_TOKENS, ROLLBACK, TASK_TOKENS

#: What this process announces; filled by remedies of servers, before their server starts.
_own: dict[str, int] = {}
#: Attribute of PETALS' ``ServerInfo``: what that server announced.
_FIELD = "_swarmplan_can"


def announce(name: str, value: int) -> None:
    """Let servers of this process announce a capability from now on."""
    _carry()
    _own[name] = value


def read() -> None:
    """Keep what others announce when PETALS reads their records."""
    _carry()


def rolls_back(info: Any) -> bool:
    """Whether a server, by PETALS' record of it, announces that sessions can take tokens back."""
    return bool(getattr(info, _FIELD, {}).get(ROLLBACK))


def _carry() -> None:
    """Let PETALS write and read capabilities with its records."""
    from petals.data_structures import ServerInfo

    if hasattr(ServerInfo, _FIELD):
        return
    write, parse = ServerInfo.to_tuple, ServerInfo.from_tuple.__func__

    def to_tuple(self: Any) -> tuple[int, float, dict[str, Any]]:
        state, throughput, fields = write(self)
        own = {k: v for k, v in _own.items() if k != TASK_TOKENS or self.quant_type == "nf4"}
        return state, throughput, {**fields, **own}

    def from_tuple(cls: Any, source: Any) -> Any:
        info = parse(cls, source)
        fields = source[2] if len(source) > 2 else {}
        setattr(info, _FIELD, _known(fields))
        return info

    ServerInfo.to_tuple = to_tuple
    ServerInfo.from_tuple = classmethod(from_tuple)
    setattr(ServerInfo, _FIELD, {})


def _known(fields: object) -> dict[str, int]:
    """The capabilities of a record, whatever else it says."""
    if not isinstance(fields, Mapping):
        return {}
    found = {name: fields.get(name) for name in (ROLLBACK, TASK_TOKENS)}
    return {k: v for k, v in found.items() if type(v) is int and 0 < v <= MOST_TASK_TOKENS}
