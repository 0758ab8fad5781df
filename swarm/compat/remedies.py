"""The table of remedies: each named, explained, switchable, applied only where it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ScenarioError
from . import adapters, before, client, compiler, later, packed, pipe, rollback, server, table

#: ``table``: reads and writes the swarm's table only, and never imports petals.
Side = Literal["both", "client", "server", "table"]
#: ``peers``: clients and servers; ``both``: they, and whoever only reads the table.
Needed = Literal["both", "peers", "client", "server"]

#: Names that are not to be applied, and optional ones that are, separated by commas.
SKIP_VARIABLE = "SWARMPLAN_WITHOUT_REMEDIES"
ALSO_VARIABLE = "SWARMPLAN_WITH_REMEDIES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """One mended defect.

    Attributes
    ----------
    defect, cure : what goes wrong without it; what is done about it.
    needed_by : which processes run into it.
    default : applied unless switched off; otherwise only when asked for.
    is_needed : looks for the defect itself, not for a version.
    apply : mends it in this process and in those it forks later.
    """

    name: str
    defect: str
    cure: str
    needed_by: Needed
    is_needed: Callable[[], bool]
    apply: Callable[[], None]
    default: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of one remedy: ``applied``, ``not needed``, ``switched off``, ``not asked for``
    or ``other side``."""

    name: str
    outcome: str


REMEDIES: tuple[Remedy, ...] = (
    Remedy(
        name="eager-solvers",
        defect="whoever imports hivemind loads scipy's solvers, for averaging among those who "
        "train",
        cure="they are loaded when they are first called",
        needed_by="both",
        is_needed=later.solvers_are_loaded_at_once,
        apply=later.load_solvers_later,
    ),
    Remedy(
        name="hivemind-exports",
        defect="hivemind 1.1.12 no longer exports at its root the names that PETALS imports there",
        cure="sets each missing name from the module that defines it",
        needed_by="both",
        is_needed=before.exports_are_missing,
        apply=before.add_exports,
    ),
    Remedy(
        name="lora-imports",
        defect="every server imports bitsandbytes and peft even when it serves no adapter",
        cure="a stand-in for petals.utils.peft that works without adapters and refuses adapters",
        needed_by="both",
        is_needed=before.lora_packages_are_missing,
        apply=before.stub_lora,
    ),
    Remedy(
        name="eager-compiler",
        defect="every server loads torch's compiler, for operations of bitsandbytes that most "
        "never call: a third of what its start takes",
        cure="each is compiled when it is first called",
        needed_by="server",
        is_needed=compiler.compiler_is_loaded_at_once,
        apply=compiler.compile_at_first_call,
    ),
    Remedy(
        name="eager-sharding",
        defect="clients and servers load torch's sharded tensors, which accelerate needs for "
        "training alone: a quarter of what their start takes",
        cure="they are loaded when they are first used",
        needed_by="peers",
        is_needed=later.sharding_is_loaded_at_once,
        apply=later.load_sharding_later,
    ),
    Remedy(
        name="local-adapters",
        defect="servers look for adapters on a hub alone: a folder of theirs is no adapter",
        cure="what is a folder on the server's machine is read from there",
        needed_by="server",
        is_needed=adapters.folders_are_not_found,
        apply=adapters.find_folders,
    ),
    Remedy(
        name="int8-adapters",
        defect="8-bit blocks take no adapters: the peft that PETALS needs gives their layers an "
        "argument that bitsandbytes no longer knows",
        cure="it is left out; it was switched off anyway",
        needed_by="server",
        is_needed=adapters.layers_refuse_peft,
        apply=adapters.leave_out_what_is_gone,
    ),
    Remedy(
        name="socket-folder",
        defect="hivemind makes its sockets in /tmp whatever TMPDIR says, and may leave them there",
        cure="makes them in the folder of temporary files",
        needed_by="both",
        is_needed=before.sockets_ignore_tmpdir,
        apply=before.move_sockets,
    ),
    Remedy(
        name="hostile-table",
        defect="one undecodable or oddly named entry makes a whole record of the table unreadable: "
        "clients wait for ever, servers fail",
        cure="bad entries count as None or are left out",
        needed_by="both",
        is_needed=table.table_is_fragile,
        apply=table.harden_table,
    ),
    Remedy(
        name="command-pipe",
        defect="commands above 16 KiB to the process of the table are lost, and all after them",
        cure="that process reads each command to its end",
        needed_by="both",
        is_needed=pipe.pipe_loses_large_commands,
        apply=pipe.wait_for_commands,
    ),
    Remedy(
        name="session-close",
        defect="a session that is garbage-collected in the client's event loop waits for itself, "
        "for ever",
        cure="in that thread the closing is scheduled instead of awaited",
        needed_by="client",
        is_needed=client.worker_waits_for_itself,
        apply=client.guard_worker,
    ),
    Remedy(
        name="session-recovery",
        defect='no generation survives a lost server: "Broken input cache" at every retry',
        cure="the replacing session is given the prefix and told where it stands",
        needed_by="client",
        is_needed=client.replacing_session_lacks_position,
        apply=client.mend_recovery,
    ),
    Remedy(
        name="lost-stream",
        defect="a stream closed by a dying server is noticed after request_timeout (180 s)",
        cure="half a second after the end of the stream the pending request fails",
        needed_by="client",
        is_needed=client.closed_stream_hangs,
        apply=client.mend_stream,
    ),
    Remedy(
        name="version-lookup",
        defect="a server asks a package index for newer versions before it starts",
        cure="does not ask",
        needed_by="server",
        is_needed=server.looks_up_versions,
        apply=server.skip_version_lookup,
    ),
    Remedy(
        name="reachability-probe",
        defect="the probe at start is a second peer with the server's own identity; on a slow "
        'machine the server then dies: "Identity ... is already taken"',
        cure="no probe; the server is a full peer",
        needed_by="server",
        is_needed=server.probes_reachability,
        apply=server.skip_reachability_probe,
    ),
    Remedy(
        name="rollback",
        defect="sessions only go forward: drafts that turn out wrong cannot be taken back",
        cure="clients send where a step begins, servers go back there; announced as a capability",
        needed_by="peers",
        is_needed=rollback.sessions_only_go_forward,
        apply=rollback.take_back,
    ),
    Remedy(
        name="packed-states",
        defect="no session runs over a server that was started with --compression: what clients "
        "send with the states, empty or integers, cannot be packed; with numpy 2.4 nothing can be "
        "unpacked",
        cure="states alone are packed, all else goes as it is",
        needed_by="peers",
        is_needed=packed.cannot_pack_steps,
        apply=packed.pack_states_alone,
    ),
    Remedy(
        name="short-steps",
        defect="on 4-bit blocks a step of two tokens already is a task for each block, each of "
        "which waits in line",
        cure="one task up to 32 tokens; announced as a capability",
        needed_by="server",
        is_needed=server.cuts_short_steps,
        apply=server.keep_short_steps_whole,
    ),
    Remedy(
        name="server-push",
        defect="servers never hand activations to the next server: they look for its address in "
        "the first request, clients send it from the second on",
        cure="servers look in the current request; every hop then saves its way to the client",
        needed_by="server",
        is_needed=server.push_uses_first_request,
        apply=server.mend_push,
        default=False,
    ),
    Remedy(
        name="batch-steps",
        defect="decode steps of different sessions run one after another, each reading all weights",
        cure="those that wait run as one pass, block by block, attention session by session",
        needed_by="server",
        is_needed=server.steps_stand_in_line,
        apply=server.run_steps_together,
        default=False,
    ),
)


