"""Waiting steps of several sessions as one pass: what PETALS' own step gives, for each of them."""

from __future__ import annotations

import importlib.util
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from swarmplan.swarm.batching import FIELD, read_batching
from swarmplan.tests.extras import needs

#: Between PETALS' own step and the pass, relative to the largest figure.
TOLERANCE = 1e-5
BLOCKS, HIDDEN, ROOM = 5, 64, 48
Span = tuple[int, int]
WHOLE: Span = (0, BLOCKS)


@pytest.fixture(scope="module")
def live() -> Any:
    """torch and the modules that need PETALS; they warn of each other at import."""
    needs("swarm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from swarmplan.swarm.needs import prepare

        prepare("server")
        import torch
        from petals.server import server

        from swarmplan.swarm import blocks
        from swarmplan.swarm.compat import batch_pool, batch_step, batch_ways, llama_step

        torch.set_num_threads(1)
        return SimpleNamespace(
            torch=torch,
            server=server,
            blocks=blocks,
            step=batch_step,
            pool=batch_pool,
            ways=batch_ways,
            llama=llama_step,
        )


def blocks_of(
    live: Any, *, dtype: str = "float32", dense: bool = False, quantised: str = "NONE", **more: Any
) -> Any:
    """Llama blocks with random weights."""
    from petals.models.llama import DistributedLlamaConfig

    config = DistributedLlamaConfig(
        vocab_size=64,
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=BLOCKS,
        num_attention_heads=4,
        num_key_value_heads=4 if dense else 2,
        max_position_embeddings=64,
        **more,
    )
    live.torch.manual_seed(0)
    modules = [config.block_class(config) for _ in range(BLOCKS)]
    kind = getattr(live.torch, dtype)
    return live.blocks.Blocks(modules, config, dtype=kind, quantised=quantised)


def random(made: Any, tokens: int, seed: int) -> Any:
    """Hidden states."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    dtype = made.backends["m.0"].dtype
    return torch.randn(1, tokens, HIDDEN, generator=generator).to(dtype)


def begun(made: Any, prompt: int, span: Span = WHOLE) -> Any:
    """A session that has read a prompt."""
    session = made.session(ROOM, span)
    made.run(session, random(made, prompt, prompt))
    return session.at(prompt)


def twins(made: Any, prompts: Sequence[int], spans: Sequence[Span] = ()) -> list[Any]:
    """Pairs of equal sessions, one for PETALS' own step and one for the pass."""
    each = zip(prompts, spans or [WHOLE] * len(prompts), strict=True)
    return [[begun(made, prompt, span) for _ in "ab"] for prompt, span in each]


def apart(one: Any, other: Any) -> float:
    """The largest difference, by the largest figure."""
    one, other = one.float(), other.float()
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


def spans_of(count: int) -> list[Span]:
    """Spans that begin and end at all kinds of blocks."""
    rng = np.random.default_rng(count)
    starts = rng.integers(0, BLOCKS, count)
    return [(int(a), int(rng.integers(a + 1, BLOCKS + 1))) for a in starts]


def both(made: Any, step: Any, pairs: Sequence[Any], seed: int = 0) -> Iterator[tuple[Any, Any]]:
    """What the pass gives each session, and what PETALS' own step does."""
    hidden = [random(made, 1, seed + i) for i in range(len(pairs))]
    wanted = [made.run(a, h) for (a, _), h in zip(pairs, hidden, strict=True)]
    found = step.together([b.task(h) for (_, b), h in zip(pairs, hidden, strict=True)])
    yield from zip(found, wanted, strict=True)


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "grouped queries"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("partial", [False, True], ids=["whole", "in part"])
def test_a_pass_gives_what_petals_gives_each_session(
    live: Any, count: int, dense: bool, partial: bool
) -> None:
    made = blocks_of(live, dense=dense)
    step = live.step.BatchedStep(made.backends)
    spans = spans_of(count) if partial else [WHOLE] * count
    for way in step.ways.ways:
        step.ways = live.ways.Ways(ways=step.ways.ways, best=((99, way),), curve=())
        pairs = twins(made, [1 + 2 * i for i in range(count)], spans)
        for number in range(3):
            for one, other in both(made, step, pairs, seed=100 * number):
                assert one.shape == other.shape == (1, 1, HIDDEN)
                assert apart(one, other) <= TOLERANCE
            for a, b in pairs:
                caches = zip(made.tensors(b), made.tensors(a), strict=True)
                assert max(apart(mine, theirs) for mine, theirs in caches) <= TOLERANCE
            pairs = [[s.at(s.position + 1) for s in pair] for pair in pairs]
    assert step.counts.fallbacks == 0


@pytest.mark.parametrize("partial", [False, True], ids=["whole", "in part"])
def test_a_pass_takes_tokens_with_their_drafts_beside_single_ones(live: Any, partial: bool) -> None:
    made = blocks_of(live)
    step = live.step.BatchedStep(made.backends)
    tokens = [1, 5, 2, 1, 9]
    pairs = twins(made, [3, 20, 1, 7, 30], spans_of(5) if partial else [])
    for number in range(2):
        hidden = [random(made, n, 10 * number + i) for i, n in enumerate(tokens)]
        wanted = [made.run(a, h) for (a, _), h in zip(pairs, hidden, strict=True)]
        found = step.together([b.task(h) for (_, b), h in zip(pairs, hidden, strict=True)])
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine.shape == theirs.shape
            assert apart(mine, theirs) <= TOLERANCE
        for a, b in pairs:
            caches = zip(made.tensors(b), made.tensors(a), strict=True)
            assert max(apart(mine, theirs) for mine, theirs in caches) <= TOLERANCE
        # Of each only the first token is kept: the others are written over.
        pairs = [[s.at(s.position + 1) for s in pair] for pair in pairs]
    assert step.counts.fallbacks == 0
    full = begun(made, 3).at(ROOM - 4)
    answers = step.together([full.task(hidden[1]), pairs[0][1].task(hidden[0])])
    assert isinstance(answers[0], ValueError)
    assert answers[1].shape == (1, 1, HIDDEN)


def test_linear_rotary_scaling_goes_along(live: Any) -> None:
    made = blocks_of(live, rope_scaling={"type": "linear", "factor": 2.0})
    step = live.step.BatchedStep(made.backends)
    pairs = twins(made, [3, 40])
    assert max(apart(*each) for each in both(made, step, pairs)) <= TOLERANCE


@pytest.mark.parametrize("quantised", ["NONE", "NF4"])
def test_16_and_4_bit_blocks_agree_within_their_own_rounding(live: Any, quantised: str) -> None:
    if quantised == "NF4" and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    made = blocks_of(live, dtype="bfloat16", quantised=quantised)
    step = live.step.BatchedStep(made.backends)
    assert "oneDNN" not in step.ways.ways
    for one, other in both(made, step, twins(made, [3, 17, 30])):
        assert one.dtype == live.torch.bfloat16
        # Each of some thirty sums of a block rounds to eight bits.
        assert apart(one, other) <= 0.03
    assert step.counts.fallbacks == 0


def test_the_position_is_the_steps_and_not_the_end_of_the_cache(live: Any) -> None:
    """A session that goes back writes over what was there, and does not look beyond."""
    made = blocks_of(live)
    step = live.step.BatchedStep(made.backends)
    ((plain, back),) = twins(made, [20])
    other = begun(made, 5)
    for number in range(4):  # drafts that are not accepted
        made.run(back.at(20 + number), random(made, 1, 50 + number))
    hidden = random(made, 1, 7)
    wanted = made.run(plain, hidden)
    tasks = [other.task(random(made, 1, 3)), back.task(hidden)]
    found = step.together(tasks)
    assert apart(found[1], wanted) <= TOLERANCE
    again = step.together(tasks)
    assert all(live.torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_what_fails_for_one_session_is_its_own_answer(live: Any) -> None:
    made = blocks_of(live)
    step = live.step.BatchedStep(made.backends)
    (first, one), (last, two) = twins(made, [4, 9])
    full, gone = begun(made, 3).at(ROOM), begun(made, 3)
    made.lose(gone)
    hidden = random(made, 1, 0)
    answers = step.together([s.task(hidden) for s in (one, full, gone, two)])
    assert isinstance(answers[1], ValueError)
    assert "no room" in str(answers[1])
    assert isinstance(answers[2], KeyError)
    for answer, own in ((answers[0], first), (answers[3], last)):
        assert apart(answer, made.run(own, hidden)) <= TOLERANCE
    assert step.counts.fallbacks == 0
    wide = made.session(ROOM, sequences=2).at(3)
    answers = step.together([s.task(hidden) for s in (gone, full, wide)])
    assert [type(a) for a in answers] == [KeyError, ValueError, ValueError]
    assert "one sequence for a cache of 2" in str(answers[2])


def test_a_pass_that_fails_is_done_one_by_one_counted_and_given_up(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = blocks_of(live)
    step = live.step.BatchedStep(made.backends)
    pairs = twins(made, [4, 9])
    gone, hidden = begun(made, 3), random(made, 1, 0)
    made.lose(gone)

    def broken(*_args: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(live.step, "block_step", broken)
    # Not before its turn: each of a pass that works counts anew.
    for one, other in both(made, step, pairs):
        assert live.torch.equal(one, other)
    assert step.counts.fallbacks == step.told().fallbacks == 2
    answers = step.together([s.task(hidden) for s in (pairs[0][1], gone)])
    assert live.torch.equal(answers[0], made.run(pairs[0][0], hidden))
    assert isinstance(answers[1], KeyError)
    with monkeypatch.context() as mended:
        mended.setattr(live.step, "block_step", live.llama.block_step)
        for one, other in both(made, step, pairs):
            assert apart(one, other) <= TOLERANCE
    for _ in range(live.step.MOST_FAILED):
        assert step.may_join(pairs[0][0].task(hidden))
        list(both(made, step, pairs))
    assert not step.may_join(pairs[0][0].task(hidden))
    assert step.told() is None


def test_only_plain_decode_steps_join(live: Any) -> None:
    torch = live.torch
    made = blocks_of(live)
    step = live.step.BatchedStep(made.backends)
    task = begun(made, 3, (1, 4)).task(random(made, 1, 0))
    infos = task[2]
    begin = [replace(i, prefix_length=0) for i in infos]
    assert step.may_join(task)
    assert step.may_join([torch.randn(1, 65, HIDDEN), *task[1:]])
    others = {
        "a prompt": [torch.randn(1, 2, HIDDEN), task[1], begin, *task[3:]],
        "a prompt after others": [torch.randn(1, 66, HIDDEN), *task[1:]],
        "nothing": [torch.randn(1, 0, HIDDEN), *task[1:]],
        "hidden states of another width": [torch.randn(1, 1, 2 * HIDDEN), *task[1:]],
        "two sequences": [torch.randn(2, 1, HIDDEN), *task[1:]],
        "beams": [task[0], torch.tensor([0]), *task[2:]],
        "a deep prompt": [*task[:-1], torch.randn(1, 1, HIDDEN)],
        "an adapter": [*task[:2], [replace(i, active_adapter="mine") for i in infos], *task[3:]],
        "another order": [*task[:2], infos[::-1], *task[3:]],
        "a block left out": [*task[:2], [infos[0], infos[2]], None, None],
        "a block that is not here": [*task[:2], [replace(infos[0], uid="other.1")], None],
    }
    for what, changed in others.items():
        assert not step.may_join(changed), what


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"pretraining_tp": 2}, "sliced products"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rotary scaling"),
    ],
)
def test_blocks_of_another_kind_stay_with_petals(
    live: Any, change: dict[str, Any], why: str
) -> None:
    made = blocks_of(live, **change)
    step = live.step.BatchedStep(made.backends)
    assert all(why in reason for reason in step.refused.values())
    assert len(step.refused) == BLOCKS
    assert step.told() is None
    assert not step.may_join(begun(made, 3).task(random(made, 1, 0)))


def test_layers_and_families_that_are_not_known_are_refused(live: Any) -> None:
    made = blocks_of(live)
    block = made.backends["m.3"].module.module_shards[0]

    class Linear8bitLt(live.torch.nn.Linear):  # type: ignore[misc]
        """As bitsandbytes calls it."""

    block.mlp.up_proj = Linear8bitLt(HIDDEN, 2 * HIDDEN, bias=False)
    assert "Linear8bitLt" in live.llama.refusal(made.backends["m.3"].module)
    assert live.llama.refusal(made.backends["m.2"].module) is None
    other = SimpleNamespace(module_shards=[live.torch.nn.Linear(2, 2)])
    assert live.llama.refusal(other) == "no Llama block: Linear"
    assert live.llama.refusal(SimpleNamespace(module_shards=[1, 2])) == "tensor parallel"
    step = live.step.BatchedStep(made.backends)
    assert list(step.refused) == ["m.3"]
    hidden = random(made, 1, 0)
    assert step.may_join(made.session(ROOM, (0, 3)).at(3).task(hidden))
    assert not step.may_join(made.session(ROOM, (2, 4)).at(3).task(hidden))


def test_the_curve_rises_from_one_step_to_no_more_than_all_of_them(live: Any) -> None:
    ways = live.ways.tried(list(blocks_of(live).backends.values()))
    assert [rows for rows, _ in ways.best] == [rows for rows, _ in ways.curve]
    times = [1.0, *(t for _, t in ways.curve)]
    assert times == sorted(times)
    assert all(t <= rows for rows, t in ways.curve)
    assert ways.of(1) is ways.ways[ways.best[0][1]]
    assert ways.of(3) is ways.ways[ways.best[1][1]]
    assert ways.of(999) is ways.ways[ways.best[-1][1]]


@pytest.fixture
def served(live: Any) -> Iterator[tuple[Any, Any, Callable[[], None]]]:
    """Blocks, their pool, and what starts PETALS' own runtime over it."""
    made = blocks_of(live)
    step = live.step.BatchedStep(made.backends)
    pool = live.pool.BatchingPool(step, max_batch_size=1024, device=None, name="merged")
    for backend in made.backends.values():
        backend.inference_pool = pool
    runtimes = []

    def start() -> None:
        runtime = live.server.RuntimeWithDeduplicatedPools(made.backends, prefetch_batches=0)
        runtime.start()
        assert runtime.ready.wait(10)
        runtimes.append(runtime)

    yield made, pool, start
    for runtime in runtimes:
        runtime.shutdown()
        runtime.join(10)


def submit(pool: Any, task: Sequence[Any], priority: float = 1.0) -> Any:
    """What PETALS' handlers and the thread of the pool do, without the way between processes: an
    answer comes back by the process that asked."""
    from hivemind.utils.mpfuture import MPFuture
    from petals.server.task_pool import Task

    future = MPFuture()
    pool._ordered_tasks.put(Task(priority, time.monotonic(), future, task))
    pool.batch_sender.send(None)
    return future


def test_what_waits_meets_in_one_pass_and_everybody_gets_their_own(served: Any) -> None:
    made, pool, start = served
    pairs = twins(made, [3, 5, 8, 20])
    hidden = [random(made, 1, i) for i in range(6)]
    futures = [submit(pool, b.task(h)) for (_, b), h in zip(pairs, hidden, strict=False)]
    # Another step of a session that is there already, a prompt, and one that is more urgent.
    own, mine = (session.at(4) for session in pairs[0])
    twice = submit(pool, mine.task(hidden[4]))
    later = submit(pool, made.session(ROOM, (0, 2)).task(random(made, 3, 9)))
    urgent = submit(pool, begun(made, 6).task(hidden[5]), 0.5)
    start()
    for (a, _), h, future in zip(pairs, hidden, futures, strict=False):
        assert apart(future.result(20)[0], made.run(a, h)) <= TOLERANCE
    assert apart(twice.result(20)[0], made.run(own, hidden[4])) <= TOLERANCE
    assert later.result(20)[0].shape == (1, 3, HIDDEN)
    assert urgent.result(20)[0].shape == (1, 1, HIDDEN)
    counts = pool.step.counts
    assert (counts.steps, counts.passes, counts.joined, counts.largest) == (6, 3, 4, 4)
    assert counts.fallbacks == 0
    assert pool._together == pool._dispatched_tasks == {}
    assert pool.empty


def test_one_sessions_failure_leaves_the_others_their_tokens(served: Any) -> None:
    made, pool, start = served
    ((own, mine),) = twins(made, [5])
    gone, hidden = begun(made, 3), random(made, 1, 1)
    made.lose(gone)
    bad, kept = submit(pool, gone.task(hidden)), submit(pool, mine.task(hidden))
    start()
    assert apart(kept.result(20)[0], made.run(own, hidden)) <= TOLERANCE
    with pytest.raises(KeyError):
        bad.result(20)
    assert pool.step.counts.joined == 2


def test_sessions_that_step_at_once_get_the_same_as_one_after_another(served: Any) -> None:
    """Eight threads, twelve steps each, spans of all kinds, no order given."""
    made, pool, start = served
    pairs = twins(made, range(1, 9), spans_of(8))
    start()
    found: dict[int, list[Any]] = {}

    def work(i: int) -> None:
        session = pairs[i][1]
        found[i] = [
            submit(pool, session.at(session.position + k).task(random(made, 1, 20 * i + k)))
            .result(60)[0]
            for k in range(12)
        ]  # fmt: skip

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for i, (a, _) in enumerate(pairs):
        for k in range(12):
            wanted = made.run(a.at(a.position + k), random(made, 1, 20 * i + k))
            assert apart(found[i][k], wanted) <= TOLERANCE
    counts = pool.step.counts
    assert counts.steps == 96
    assert counts.passes < 96
    assert counts.fallbacks == 0


def test_the_remedy_puts_the_pool_in_place_and_has_the_server_announce_it(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from petals.data_structures import ServerInfo, ServerState

    declared: list[Any] = []
    monkeypatch.setattr(live.server, "declare_active_modules", lambda *a, **_: declared.append(a))
    monkeypatch.setattr(ServerInfo, "to_tuple", ServerInfo.to_tuple)
    for name in ("merge_inference_pools_inplace", "RuntimeWithDeduplicatedPools"):
        monkeypatch.setattr(live.server, name, getattr(live.server, name))
    runtime = live.server.RuntimeWithDeduplicatedPools
    monkeypatch.setattr(runtime, "__init__", runtime.__init__)
    live.pool.run_together()
    info = ServerInfo(state=ServerState.ONLINE, throughput=1.0)
    live.server.declare_active_modules(None, ["m.0"], info)
    assert FIELD not in info.to_tuple()[2]  # no blocks yet
    made = blocks_of(live)
    live.server.merge_inference_pools_inplace(made.backends)
    (pool,) = {backend.inference_pool for backend in made.backends.values()}
    assert isinstance(pool, live.pool.BatchingPool)
    assert runtime(made.backends, prefetch_batches=64).prefetch_batches == 0
    pool.step.counts.took(3)
    live.server.declare_active_modules(None, ["m.0"], info)
    assert declared[1] == (None, ["m.0"], info)
    told = read_batching(info.to_tuple()[2][FIELD])
    assert told is not None
    assert (told.steps, told.passes, told.largest) == (3, 1, 3)
    # PETALS' own readers take it, and it survives the way to the process of the table.
    assert ServerInfo.from_tuple(info.to_tuple()).throughput == 1.0
    assert FIELD in pickle.loads(pickle.dumps(info)).to_tuple()[2]
    pool.step._failed = live.step.MOST_FAILED
    live.server.declare_active_modules(None, ["m.0"], info)
    assert FIELD not in info.to_tuple()[2]
