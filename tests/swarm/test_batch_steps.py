"""Waiting steps of several sessions as one pass: what PETALS' own step gives, for each of them."""

from __future__ import annotations

import importlib.util
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

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
        from petals.server import backend, memory_cache
        from petals.server import server as petals_server

        from swarmplan.swarm.compat import batch_pool, batch_step, batch_ways, llama_step

        torch.set_num_threads(1)
        return SimpleNamespace(
            torch=torch,
            backend=backend,
            memory_cache=memory_cache,
            server=petals_server,
            step=batch_step,
            pool=batch_pool,
            ways=batch_ways,
            llama=llama_step,
        )


@dataclass
class Bench:
    """Blocks of a server without the server, and sessions on them."""

    live: Any
    backends: dict[str, Any]
    config: Any
    cache: Any
    handles: int = 0
    uids: list[str] = field(default_factory=list)

    def session(self, span: Span, prompt: int, seed: int = 0) -> tuple[Any, ...]:
        """What of which block a session that has read a prompt says at its next step."""
        torch = self.live.torch
        handles = [self._room(self.backends[uid]) for uid in self.uids[slice(*span)]]
        infos = self.infos(span, handles, 0)
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randn(1, prompt, HIDDEN, generator=generator).to(self.dtype)
        self.own(hidden, torch.empty(0, dtype=torch.int64), infos, *[None] * len(infos))
        return self.infos(span, handles, prompt)

    def infos(self, span: Span, handles: Sequence[Any], position: int) -> tuple[Any, ...]:
        from petals.data_structures import InferenceMetadata

        return tuple(
            InferenceMetadata(uid, position, tuple(pair), "")
            for uid, pair in zip(self.uids[slice(*span)], handles, strict=True)
        )

    def _room(self, backend: Any) -> list[int]:
        described = backend.get_inference_cache_descriptors(batch_size=1, max_length=ROOM)
        numbers = [self.handles + i for i in range(len(described))]
        self.handles += len(described)
        for number, each in zip(numbers, described, strict=True):
            self.cache._allocated_tensors[number] = each.make_zeros()
        return numbers

    @property
    def dtype(self) -> Any:
        return next(iter(self.backends.values())).dtype

    @property
    def own(self) -> Any:
        """PETALS' own step."""
        return self.live.backend._MergedInferenceStep(self.backends)

    def task(self, infos: Sequence[Any], seed: int = 0) -> list[Any]:
        """A decode step of one token."""
        torch = self.live.torch
        generator = torch.Generator().manual_seed(1000 + seed)
        hidden = torch.randn(1, 1, HIDDEN, generator=generator).to(self.dtype)
        return [hidden, torch.empty(0, dtype=torch.int64), tuple(infos), *[None] * len(infos)]

    def caches(self, infos: Sequence[Any]) -> list[Any]:
        tensors = self.cache._allocated_tensors
        return [tensors[handle] for info in infos for handle in info.cache_handles]


def bench(
    live: Any, *, dtype: str = "float32", dense: bool = False, quantised: str = "NONE", **more: Any
) -> Bench:
    """Five Llama blocks with random weights, made as PETALS makes them."""
    torch = live.torch
    from hivemind import BatchTensorDescriptor
    from petals.models.llama import DistributedLlamaConfig
    from petals.server.backend import TransformerBackend
    from petals.utils.convert_block import QuantType, convert_block

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
    kind, here = getattr(torch, dtype), torch.device("cpu")
    cache = live.memory_cache.MemoryCache(2**30)
    described = (BatchTensorDescriptor(1, 2048, HIDDEN, dtype=kind),)
    backends = {}
    for number in range(BLOCKS):
        torch.manual_seed(number)
        block = config.block_class(config).to(kind)
        module = convert_block(block, number, config, (here,), here, QuantType[quantised])
        backends[f"m.{number}"] = TransformerBackend(
            f"m.{number}",
            module,
            config=config,
            memory_cache=cache,
            backend_dtype=kind,
            max_chunk_size_bytes=2**28,
            args_schema=described,
            kwargs_schema={},
            outputs_schema=described,
            min_batch_size=1,
            max_batch_size=1024,
        )
    return Bench(live=live, backends=backends, config=config, cache=cache, uids=list(backends))


