"""Write perfmodel/profiles/devices.json from measured timings.

    python benchmarks/derive_profiles.py GPU_DATA_DIR > perfmodel/profiles/devices.json

GPU_DATA_DIR holds fits.csv (non-negative relative least squares of public measurements),
timings.csv (the points) and petals_throughput.json. The output depends on these files alone.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from swarmplan.perfmodel.catalogue import architecture, block_bytes, model_spec

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
        parameters = architecture(model).block_parameters
        each = model_spec(model).cache_bytes_per_token
        assert isinstance(each, int)  # no measured model has blocks that differ
        cache = each
        weights = block_bytes(model, "bf16")
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


def read_csv(path: Path) -> list[Row]:
    """Rows of a table with a header."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def main(folder: Path) -> str:
    """The content of devices.json."""
    profiles = measured_profiles(folder) + published_profiles(folder)
    return json.dumps(sorted(profiles, key=lambda p: str(p["name"])), indent=1) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.stdout.write(main(Path(sys.argv[1])))