def apply_remedies(
    side: Side, *, skip: Collection[str] = (), also: Collection[str] = ()
) -> tuple[Applied, ...]:
    """Mend what is broken in this process; call it before petals is imported.

    Parameters
    ----------
    skip, also : names to leave out, and optional ones to apply, beside those of the environment
        variables ``SWARMPLAN_WITHOUT_REMEDIES`` and ``SWARMPLAN_WITH_REMEDIES``.

    Raises
    ------
    ScenarioError
        For a name that no remedy has.
    """
    left_out = {*skip, *_named(SKIP_VARIABLE)}
    asked_for = {*also, *_named(ALSO_VARIABLE)}
    known = {r.name for r in REMEDIES}
    unknown = sorted((left_out | asked_for) - known)
    if unknown:
        message = f"no remedy {unknown[0]!r}; there are {', '.join(sorted(known))}"
        raise ScenarioError.single("remedies", message)
    return tuple(
        Applied(name=r.name, outcome=_outcome(r, side, left_out, asked_for)) for r in REMEDIES
    )


def _outcome(remedy: Remedy, side: Side, left_out: set[str], asked_for: set[str]) -> str:
    if not _concerns(remedy.needed_by, side):
        return "other side"
    if remedy.name in left_out:
        return "switched off"
    if not remedy.default and remedy.name not in asked_for:
        return "not asked for"
    if not remedy.is_needed():
        return "not needed"
    remedy.apply()
    return "applied"


def _concerns(needed_by: Needed, side: Side) -> bool:
    """Whether a remedy is for processes of a side."""
    if side == "both" or needed_by == "both":
        return True
    return side != "table" if needed_by == "peers" else needed_by == side


def _named(variable: str) -> set[str]:
    return {name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()}
