"""Write perfmodel/profiles/*.json from measured timings.

    python benchmarks/derive_profiles.py GPU_DATA_DIR devices > perfmodel/profiles/devices.json
    python benchmarks/derive_profiles.py GPU_DATA_DIR kernels > perfmodel/profiles/kernels.json

GPU_DATA_DIR holds fits.csv (non-negative relative least squares of public measurements),
timings.csv (the points), petals_throughput.json and own_h100.csv (blocks as PETALS runs them, on
two H100 machines). The output depends on these files alone.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from swarmplan.perfmodel.calibrate import PETALS_STYLE, calibrate_rows, kernel_points
from swarmplan.perfmodel.catalogue import architecture, block_bytes, model_spec
from swarmplan.perfmodel.kernelfit import ANEW, fit_kernels
from swarmplan.perfmodel.kernels import Kernels, kernels_document
from swarmplan.perfmodel.measurements import Measurement, of_blocks, read_measurements
from swarmplan.perfmodel.roofline import GPUS
from swarmplan.perfmodel.timing import timing_ms

Row = dict[str, str]

SOURCES = {
    "aiconfigurator": "aiconfigurator-core 0.12.0 (Apache-2.0), vLLM tables: matrix products and "
    "attention, without norms and activation",
    "helix": "Helix-ASPLOS25 (Apache-2.0), vLLM 0.4.0; decode by batch, context not varied",
    "llmservingsim-v0": "LLMServingSim (MIT), PyTorch operators; decode = the one-token step with "
    "an empty cache",
    "llmservingsim-v1": "LLMServingSim (MIT), vLLM 0.19, bf16, operators of one block",
    "splitwise": "splitwise-sim (MIT), whole model / layers, tensor parallel",
}
ESTIMATED = {"aiconfigurator", "helix", "llmservingsim-v0"}  # no context axis or missing operators

# Nominal memory in GB (1e9 bytes): close to, and not above, what the driver reports in total.
MEMORY_GB = {
    "A100-40GB": 40.0,
    "A100-80GB": 80.0,
    "A100-SXM": 80.0,
    "A6000": 48.0,
    "H100": 80.0,
    "H100-80GB": 80.0,
    "H100-SXM": 80.0,
    "L4-24GB": 24.0,
    "L40S": 48.0,
    "RTX3090": 24.0,
    "RTX4090": 24.0,
    "RTXPRO6000": 96.0,
    "T4-16GB": 15.8,
    "V100-16GB": 16.0,
}
#: GPU of the data sheet, by the name in a profile.
GPU = {
    "A100-SXM": "A100-80GB",
    "H100": "H100-SXM",
    "H100-80GB": "H100-SXM",
    "L4-24GB": "L4",
    "T4-16GB": "T4",
    "BPRR-A100": "A100-80GB",
    "BPRR-MIG-1g": "A100-80GB-MIG-1g",
}
OWN = "H100-80GB"
OWN_SOURCE = (
    "own measurement, eager blocks as PETALS runs them, bitsandbytes 0.50.2, H100 SXM, 16 host "
    "cores; steps of many rows with fused attention"
)
#: Longest context that profiles are fitted to, tokens.
LONGEST = 8_192
#: Round figures from which the constants of kernels are fitted: what two minutes with the data
#: and the data sheet suggest.
BEFORE = Kernels(
    block_launch_s=0.6e-3,
    expert_launch_s=0.15e-3,
    bf16_launch_s=0.02e-3,
    int8_launch_s=0.5e-3,
    nf4_launch_s=0.1e-3,
    int8_rows_launch_s=1.0e-3,
    nf4_rows_launch_s=0.1e-3,
    bf16_read=0.75,
    int8_read=0.75,
    nf4_read=0.4,
    compute=0.65,
    int8_compute=0.25,
    attention_read=0.36,
    pair_read=0.55,
    unpack_read=0.63,
)
# Measured models outside the catalogue: parameters per block, cache bytes per token.
OTHER_MODELS = {
    "LLaMA-30B": (4 * 6656**2 + 3 * 6656 * 17920 + 2 * 6656, 4 * 6656),
    "Qwen3-32B": (
        5120 * 128 * (64 + 2 * 8) + 8192 * 5120 + 3 * 5120 * 25600 + 2 * 5120 + 2 * 128,
        4 * 8 * 128,
    ),
}
# Constants of arXiv:2512.21884 (docs/model.md section 10), ms per block and GB.
BPRR = {
    "BPRR-A100": ("A100", "bloom_device_NVIDIA_A100_80GB_PCIe_GPU_dtype_bfloat16", 79.13),
    "BPRR-MIG-1g": ("MIG_1g", "bloom_device_NVIDIA_MIG_1g_GPU_dtype_bfloat16", 8.2),
}


def size_of(model: str) -> dict[str, int]:
    """What one block of a measured model weighs at 16 bits."""
    if model in OTHER_MODELS:
        parameters, cache = OTHER_MODELS[model]
        weights = int(parameters * 2 * 1.01)
    else:
        parameters = architecture(model).block.parameters
        each = model_spec(model).cache_bytes_per_token
        assert isinstance(each, int)  # no measured model has blocks that differ
        cache = each
        weighed = block_bytes(model, "bf16")
        assert isinstance(weighed, int)
        weights = weighed
    return {
        "block_parameters": parameters,
        "block_bytes": weights,
        "cache_bytes_per_token": cache,
    }


def prefill_of(forms: dict[str, Row]) -> tuple[dict[str, float], Row]:
    """Prefill coefficients: with a floor where one was measured."""
    row = forms.get("floor_linear") or forms["linear"]
    terms = {
        "prefill_base": float(row["base_ms"]),
        "prefill_per_token": round(float(row["us_per_token"]) / 1e3, 12),
    }
    if row["floor_ms"]:
        terms["prefill_floor"] = float(row["floor_ms"])
    return terms, row


def decode_of(forms: dict[str, Row], one_token_ms: float | None) -> tuple[dict[str, float], Row]:
    """Decode coefficients: by context, by batch, or the measured one-token step alone."""
    if row := forms.get("context"):
        slope = round(float(row["us_per_token"]) / 1e3, 12)
        return {"decode_base": float(row["base_ms"]), "decode_per_context_token": slope}, row
    if row := forms.get("batch"):
        per_sequence = float(row["ms_per_seq"])
        base = round(float(row["base_ms"]) + per_sequence, 9)
        return {"decode_base": base, "decode_per_sequence": per_sequence}, row
    if one_token_ms is None:
        raise SystemExit("a profile has neither a decode fit nor a one-token step")
    return {"decode_base": one_token_ms}, {"mean_err_pct": "0", "max_err_pct": "0"}


def measured_profiles(folder: Path) -> list[dict[str, Any]]:
    """One profile per GPU, count and model of fits.csv."""
    groups: dict[tuple[str, str, str, str], dict[str, Row]] = defaultdict(dict)
    for row in read_csv(folder / "fits.csv"):
        if row["origin"] != "fit_all_output_lengths":  # kept in the data for comparison only
            key = (row["source"], row["gpu"], row["count"], row["model"])
            groups[key][row["form"]] = row  # the forms of prefill and decode differ
    one_token = {
        (r["source"], r["gpu"], r["count"], r["model"]): float(r["ms_per_layer"])
        for r in read_csv(folder / "timings.csv")
        if r["phase"] == "prefill" and r["prompt_tokens"] == "1"
    }
    profiles = []
    for group, forms in groups.items():
        source, gpu, count, model = group
        prefill, prefill_row = prefill_of(forms)
        decode, decode_row = decode_of(forms, one_token.get(group))
        rows = (prefill_row, decode_row)
        profiles.append(
            {
                "name": f"{gpu}{f'x{count}' if count != '1' else ''}/{model}",
                "gpu": GPU.get(gpu, gpu),
                "count": int(count),
                "precision": "bf16",
                "memory_bytes": round(MEMORY_GB[gpu] * 1e9) * int(count),
                "timing_ms": decode | prefill,
                "source": SOURCES[source],
                "estimated": source in ESTIMATED,
                "model": model,
                **size_of(model),
                "fit_mean_error_percent": max(float(r["mean_err_pct"]) for r in rows),
                "fit_max_error_percent": max(float(r["max_err_pct"]) for r in rows),
            }
        )
    return profiles


def published_profiles(folder: Path) -> list[dict[str, Any]]:
    """The constants of the BPRR experiments: BLOOM-176B at nf4 in PETALS."""
    data = json.loads((folder / "petals_throughput.json").read_text(encoding="utf-8"))
    profiles = []
    for name, (constants, device, memory_gb) in BPRR.items():
        ms = data["simulator_constants_ms_per_block"][constants]
        profiles.append(
            {
                "name": name,
                "gpu": GPU[name],
                "style": PETALS_STYLE,
                "precision": "nf4",
                "memory_bytes": round(memory_gb * 1e9),
                "timing_ms": {
                    "decode_base": ms["decode_per_token"],
                    "prefill_base": ms["prefill_base"],
                    "prefill_per_token": ms["prefill_slope_per_token"],
                },
                "source": "constants of arXiv:2512.21884 (MIT), PETALS, BLOOM-176B at nf4",
                "estimated": False,
                "model": "BLOOM-176B",
                **size_of("BLOOM-176B"),
                "block_bytes": block_bytes("BLOOM-176B", "nf4"),
                **data["throughput_v5"][device],
            }
        )
    return profiles


def own_rows(folder: Path) -> list[Measurement]:
    """Rows of our own H100s that profiles are fitted to."""
    rows = of_blocks(read_measurements(folder / "own_h100.csv"))
    return [m for m in rows if m.style in (PETALS_STYLE, "sdpa") and m.tokens <= LONGEST]


def own_kernels(folder: Path) -> Kernels:
    """What kernels reach and hosts need, fitted to all models and precisions."""
    points = kernel_points([m for m in own_rows(folder) if m.style == PETALS_STYLE])
    return fit_kernels(points, GPUS["H100-SXM"], BEFORE, ANEW)


def own_profiles(folder: Path) -> list[dict[str, Any]]:
    """Profiles of our own H100s, by model and precision."""
    found = calibrate_rows(
        own_rows(folder), name=OWN, source="own_h100.csv", prior=own_kernels(folder)
    )
    profiles = []
    for made in found:
        timing = timing_ms(made.timing)
        curve = [[rows, _short(more)] for rows, more in timing.pop("step_curve", ())]
        ranges = ("prompt_tokens", "context_tokens", "rows")
        spec = model_spec(made.model, made.precision)
        prompt = made.validity.prompt_tokens
        profiles.append(
            {
                "name": made.name,
                "gpu": "H100-SXM",
                "style": PETALS_STYLE,
                "precision": made.precision,
                "memory_bytes": round(MEMORY_GB[OWN] * 1e9),
                "timing_ms": {k: _short(v) for k, v in timing.items()} | {"step_curve": curve},
                "measured": {
                    name: list(span)
                    for name in ranges
                    if (span := getattr(made.validity, name)) is not None
                },
                "source": OWN_SOURCE,
                "estimated": prompt is None,
                "model": made.model,
                **size_of(made.model),
                "block_bytes": spec.block_bytes,
                "fit_mean_error_percent": round(made.mean_fit_error_percent or 0.0, 2),
                "fit_max_error_percent": round(made.max_fit_error_percent or 0.0, 2),
            }
        )
    return profiles


def _short(value: float) -> float:
    """Four digits: what BLAS libraries agree on."""
    return float(f"{value:.4g}")


def read_csv(path: Path) -> list[Row]:
    """Rows of a table with a header."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def main(folder: Path) -> str:
    """The content of devices.json."""
    profiles = measured_profiles(folder) + published_profiles(folder) + own_profiles(folder)
    return json.dumps(sorted(profiles, key=lambda p: str(p["name"])), indent=1) + "\n"


def kernels(folder: Path) -> str:
    """The content of kernels.json."""
    return json.dumps(kernels_document(own_kernels(folder)), indent=1) + "\n"


if __name__ == "__main__":
    writers = {"devices": main, "kernels": kernels}
    if len(sys.argv) != 3 or sys.argv[2] not in writers:
        raise SystemExit(__doc__)
    sys.stdout.write(writers[sys.argv[2]](Path(sys.argv[1])))
