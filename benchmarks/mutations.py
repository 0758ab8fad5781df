"""Small faults in source text: what ``mutants.py`` puts in, one at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

Node = TypeVar("Node", bound=ast.AST)

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
COMPARISON: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_PAIRS = (("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"))
TWINS = {a: b for pair in (*_PAIRS, ("floor", "ceil")) for a, b in (pair, pair[::-1])}
#: Calls that give one of their last two arguments -> how many arguments they have.
CHOICES = {"min": 2, "max": 2, "minimum": 2, "maximum": 2, "where": 3}
#: Characters of a long line that are told.
SHOWN = 120
#: Fields of the syntax tree that hold types and patterns.
APART = {"annotation", "returns", "decorator_list", "bases", "pattern"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault, told so that it is found again when lines move.

    Attributes
    ----------
    function : qualified name of the function or class it is in, "" at the top of the module.
    before, after : the line that differs, in the spelling of ``ast.unparse``.
    index : which of the file's faults it is, for ``mutated``.
    spans : (first, last) lines whose tests may notice it, the narrowest first.
    """

    file: str
    function: str
    line: int
    before: str
    after: str
    index: int
    spans: tuple[tuple[int, int], ...]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays when lines move."""
        return self.file, self.function, self.before, self.after

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A node, where it hangs, and what surrounds it.

    ``users`` are the lines that rely on code that runs only once, at import: of the function for
    its defaults, else of the whole file; None for code that runs when it is called.
    """

    parent: ast.AST
    field: str
    at: int | None
    node: ast.AST
    statement: ast.stmt
    function: str = ""
    gives_bool: bool = False
    users: tuple[int, int] | None

    def put(self, node: ast.AST) -> None:
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Lines whose tests may notice a fault here, the narrowest first."""
        if self.users is not None:
            return (self.users,)
        body = getattr(self.statement, "body", None)
        last = body[0].lineno - 1 if body else self.statement.end_lineno
        header = (self.statement.lineno, last or self.statement.lineno)
        if not isinstance(self.node, ast.expr):
            return (header,)
        return (self.node.lineno, self.node.end_lineno or self.node.lineno), header


def mutants_of(file: str, source: str) -> list[Mutant]:
    """All faults of a file, from top to bottom; equal ones once."""
    found: dict[tuple[int, str], Mutant] = {}
    for index, (place, new) in enumerate(_faults(ast.parse(source))):
        before = ast.unparse(place.statement)
        place.put(new)
        after = ast.unparse(new if place.node is place.statement else place.statement)
        place.put(place.node)
        if after != before and (place.statement.lineno, after) not in found:
            told = _cut(before, after)
            found[place.statement.lineno, after] = Mutant(
                file=file,
                function=place.function,
                line=getattr(place.node, "lineno", place.statement.lineno),
                before=told[0],
                after=told[1],
                index=index,
                spans=place.spans(),
            )
    return list(found.values())


def _cut(before: str, after: str) -> tuple[str, str]:
    """The first lines that differ, long ones without what is far from their difference."""
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    old, new = next((a.strip(), b.strip()) for a, b in lines if a != b)
    first = next(i for i in range(len(old) + 1) if old[: i + 1] != new[: i + 1])
    begin = max(0, first - SHOWN // 3) if max(len(old), len(new)) > SHOWN else 0

    def cut(line: str) -> str:
        shown = line[begin : begin + SHOWN]
        return "…" * (begin > 0) + shown + "…" * (begin + SHOWN < len(line))

    return cut(old), cut(new)


def mutated(source: str, index: int) -> str:
    """The source with one of its faults; comments are lost."""
    tree = ast.parse(source)
    for number, (place, new) in enumerate(_faults(tree)):
        if number == index:
            place.put(new)
            return ast.unparse(tree) + "\n"
    raise IndexError(index)


def _faults(tree: ast.Module) -> Iterator[tuple[_Place, ast.AST]]:
    users = (1, max((s.end_lineno or 1 for s in tree.body), default=1))
    top = _Place(parent=tree, field="", at=None, node=tree, statement=ast.Pass(), users=users)
    for place in _below(top):
        for new in _changes(place.node, place.gives_bool):
            yield place, new


def _below(place: _Place) -> Iterator[_Place]:
    """Every place below one that a fault may be put in."""
    for field, value in ast.iter_fields(place.node):
        around = _inside(place, field)
        for at, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and field not in APART and not _is_apart(child):
                statement = child if isinstance(child, ast.stmt) else around.statement
                found = replace(
                    around, parent=place.node, field=field, at=at, node=child, statement=statement
                )
                yield found
                yield from _below(found)


def _inside(place: _Place, field: str) -> _Place:
    """What surrounds the children of a place in one of its fields."""
    node = place.node
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        place = replace(place, function=f"{place.function}.{node.name}".lstrip("."))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        users = None if field == "body" else (node.lineno, node.end_lineno or node.lineno)
        gives_bool = isinstance(node.returns, ast.Name) and node.returns.id == "bool"
        place = replace(place, users=users, gives_bool=gives_bool)
    return place


def _is_apart(node: ast.AST) -> bool:
    """Words for people, types, and checks of the code on itself: no fault is put in there."""
    match node:
        case (
            ast.JoinedStr()
            | ast.Raise()
            | ast.FunctionDef(name="__repr__" | "__str__")
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")])
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger" | "logging"))))
            | ast.keyword(arg="stacklevel" | "strict")
        ):
            return True
    return False


def _changes(node: ast.AST, gives_bool: bool) -> Iterator[ast.AST]:
    """What a node may be replaced by."""
    match node:
        case ast.BinOp(left=left, op=op) if type(op) in ARITHMETIC:
            yield _with(node, op=ARITHMETIC[type(op)]())
            yield left
        case ast.Compare(ops=ops):
            for i, found in enumerate(ops):
                for other in COMPARISON[type(found)]:
                    yield _with(node, ops=[*ops[:i], other(), *ops[i + 1 :]])
        case ast.BoolOp(op=both, values=values):
            yield _with(node, op=ast.Or() if isinstance(both, ast.And) else ast.And())
            for i in range(len(values)):
                rest = values[:i] + values[i + 1 :]
                yield _with(node, values=rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(whole)):
            yield ast.Constant(whole + 1)
        case ast.Constant(value=float(real)):
            yield ast.Constant(real * 1.1 if real else 1.0)
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.Slice():
            for name, bound in (("lower", node.lower), ("upper", node.upper)):
                if bound is not None:
                    for one in (ast.Add(), ast.Sub()):
                        yield _with(node, **{name: ast.BinOp(bound, one, ast.Constant(1))})
        case ast.Call():
            yield from _changed_calls(node)
        case ast.Return(value=ast.expr()) if gives_bool:
            yield from (ast.Return(ast.Constant(value)) for value in (True, False))
        case ast.AugAssign() | ast.Expr(value=ast.Call()) | ast.Assign(targets=[ast.Subscript()]):
            yield ast.Pass()


def _changed_calls(node: ast.Call) -> Iterator[ast.AST]:
    """The opposite function, one of two values, another order."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name in TWINS:
        field = "attr" if isinstance(node.func, ast.Attribute) else "id"
        yield _with(node, func=_with(node.func, **{field: TWINS[name]}))
    if len(node.args) == CHOICES.get(name) and not node.keywords:
        yield from (arg for arg in node.args[-2:] if not isinstance(arg, ast.Starred))
    if name in ("sorted", "sort", "min", "max") and node.keywords:
        yield _with(node, keywords=[k for k in node.keywords if k.arg != "key"])
    if name in ("sorted", "sort") and all(k.arg != "reverse" for k in node.keywords):
        reverse = ast.keyword("reverse", ast.Constant(True))
        yield _with(node, keywords=[*node.keywords, reverse])


def _with(node: Node, **fields: object) -> Node:
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})
