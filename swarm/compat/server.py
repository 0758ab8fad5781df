"""Remedies of PETALS' server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from ..announce import TASK_TOKENS
from . import capabilities

#: Positions up to which a step on 4-bit blocks is one task.
SHORT_TOKENS = 32


def looks_up_versions() -> bool:
    """Whether starting a server asks a package index."""
    from petals.utils import version

    return "requests" in version.validate_version.__code__.co_names


def skip_version_lookup() -> None:
    """Make the look-up do nothing."""
    from petals.utils import version

    def validate_version() -> None:
        """Does not ask."""

    version.validate_version = validate_version


def probes_reachability() -> bool:
    """Whether a server starts a second peer with its own identity."""
    from petals.server import server

    names = server.Server.__init__.__code__.co_names
    probe = getattr(server, "check_direct_reachability", None)
    return "check_direct_reachability" in names and probe is not _not_probed


def skip_reachability_probe() -> None:
    """Answer "unknown", on which PETALS runs a full peer."""
    from petals.server import server

    server.check_direct_reachability = _not_probed


def _not_probed(**_kwargs: Any) -> None:
    return None


def cuts_short_steps() -> bool:
    """Whether a step of a few positions on 4-bit blocks is a task for each block."""
    from petals.server import block_functions

    return bool(block_functions.MAX_NF4_SHORT_INFERENCE_TOKENS < SHORT_TOKENS)


def keep_short_steps_whole() -> None:
    """Take them as the one task that they are on other blocks, and say so."""
    from petals.server import block_functions

    block_functions.MAX_NF4_SHORT_INFERENCE_TOKENS = SHORT_TOKENS
    capabilities.announce(TASK_TOKENS, SHORT_TOKENS)


def push_uses_first_request() -> bool:
    """Whether the handler takes the next servers from the session's first request.

    The mended handler of PETALS' main branch carries the metadata of each step in a variable.
    """
    from petals.server.handler import TransformerConnectionHandler

    if hasattr(TransformerConnectionHandler, "_swarmplan_push"):
        return False
    code = TransformerConnectionHandler.rpc_inference.__code__
    return "step_metadata" not in (*code.co_varnames, *code.co_cellvars)


def mend_push() -> None:
    """Push what the current step produced to where the current request says."""
    from petals.server.handler import TransformerConnectionHandler as Handler

    iterate, push = Handler._iterate_inference_steps, Handler._push_outputs

    async def remembering(
        self: Any, first: Any, requests: Any, session_id: Any, *rest: Any
    ) -> AsyncIterator[tuple[Any, dict[str, Any]]]:
        steps = self.__dict__.setdefault("_swarmplan_steps", {})
        try:
            async for request, metadata in iterate(self, first, requests, session_id, *rest):
                steps[session_id] = request, metadata
                yield request, metadata
        finally:
            steps.pop(session_id, None)

    def current(self: Any, request: Any, outputs: Any, metadata: dict[str, Any]) -> Awaitable[None]:
        # Looked up when called: the session may be at its next step when the coroutine runs.
        steps = self.__dict__.get("_swarmplan_steps", {})
        request, metadata = steps.get(metadata.get("session_id"), (request, metadata))
        task: Awaitable[None] = push(self, request, outputs, metadata)
        return task

    Handler._iterate_inference_steps = remembering
    Handler._push_outputs = current
    Handler._swarmplan_push = True


def steps_stand_in_line() -> bool:
    """Whether the decode steps of different sessions run one after another."""
    from petals.server import backend, server

    return server.merge_inference_pools_inplace is backend.merge_inference_pools_inplace


def run_steps_together() -> None:
    """Run those that wait as one pass."""
    from .batch_pool import run_together

    run_together()