def apart(one: Any, other: Any) -> float:
    """The largest difference, by the largest figure."""
    one, other = one.float(), other.float()
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-30))


def spans_of(count: int) -> list[Span]:
    """Spans that begin and end at all kinds of blocks."""
    rng = np.random.default_rng(count)
    starts = rng.integers(0, BLOCKS, count)
    return [(int(a), int(rng.integers(a + 1, BLOCKS + 1))) for a in starts]


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "grouped queries"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 16])
@pytest.mark.parametrize("partial", [False, True], ids=["whole", "in part"])
def test_a_pass_gives_what_petals_gives_each_session(
    live: Any, count: int, dense: bool, partial: bool
) -> None:
    made = bench(live, dense=dense)
    step = live.step.BatchedStep(made.backends)
    spans = spans_of(count) if partial else [WHOLE] * count
    for way in step.ways.ways:
        step.ways = live.ways.Ways(ways=step.ways.ways, best=((99, way),), curve=())
        pairs = [[made.session(s, 1 + 2 * i, i) for _ in "ab"] for i, s in enumerate(spans)]
        for number in range(3):
            now = [[_at(infos, number) for infos in pair] for pair in pairs]
            wanted = [made.own(*made.task(a, i))[0] for i, (a, _) in enumerate(now)]
            found = step.together([made.task(b, i) for i, (_, b) in enumerate(now)])
            for (a, b), one, other in zip(now, found, wanted, strict=True):
                assert one.shape == other.shape == (1, 1, HIDDEN)
                assert apart(one, other) <= TOLERANCE
                for mine, theirs in zip(made.caches(b), made.caches(a), strict=True):
                    assert apart(mine, theirs) <= TOLERANCE
    assert step.counts.fallbacks == 0


def _at(infos: Sequence[Any], more: int) -> list[Any]:
    """The same session some tokens later."""
    from dataclasses import replace

    return [replace(info, prefix_length=info.prefix_length + more) for info in infos]


def test_linear_rotary_scaling_goes_along(live: Any) -> None:
    made = bench(live, rope_scaling={"type": "linear", "factor": 2.0})
    step = live.step.BatchedStep(made.backends)
    pairs = [[made.session(WHOLE, p, p) for _ in "ab"] for p in (3, 40)]
    wanted = [made.own(*made.task(a))[0] for a, _ in pairs]
    found = step.together([made.task(b) for _, b in pairs])
    assert max(map(apart, found, wanted)) <= TOLERANCE


@pytest.mark.parametrize("quantised", ["NONE", "NF4"])
def test_16_and_4_bit_blocks_agree_within_their_own_rounding(live: Any, quantised: str) -> None:
    if quantised == "NF4" and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip("bitsandbytes is not installed")
    made = bench(live, dtype="bfloat16", quantised=quantised)
    step = live.step.BatchedStep(made.backends)
    assert "oneDNN" not in step.ways.ways
    pairs = [[made.session(WHOLE, p, p) for _ in "ab"] for p in (3, 17, 30)]
    wanted = [made.own(*made.task(a, i))[0] for i, (a, _) in enumerate(pairs)]
    found = step.together([made.task(b, i) for i, (_, b) in enumerate(pairs)])
    assert all(one.dtype == live.torch.bfloat16 for one in found)
    # Each of some thirty sums of a block rounds to eight bits.
    assert max(map(apart, found, wanted)) <= 0.03
    assert step.counts.fallbacks == 0


def test_the_position_is_the_steps_and_not_the_end_of_the_cache(live: Any) -> None:
    """A session that goes back writes over what was there, and does not look beyond."""
    made = bench(live)
    step = live.step.BatchedStep(made.backends)
    back, plain = made.session(WHOLE, 20, 1), made.session(WHOLE, 20, 1)
    other = made.session(WHOLE, 5, 2)
    for number in range(4):  # drafts that are not accepted
        made.own(*made.task(_at(back, number), 50 + number))
    wanted = made.own(*made.task(plain, 7))[0]
    found = step.together([made.task(other, 3), made.task(back, 7)])
    assert apart(found[1], wanted) <= TOLERANCE
    again = step.together([made.task(other, 3), made.task(back, 7)])
    assert all(live.torch.equal(a, b) for a, b in zip(found, again, strict=True))


