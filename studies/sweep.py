"""Sweeps: many configurations on all cores or on a cluster, resumable, the same numbers anywhere.

A configuration is a pure function of its task, so results do not depend on where, in which order
or how often interrupted they were computed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from ..core.errors import MissingExtraError, SwarmplanError, SwarmplanWarning
from ..methods.draft import Settings
from ..methods.draftrace import with_uses
from ..methods.routers import router_named
from ..methods.table import method_named
from ..perfmodel.cost import CostModel
from ..scenarios.scenario import Scenario, load_scenario
from ..simulator.engine import simulate
from ..simulator.metrics import summarise
from ..workload.draw import draw_requests
from .edits import applied
from .store import Store
from .sweepedits import grid_edit, variant_edits
from .sweepfile import Point, Prepared

Backend = Literal["loky", "ray", "dask"]
Record = dict[str, Any]
#: Configurations handed out at once per worker where a backend returns them in one go.
ROUND = 8


def run_sweep(
    plan: Prepared,
    store: Store,
    *,
    jobs: int = 1,
    backend: Backend = "loky",
    address: str | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> list[Record]:
    """Run what the store does not hold yet; every result is on disk before it is counted.

    Parameters
    ----------
    jobs : processes on this machine, or workers of a cluster started for this run.
    backend : ``loky`` (processes), ``ray`` or ``dask`` through their joblib backends.
    address : of a running Ray or Dask cluster.

    Returns
    -------
    All records, sorted by index.
    """
    todo = [p for p in plan.points if p.index not in store.done]
    total = len(plan.points)
    if on_progress:
        on_progress(total - len(todo), total, "")
    for record in _results(plan, todo, jobs, backend, address):
        store.append(record)
        if on_progress:
            on_progress(len(store.done), total, "")
    return store.finish()


def _results(
    plan: Prepared, todo: Sequence[Point], jobs: int, backend: Backend, address: str | None
) -> Iterator[Record]:
    """Records as they finish."""
    if not todo:
        return
    if backend == "loky" and jobs == 1:
        yield from (run_point(plan, p) for p in todo)
        return
    from joblib import Parallel, delayed

    plan = replace(plan, points=())  # the list of all goes with no task
    with _cluster(backend, jobs, address, plan) as (run, shared):
        if backend == "ray":  # its backend hands results back all at once only
            size = ROUND * jobs
            with Parallel(n_jobs=jobs) as workers:
                for first in range(0, len(todo), size):
                    part = todo[first : first + size]
                    yield from workers(delayed(run)(shared, p) for p in part)
            return
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(run)(shared, p) for p in todo)


#: What runs a configuration of a sweep, given what stands for the sweep on the workers.
Shared = tuple[Callable[[Any, Point], Record], Any]


@contextmanager
def _cluster(backend: Backend, jobs: int, address: str | None, plan: Prepared) -> Iterator[Shared]:
    """joblib bound to a backend; a cluster started here is stopped here.

    On a cluster the scenario is sent to each worker once, not with every task.
    """
    from joblib import parallel_config

    if backend == "loky":
        with parallel_config(backend="loky", inner_max_num_threads=1):
            yield run_point, plan
    elif backend == "dask":
        with _dask(jobs, address), parallel_config(backend="dask", scatter=[plan]):
            yield run_point, plan
    else:
        with _ray(jobs, address) as put, parallel_config(backend="ray"):
            yield _run_there, put(plan)


@contextmanager
def _dask(jobs: int, address: str | None) -> Iterator[None]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingExtraError("dask") from error
    if address is not None:
        with Client(address):
            yield
        return
    with (
        LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        yield


@contextmanager
def _ray(jobs: int, address: str | None) -> Iterator[Callable[[Prepared], Any]]:
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise MissingExtraError("ray") from error
    here = {} if address is not None else {"num_cpus": jobs, "include_dashboard": False}
    ray.init(address=address, log_to_driver=False, **here)
    register_ray()
    try:
        yield ray.put
    finally:
        ray.shutdown()


def _run_there(shared: Any, point: Point) -> Record:
    """``run_point`` on a worker of Ray, where the sweep lies in the memory that all share."""
    import ray

    return run_point(ray.get(shared), point)


def run_point(plan: Prepared, point: Point) -> Record:
    """Prepared and simulate one configuration; the same figures as a run of its own.

    A configuration that cannot be planned or served is a result with an ``error``.
    """
    sweep = plan.sweep
    chosen: dict[str, Any] = {
        "method": sweep.method,
        "router": sweep.router,
        "admission": sweep.admission,
        "requests": sweep.requests,
    }
    variant = sweep.variants.get(point.variant)
    if variant is not None:
        chosen |= {k: v for k in ("method", "router") if (v := getattr(variant, k)) is not None}
    chosen |= {k: v for k, v in point.values if k in chosen}
    record: Record = {
        "index": point.index,
        "variant": point.variant,
        "values": dict(point.values),
        "seed": point.seed,
        "summary": None,
        "error": "",
    }
    try:
        record["summary"] = _summary(edited(plan, point), point.seed, chosen, sweep.time_limit_s)
    except SwarmplanError as error:
        record["error"] = str(error)
    return record


def edited(plan: Prepared, point: Point) -> Scenario:
    """The scenario of one configuration."""
    variant = plan.sweep.variants.get(point.variant)
    edits = variant_edits(variant) if variant is not None else []
    edits += [e for k, v in point.values if (e := grid_edit(k, v)) is not None]
    return applied(plan.raw, _loaded(plan.scenario, plan.sha256), edits)


_CACHE: dict[str, Scenario] = {}


def _loaded(path: Path, sha256: str) -> Scenario:
    """The scenario as it stands, read once per process."""
    if sha256 not in _CACHE:
        _CACHE.clear()
        _CACHE[sha256] = load_scenario(path)
    return _CACHE[sha256]


def _summary(
    scenario: Scenario, seed: int, chosen: dict[str, Any], time_limit_s: float | None
) -> dict[str, Any]:
    problem = scenario.problem
    settings = Settings(seed=seed, admission=chosen["admission"], time_limit_s=time_limit_s)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmplanWarning)
        draft = with_uses(
            method_named(chosen["method"], chosen["router"])(problem, settings), problem
        )
    problem = draft.placement.settled(problem).with_drafts(draft.drafts)
    requests = draw_requests(problem, seed, num_requests=chosen["requests"])
    result = simulate(
        problem,
        draft.placement,
        router_named(draft.router)(CostModel.of(problem), draft.placement),
        requests,
        admission=chosen["admission"],
        events=scenario.events,
    )
    return asdict(summarise(result))
