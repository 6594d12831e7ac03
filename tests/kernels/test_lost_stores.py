"""Numba deletes stores through fields of tuples from parallel kernels: none may have one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from test_walls import PACKAGE, called_name, sources


def kernels_of(source: str) -> Iterator[tuple[ast.FunctionDef, set[str]]]:
    """Every decorated function of a module, with the flags that its decorators set to True."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
            words = [word for call in calls for word in call.keywords]
            yield node, {str(w.arg) for w in words if getattr(w.value, "value", None) is True}


def parts_of(target: ast.expr) -> Iterator[ast.expr]:
    """What is assigned to: the parts of a, (b, *c) one by one."""
    if isinstance(target, (ast.Tuple, ast.List)):
        for part in target.elts:
            yield from parts_of(part)
    else:
        yield target.value if isinstance(target, ast.Starred) else target


def stores_through_fields(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """What is stored to as `t.field[i]`, or through a name for a field: `f = t.field`, `f, g = t`.

    Not all of these are lost by every Numba; none is worth the risk.
    """
    assignments = [
        (target, node.value)
        for node in ast.walk(function)
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    fields = set()
    for target, value in assignments:
        parts, values = list(parts_of(target)), [value]
        if isinstance(value, ast.Tuple) and len(value.elts) == len(parts):
            values = value.elts
        elif len(parts) > 1 and isinstance(value, ast.Name):
            fields |= {ast.unparse(part) for part in parts}
        for part, each in zip(parts, values * len(parts), strict=False):
            if isinstance(each, ast.Attribute):
                fields.add(ast.unparse(part))
    for target, _ in assignments:
        for part in parts_of(target):
            base = part
            while isinstance(base, ast.Subscript):
                base = base.value
            through_field = isinstance(base, ast.Attribute) or ast.unparse(base) in fields
            if base is not part and through_field:
                yield part


def lost_stores(sources: dict[str, str]) -> list[str]:
    """Stores through fields of tuples in parallel kernels and in what is inlined into them."""
    found = [(name, *each) for name, text in sources.items() for each in kernels_of(text)]
    inlined = {function.name: (name, function) for name, function, f in found if "inlined" in f}
    waiting = [(name, function) for name, function, flags in found if "parallel" in flags]
    seen, faults = set(), []
    while waiting:
        name, function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        faults += [
            f"{name}, line {store.lineno}: {ast.unparse(store)} in {function.name}"
            for store in stores_through_fields(function)
        ]
        called = {called_name(n)[1] for n in ast.walk(function) if isinstance(n, ast.Call)}
        waiting += [inlined[other] for other in called & set(inlined)]
    return faults


def test_no_parallel_kernel_stores_through_a_field_of_a_tuple():
    found = {name: text for name, text in sources().items() if ".kernels." in name}
    for path in (PACKAGE.parent / "bench").rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[module] = path.read_text(encoding="utf-8")
    flags = [flags for text in found.values() for _, flags in kernels_of(text)]
    assert sum("parallel" in each for each in flags) > 5  # the reader sees some
    assert sum("inlined" in each for each in flags) > 5
    assert lost_stores(found) == []


LOST = [
    "    for i in prange(n):\n        t.a[i] = 1",
    "    for i in prange(n):\n        t.a[i] += 1",
    "    for i in prange(n):\n        t.a[i:i + 1][0] = 1",
    "    t.a[0], x = 1, 2",
    "    t.room.a[0] = 1",
    "    a = t.a\n    for i in prange(n):\n        a[i] = 1",
    "    a, b = t.a, n\n    a[0] = 1",
    "    a, b = t\n    for i in prange(n):\n        a[i] = 1",
    "    for i in prange(n):\n        twice(t, i)",
]
KEPT = [
    "    for i in prange(n):\n        put(t, i)",
    "    for i in prange(n):\n        a[i] = t.a[i]",
    "    first, last = n * i // m, t.b[0]\n    a[first] = last",
    "    size = t.a.shape[0]\n    a[size] = 1",
]
OTHERS = """
@kernel(inlined=True)
def once(t, i):
    t.a[i] = 1

@kernel(inlined=True)
def twice(t, i):
    once(t, i)

@kernel()
def put(t, i):
    t.a[i] = 1

@kernel(parallel=True)
def all_of(t, a, n):
"""


@pytest.mark.parametrize("body", LOST)
def test_the_checker_sees_a_store_that_would_be_lost(body):
    assert len(lost_stores({"fastw2v.kernels.a": OTHERS + body})) == 1


@pytest.mark.parametrize("body", KEPT)
def test_the_checker_passes_stores_that_are_kept(body):
    assert lost_stores({"fastw2v.kernels.a": OTHERS + body}) == []