def test_what_fails_for_one_session_is_its_own_answer(live: Any) -> None:
    made = bench(live)
    step = live.step.BatchedStep(made.backends)
    good = [made.session(WHOLE, p, p) for p in (4, 9)]
    same = [made.session(WHOLE, p, p) for p in (4, 9)]
    full, gone = made.session(WHOLE, 3, 3), made.session(WHOLE, 3, 3)
    made.cache._allocated_tensors.pop(gone[2].cache_handles[0])
    tasks = [good[0], _at(full, ROOM - 3), gone, good[1]]
    answers = step.together([made.task(infos, i) for i, infos in enumerate(tasks)])
    assert isinstance(answers[1], ValueError)
    assert "no room" in str(answers[1])
    assert isinstance(answers[2], KeyError)
    for i, own in ((0, same[0]), (3, same[1])):
        assert apart(answers[i], made.own(*made.task(own, i))[0]) <= TOLERANCE
    assert step.counts.fallbacks == 0
    alone = [gone, _at(full, ROOM - 3)]
    answers = step.together([made.task(infos) for infos in alone])
    assert [type(a) for a in answers] == [KeyError, ValueError]


def test_a_pass_that_fails_is_done_one_by_one_counted_and_given_up(
    live: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench(live)
    step = live.step.BatchedStep(made.backends)
    pair, same = ([made.session(WHOLE, p, p) for p in (4, 9)] for _ in "ab")

    def broken(*_args: Any) -> Any:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(live.step, "block_step", broken)
        gone = made.session(WHOLE, 3, 3)
        made.cache._allocated_tensors.pop(gone[0].cache_handles[0])
        answers = step.together([made.task(i, k) for k, i in enumerate([*pair, gone])])
        assert isinstance(answers[2], KeyError)
        for k in (0, 1):
            assert live.torch.equal(answers[k], made.own(*made.task(same[k], k))[0])
        assert step.counts.fallbacks == 3
        assert step.told().fallbacks == 3
        for _ in range(live.step.MOST_FAILED - 1):
            assert step.may_join(made.task(pair[0]))
            step.together([made.task(i) for i in pair])
    assert not step.may_join(made.task(pair[0]))
    assert step.told() is None


def test_only_plain_decode_steps_join(live: Any) -> None:
    torch = live.torch
    made = bench(live)
    step = live.step.BatchedStep(made.backends)
    infos = made.session((1, 4), 3)
    task = made.task(infos)
    assert step.may_join(task)
    from dataclasses import replace

    others = {
        "a prompt": [torch.randn(1, 2, HIDDEN), *task[1:]],
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
    made = bench(live, **change)
    step = live.step.BatchedStep(made.backends)
    assert all(why in reason for reason in step.refused.values())
    assert len(step.refused) == BLOCKS
    assert step.told() is None
    assert not step.may_join(made.task(made.infos(WHOLE, [(0, 1)] * BLOCKS, 3)))


def test_layers_and_families_that_are_not_known_are_refused(live: Any) -> None:
    made = bench(live)
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
    assert step.may_join(made.task(made.session((0, 3), 2)))
    assert not step.may_join(made.task(made.infos((2, 4), [(0, 1)] * 2, 3)))


def test_the_curve_rises_from_one_step_to_no_more_than_all_of_them(live: Any) -> None:
    ways = live.ways.tried(list(bench(live).backends.values()))
    assert [rows for rows, _ in ways.best] == [rows for rows, _ in ways.curve]
    times = [1.0, *(t for _, t in ways.curve)]
    assert times == sorted(times)
    assert all(t <= rows for rows, t in ways.curve)
    assert ways.of(1) is ways.ways[ways.best[0][1]]
    assert ways.of(3) is ways.ways[ways.best[1][1]]
    assert ways.of(999) is ways.ways[ways.best[-1][1]]


@pytest.fixture
def served(live: Any) -> Iterator[tuple[Bench, Any, Callable[[], Any]]]:
    """A bench, its pool, and what starts PETALS' own runtime over it."""
    made = bench(live)
    step = live.step.BatchedStep(made.backends)
    pool = live.pool.BatchingPool(step, max_batch_size=1024, device=None, name="merged")
    for backend in made.backends.values():
        backend.inference_pool = pool
    runtimes = []

    def start() -> Any:
        runtime = live.server.RuntimeWithDeduplicatedPools(made.backends, prefetch_batches=0)
        runtime.start()
        assert runtime.ready.wait(10)
        runtimes.append(runtime)
        return runtime

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
    if (priority, 0.0) < pool.priority:
        pool.priority = (priority, 0.0)
    return future


def test_what_waits_meets_in_one_pass_and_everybody_gets_their_own(served: Any) -> None:
    made, pool, start = served
    pairs = [[made.session(WHOLE, p, p) for _ in "ab"] for p in (3, 5, 8, 20)]
    prompt = made.task(made.session((0, 2), 4))
    prompt[0] = made.live.torch.randn(1, 3, HIDDEN)
    futures = [submit(pool, made.task(b, i)) for i, (_, b) in enumerate(pairs)]
    # Another step of a session that is there already, a prompt, and one that is more urgent.
    twice = submit(pool, made.task(_at(pairs[0][1], 1), 9))
    later = submit(pool, prompt)
    first = made.session(WHOLE, 6, 6)
    urgent = submit(pool, made.task(first, 5), 0.5)
    start()
    for i, (a, _) in enumerate(pairs):
        (found,) = futures[i].result(20)
        assert apart(found, made.own(*made.task(a, i))[0]) <= TOLERANCE
    assert apart(twice.result(20)[0], made.own(*made.task(_at(pairs[0][0], 1), 9))[0]) <= TOLERANCE
    assert later.result(20)[0].shape == (1, 3, HIDDEN)
    assert urgent.result(20)[0].shape == (1, 1, HIDDEN)
    counts = pool.step.counts
    assert (counts.steps, counts.passes, counts.joined, counts.largest) == (6, 3, 4, 4)
    assert counts.fallbacks == 0
    assert pool._together == pool._dispatched_tasks == {}
    assert pool.empty


def test_one_sessions_failure_leaves_the_others_their_tokens(served: Any) -> None:
    made, pool, start = served
    good, same = made.session(WHOLE, 5, 5), made.session(WHOLE, 5, 5)
    gone = made.session(WHOLE, 3, 3)
    made.cache._allocated_tensors.pop(gone[0].cache_handles[0])
    bad = submit(pool, made.task(gone))
    kept = submit(pool, made.task(good, 1))
    start()
    assert apart(kept.result(20)[0], made.own(*made.task(same, 1))[0]) <= TOLERANCE
    with pytest.raises(KeyError):
        bad.result(20)
    assert pool.step.counts.joined == 2


def test_sessions_that_step_at_once_get_the_same_as_one_after_another(served: Any) -> None:
    """Eight threads, twelve steps each, spans of all kinds, no order given."""
    made, pool, start = served
    spans = spans_of(8)
    pairs = [[made.session(s, 1 + i, i) for _ in "ab"] for i, s in enumerate(spans)]
    start()
    found: dict[int, list[Any]] = {}

    def work(i: int) -> None:
        found[i] = [
            submit(pool, made.task(_at(pairs[i][1], k), 20 * i + k)).result(60)[0]
            for k in range(12)
        ]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for i, (a, _) in enumerate(pairs):
        for k in range(12):
            wanted = made.own(*made.task(_at(a, k), 20 * i + k))[0]
            assert apart(found[i][k], wanted) <= TOLERANCE
    counts = pool.step.counts
    assert counts.steps == 96
    assert counts.passes < 96
    assert counts.fallbacks == 0
