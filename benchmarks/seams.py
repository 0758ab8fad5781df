"""Checks over the syntax tree that costs have one home: ``python benchmarks/seams.py [ROOT]``.

Outside perfmodel/, core/ and the file layer nobody may read a per-block figure (weights, cache,
time of one block), make one out of a run of blocks, or compare the relay mode: ``CostModel`` is
asked for runs of blocks, and its strategy for what depends on the relay. What may not be read
cannot be renamed either; names that were bound to a run or to a number of blocks are followed
within their function.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Where costs are at home, and what is no part of the product.
HOMES = ("perfmodel", "core", "scenarios", "tests", "benchmarks")
#: Attributes that hold or return the figure of one block.
PER_BLOCK = frozenset(
    {
        "block_bytes",
        "load_block_bytes",
        "cache_bytes_per_token",
        "mean_cache_bytes_per_token",
        "cheapest_block",
        "dearest_block",
        "each",
        "sums",
        "timing",
        "decode_base_s",
        "decode_floor_s",
        "decode_per_context_token_s",
        "decode_per_sequence_s",
        "prefill_base_s",
        "prefill_floor_s",
        "prefill_per_token2_s",
        "prefill_per_token_s",
        "step_curve",
    }
)
#: Calls that give the figure of a run of blocks; their last two arguments are its ends.
RUNS = frozenset(
    {"weights_bytes", "cache_bytes", "session_bytes", "step_run_s", "prefill_run_s", "run_s"}
)
#: Attributes and calls that count blocks.
COUNTS = frozenset({"num_blocks", "len"})


@dataclass(frozen=True, slots=True)
class Breach:
    """One place that knows what it should ask for."""

    where: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.what}"


def breaches(source: str, where: str = "") -> list[Breach]:
    """What a module knows about costs that it should not."""
    tree = ast.parse(source)
    found = [*_reads(tree), *_relays(tree)]
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.Module):
            found += _sums(scope)
    unique = dict.fromkeys((n.lineno, text) for n, text in found)
    return [Breach(where, line, text) for line, text in sorted(unique)]


Found = Iterator[tuple[ast.expr, str]]


def _reads(tree: ast.AST) -> Found:
    """Per-block figures that are read, by name or by a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if node.attr in PER_BLOCK:
                yield node, f"reads the per-block figure {node.attr!r}"
        elif isinstance(node, ast.Call) and _name(node.func) in ("getattr", "attrgetter"):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and argument.value in PER_BLOCK:
                    yield node, f"reads the per-block figure {argument.value!r} by its name"
        if isinstance(node, ast.Call) and _name(node.func) in RUNS and len(node.args) >= 2:
            start, end = node.args[-2:]
            if _one_apart(start, end):
                yield node, f"makes a per-block figure: {_name(node.func)} of one block"


def _relays(tree: ast.AST) -> Found:
    """Decisions by the relay mode, also under another name."""
    bound = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _has_attribute(node.value, "relay")
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def decides(node: ast.AST) -> bool:
        named = any(isinstance(n, ast.Name) and n.id in bound for n in ast.walk(node))
        return named or _has_attribute(node, "relay")

    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and decides(node):
            yield node, "compares the relay mode"
        elif isinstance(node, ast.Match) and decides(node.subject):
            yield node.subject, "matches the relay mode"
        elif isinstance(node, ast.Subscript) and decides(node.slice):
            yield node, "looks something up by the relay mode"


def _sums(scope: ast.FunctionDef | ast.Module) -> Found:
    """A run's figure multiplied or divided by a number of blocks, through names of the scope."""
    kinds: dict[str, set[str]] = {}
    body = [n for n in ast.walk(scope) if not isinstance(n, ast.FunctionDef) or n is scope]
    for _ in range(3):  # names of names
        for node in body:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        kinds.setdefault(target.id, set()).update(_kinds(node.value, kinds))
    for node in body:
        if isinstance(node, ast.BinOp) and isinstance(
            node.op, ast.Mult | ast.Div | ast.FloorDiv | ast.Mod
        ):
            left, right = _kinds(node.left, kinds), _kinds(node.right, kinds)
            if ("run" in left and "count" in right) or ("run" in right and "count" in left):
                yield node, "counts blocks times or by a run's figure"


def _kinds(value: ast.AST, kinds: dict[str, set[str]]) -> set[str]:
    """Whether an expression is a run's figure or a number of blocks."""
    if isinstance(value, ast.Name):
        return kinds.get(value.id, set())
    if isinstance(value, ast.Attribute):
        return {"count"} if value.attr in COUNTS else set()
    if isinstance(value, ast.Call):
        name = _name(value.func)
        if name in RUNS:
            return {"run"}
        if name == "len" and value.args and _name(value.args[0]) in ("hop", "h", "span"):
            return {"count"}
        if name in ("int", "float", "sum", "max", "min") and value.args:
            return _kinds(value.args[0], kinds)
        return set()
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Sub):
        names = _name(value.left), _name(value.right)
        if names[0] in ("end", "stop") and names[1] in ("start", "begin"):
            return {"count"}
    if isinstance(value, ast.BinOp):
        return _kinds(value.left, kinds) | _kinds(value.right, kinds)
    return set()


def _name(node: ast.AST) -> str:
    """The last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _has_attribute(node: ast.AST, name: str) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == name for n in ast.walk(node))


def _one_apart(start: ast.expr, end: ast.expr) -> bool:
    """Whether a span is written down as one block."""
    if isinstance(start, ast.Constant) and isinstance(end, ast.Constant):
        first, last = start.value, end.value
        return isinstance(first, int) and isinstance(last, int) and last == first + 1
    return (
        isinstance(end, ast.BinOp)
        and isinstance(end.op, ast.Add)
        and isinstance(end.right, ast.Constant)
        and end.right.value == 1
        and ast.dump(end.left) == ast.dump(start)
    )


def main() -> int:
    """Print every breach of a checkout; the exit status tells whether there are any."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if parts[0] not in HOMES and not any(p.startswith(".") or p == "build" for p in parts):
            found += breaches(path.read_text(encoding="utf-8"), "/".join(parts))
    print("\n".join(map(str, found)) or "costs have one home")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
