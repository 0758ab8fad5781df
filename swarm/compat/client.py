"""Remedies of PETALS' client and of hivemind below it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

#: A healthy call returns at once; the probes wait this long before they call it hung.
PROBE_S = 0.5
#: Time for a request that is being written when the stream ends.
GRACE_S = 0.5

#: Tokens that the current ``InferenceSession.step`` adds.
_new_tokens: ContextVar[int | None] = ContextVar("new_tokens", default=None)


async def _nothing() -> None:
    return None


def worker_waits_for_itself() -> bool:
    """Whether ``run_coroutine``, called in its own event-loop thread, never returns.

    Tried on a subclass with a thread of its own; if it hangs, that (daemon) thread is given up.
    """
    from hivemind.moe.client.remote_expert_worker import RemoteExpertWorker

    class Probe(RemoteExpertWorker):
        _event_thread = None
        _event_loop_fut = None
        _pid = None

    returned = threading.Event()

    def call_inside() -> None:
        Probe.run_coroutine(_nothing())
        returned.set()

    Probe.run_coroutine(_nothing())
    assert Probe._event_loop_fut is not None
    Probe._event_loop_fut.result().call_soon_threadsafe(call_inside)
    return not returned.wait(PROBE_S)


def guard_worker() -> None:
    """In the event-loop thread ``run_coroutine`` schedules and returns the future."""
    from hivemind.moe.client.remote_expert_worker import RemoteExpertWorker

    original = RemoteExpertWorker.run_coroutine.__func__

    def run_coroutine(cls: Any, coro: Any, return_future: bool = False) -> Any:
        inside = cls._event_thread is threading.current_thread() and cls._pid == os.getpid()
        if inside:
            return asyncio.run_coroutine_threadsafe(coro, cls._event_loop_fut.result())
        return original(cls, coro, return_future)

    RemoteExpertWorker.run_coroutine = classmethod(run_coroutine)


def replacing_session_lacks_position() -> bool:
    """Whether a session that replaces a failed one inherits its history but not its position."""
    from petals.client.inference_session import InferenceSession

    span = SimpleNamespace(start=0, end=1)
    fresh = SimpleNamespace(history=None, _position=0, stepped=False, span=span, next_session=None)

    class Probe(InferenceSession):  # type: ignore[misc, unused-ignore]
        def _enter_server_sessions(self, chosen_spans: Any) -> Any:
            return [fresh]

        def _exit_server_sessions(self, server_sessions: Any) -> None:
            return None

    manager = SimpleNamespace(make_sequence=lambda *_a, **_k: [SimpleNamespace(start=0, end=1)])
    probe = Probe(manager, max_length=8)
    probe._position = 3
    probe._server_sessions = [SimpleNamespace(history="three tokens", span=span)]
    probe._update_sequence(0, 0, 1)
    return fresh._position == 0 and not hasattr(fresh, "_swarmplan_prefix")


def mend_recovery() -> None:
    """Give a replacing session the prefix once, and its position.

    ``InferenceSession.step`` tells how many tokens are new. A hop that was replaced is fed the
    whole prefix by the original code; hops after it that kept their cache get the new tokens only.
    """
    from petals.client.inference_session import InferenceSession, _ServerInferenceSession

    step, update = InferenceSession.step, InferenceSession._update_sequence
    hop_step = _ServerInferenceSession.step

    def counted_step(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        token = _new_tokens.set(inputs.shape[1])
        try:
            return step(self, inputs, *args, **kwargs)
        finally:
            _new_tokens.reset(token)

    def placed_update(self: Any, server_idx: int, block_idx: int, attempt_no: int) -> Any:
        result = update(self, server_idx, block_idx, attempt_no)
        session = self._server_sessions[server_idx]
        if session.history is not None and not session.stepped:
            session._swarmplan_prefix = self._position
        return result

    def resumed_step(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        new = _new_tokens.get()
        prefix = getattr(self, "_swarmplan_prefix", None)
        if new is not None and self.stepped:
            inputs = inputs[:, -new:]
        elif new is not None and self.history is not None and prefix is not None:
            # The failed session may have appended the tokens of the step that failed.
            self.history = self.history[:, :prefix]
            self._position = prefix
            inputs = inputs[:, -new:]
        return hop_step(self, inputs, *args, **kwargs)

    InferenceSession.step = counted_step
    InferenceSession._update_sequence = placed_update
    _ServerInferenceSession.step = resumed_step


def closed_stream_hangs() -> bool:
    """Whether reading a closed stream waits for a request that the caller has not made yet."""
    from hivemind.p2p.p2p_daemon import P2P
    from hivemind.proto import runtime_pb2

    async def never() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield None

    async def opened(*_args: Any) -> tuple[None, asyncio.StreamReader, Any]:
        reader = asyncio.StreamReader()
        reader.feed_eof()
        return None, reader, SimpleNamespace(close=lambda: None)

    async def read_to_end() -> bool:
        p2p = SimpleNamespace(call_binary_stream_handler=opened)
        handler = P2P._iterate_protobuf_stream_handler
        stream = await handler(p2p, None, "probe", never(), runtime_pb2.ExpertResponse)
        try:
            async with asyncio.timeout(GRACE_S + PROBE_S):
                async for _ in stream:
                    pass
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        return False

    # asyncio.run would drop the loop that hivemind's futures made for this thread.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(read_to_end())


def mend_stream() -> None:
    """After the end of the stream a request that is not being written fails."""
    from hivemind.p2p.p2p_daemon import P2P, P2PHandlerError

    async def iterate(self: Any, peer_id: Any, name: str, requests: Any, output: Any) -> Any:
        _, reader, writer = await self.call_binary_stream_handler(peer_id, name)

        async def write() -> None:
            async for request in requests:
                await P2P.send_protobuf(request, writer)
            await P2P.send_protobuf(P2P.END_OF_STREAM, writer)

        writing = asyncio.create_task(write())

        async def read() -> AsyncIterator[Any]:
            with closing(writer):
                try:
                    while True:
                        try:
                            response, error = await P2P.receive_protobuf(output, reader)
                        except asyncio.IncompleteReadError:
                            break
                        if error is not None:
                            text = f"Failed to call handler `{name}` at {peer_id}: {error.message}"
                            raise P2PHandlerError(text)
                        yield response
                    done, _ = await asyncio.wait({writing}, timeout=GRACE_S)
                    if not done:
                        raise ConnectionResetError(f"{peer_id} closed the stream of {name}")
                    await writing
                finally:
                    writing.cancel()

        return read()

    P2P._iterate_protobuf_stream_handler = iterate
