"""Cases of the published reference as problems: ms and GB to seconds and bytes, 1-based to 0-based.

The reference's constants that swarmplan leaves off by default are switched on here, by name:
its allocation delay, its session count for the cache penalty, its missing zero-cost links.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from swarmplan.core.problem import Client, ModelSpec, Network, Planning, Problem, Server, Timing
from swarmplan.core.workload import Demand, Lengths, Request, RequestClass, Workload

Case = dict[str, Any]
GB = 1e9


def is_online(case: Case) -> bool:
    """Online cases carry arrivals; offline ones a fixed number of requests."""
    return str(case["kind"]).startswith("online")


def online_problem(case: Case, *, capped: bool = True) -> Problem:
    """An online case; ``capped`` applies the reference's cap of blocks on MIG servers."""
    given = case["inputs"]
    prompt, output = int(given["lc_in"]), int(given["lc"])
    session_bytes = round(given["sc"] * GB)
    per_token, rest = divmod(session_bytes, prompt + output)
    if rest:  # as offline: one "token" of cache is one byte
        per_token = 1
    cap = given.get("mig_block_cap")
    servers = tuple(
        Server(
            id=f"{kind}-{j + 1}",
            memory_bytes=round(memory * GB),
            block_bytes=round(given["sm"] * GB),
            timing=Timing(decode_base_s=tau / 1e3, prefill_base_s=tau_in / 1e3),
            max_blocks=cap if capped and kind == "MIG" else None,
            forward_rps=rates[0],
            network_rps=rates[1],
            sharing="independent",
        )
        for j, (kind, memory, tau, tau_in, rates) in enumerate(
            zip(
                given["server_types"],
                given["M"],
                given["tau"],
                given["tau_input"],
                given["throughput"],
                strict=True,
            )
        )
    )
    raw = np.array(given["RTT_raw"]) / 1e3
    return Problem(
        model=_model(given, per_token),
        servers=servers,
        clients=(Client(id="client"),),
        network=Network(
            client_rtt_s=raw[:1, 1:],
            server_rtt_s=raw[1:, 1:],
            step_overhead_s=given["overhead_delay"] / 1e3,
            prefill_overhead_s=given["overhead_delay_input"] / 1e3,
        ),
        workload=Workload(
            classes=(
                RequestClass(
                    client=0,
                    rate_per_s=given["arrival_rate_per_ms"] * 1e3,
                    prompt_tokens=Lengths(values=(prompt,)),
                    output_tokens=Lengths(values=(output,)),
                ),
            )
        ),
        planning=Planning(
            prompt_tokens=prompt,
            output_tokens=output,
            session_tokens=session_bytes // per_token,
            sessions=given["R_override"],
            safety_z=given["R_num_std"],
        ),
        session_setup_s=given["initial_delay"] / 1e3,
    )


def online_requests(case: Case, problem: Problem) -> tuple[Request, ...]:
    """The requests of an online case, lengths known to every method."""
    given = case["inputs"]
    arrivals = np.cumsum(given["inter_request_time_ms"]) / 1e3
    prompt, output = int(given["lc_in"]), int(given["lc"])
    return tuple(
        Request(
            id=i,
            client=0,
            arrival_s=float(at),
            prompt_tokens=prompt,
            output_tokens=output,
            reserved_tokens=problem.planning.session_tokens,
        )
        for i, at in enumerate(arrivals)
    )


def offline_problem(case: Case) -> tuple[Problem, tuple[Demand, ...]]:
    """An offline case and its requests.

    The cases mix GB and GiB, so the cache of a session is not whole bytes per token: here one
    "token" of cache is one byte and a session reserves as many as it needs.
    """
    given = case["inputs"]
    raw = np.array(given["RTT_raw"]) / 1e3
    clients = int(given["n_client"])
    session_bytes = round(given["sc"] * GB)
    servers = tuple(
        Server(
            id=f"server-{j + 1}",
            memory_bytes=round(memory * GB),
            block_bytes=round(given["sm"] * GB),
            timing=Timing(decode_base_s=tau / 1e3, prefill_base_s=tau / 1e3),
            # The offline cases give one announced figure per server, whatever it hosts.
            forward_rps=float("inf"),
            network_rps=rps,
            sharing="independent",
        )
        for j, (memory, tau, rps) in enumerate(
            zip(given["M"], given["tau"], given["throughput"], strict=True)
        )
    )
    overhead = given["overhead_delay"] / 1e3
    problem = Problem(
        model=_model(given, 1),
        servers=servers,
        clients=tuple(Client(id=f"client-{c + 1}") for c in range(clients)),
        network=Network(
            client_rtt_s=np.array(given["RTT"]) / 1e3 - overhead,
            server_rtt_s=raw[clients:, clients:],
            step_overhead_s=overhead,
            prefill_overhead_s=overhead,
        ),
        workload=Workload(),
        planning=Planning(
            prompt_tokens=1,
            output_tokens=int(given["lc"]),
            session_tokens=session_bytes,
            sessions=int(given["R"]),
        ),
    )
    demand = tuple(
        Demand(
            client=c,
            sessions=int(given["n_request_client"]),
            weight_tokens=float(given["lc"]),
            cache_tokens=session_bytes,
        )
        for c in range(clients)
    )
    return problem, demand


def _model(given: Case, cache_bytes_per_token: int) -> ModelSpec:
    width = int(given["d_model"])
    return ModelSpec(
        name="reference",
        num_blocks=int(given["L"]),
        hidden_size=width,
        block_bytes=round(given["sm"] * GB),
        cache_bytes_per_token=cache_bytes_per_token,
        activation_bytes_per_token=2 * width,
    )


def petals_cache_tokens(case: Case, problem: Problem) -> int:
    """PETALS' cache of one block in the problem's own tokens."""
    if is_online(case):
        cache_bytes = round(case["inputs"]["cache_bytes_per_block"] * GB)
    else:
        cache_bytes = 2 * 2 * int(case["inputs"]["d_model"]) * 4096
    return int(cache_bytes // problem.model.cache_bytes_per_token)
