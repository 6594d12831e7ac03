"""The walls between the rooms of the house, kept by reading every module's syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "fastw2v"

# The packages from the lowest up: each imports itself and those before it, in functions too.
LEVELS = ("io", "kernels", "text", "store", "vectors", "plots", "training", "cli")
# Loose modules: those that every package may import, and those that import any.
FOUNDATION = {"errors", "options"}
ROOF = {"", "__main__", "demo"}  # but the command line runs the demonstration
# (collections.abc and typing are for annotations.)
KERNELS_MAY_IMPORT = {"__future__", "collections", "hashlib", "math", "numba", "numpy", "typing"}
LLVMLITE = "fastw2v.kernels.llvm"
# The one of them that knows of files: where compiled kernels are kept.
KERNEL_CACHE = "fastw2v.kernels.cache"
KERNEL_CACHE_MAY_IMPORT = {"contextlib", "functools", "os", "pathlib", "platform", "threading",
                           "time", "fastw2v.__version__", "fastw2v.io.storage",
                           "fastw2v.errors"}  # fmt: skip
PARQUET_ROOMS = {
    "fastw2v.store.format",
    "fastw2v.store.vocabulary",
    "fastw2v.store.phrases.phrases",
    "fastw2v.text.tables",
    "fastw2v.vectors.formats",
}
STORAGE = "fastw2v.io.storage"
UNFINISHED: tuple[str, ...] = ()
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}

# What changes the disk, and so belongs to storage.py alone.
DISK_FUNCTIONS = {
    "os": {"rename", "renames", "replace", "fsync", "fdatasync", "remove", "unlink", "rmdir",
           "removedirs", "link", "symlink", "truncate", "ftruncate", "mkdir", "makedirs"},
    "shutil": {"rmtree", "move", "copy", "copy2", "copyfile", "copytree"},
    "fcntl": {"flock", "lockf"},
}  # fmt: skip
PATH_METHODS = {"unlink", "rmdir", "rename", "touch", "symlink_to", "hardlink_to"}
WRITING_METHODS = {"write_text", "write_bytes"}
OPENERS = {"open", "GzipFile", "BZ2File", "LZMAFile"}
ATOMIC_BLOCKS = {"atomic_file", "atomic_directory"}


def imports_of(tree: ast.AST, module: str) -> Iterator[tuple[str, ast.AST]]:
    """(dotted name, node) of everything a module imports, anywhere in it, relative ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                base = ".".join([*parents, base] if base else parents)
            yield from ((f"{base}.{alias.name}", node) for alias in node.names)


def is_or_is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def room_of(name: str) -> str:
    """The package, or the loose module, of a dotted name in fastw2v; "" is fastw2v itself."""
    return [*name.split("."), ""][1]


def wall_fault(module: str, name: str) -> str | None:
    """Why `module` must not know `name`, of this package; None where it may."""
    here, there = room_of(module), room_of(name)
    if there not in LEVELS:
        hidden = there in ROOF - {""} and here not in ROOF | {"cli"}
        return f"{there} is not for {here}" if hidden else None
    if here in FOUNDATION:
        return f"{here} must not know {there}"
    if here in LEVELS and LEVELS.index(there) > LEVELS.index(here):
        return f"{here} must not know {there}"
    return None


def import_faults(module: str, name: str) -> Iterator[str]:
    """What is wrong with `module` importing `name`."""
    top = name.split(".")[0]
    room = room_of(module)
    if top == "llvmlite" and not is_or_is_in(module, LLVMLITE) and module != KERNEL_CACHE:
        yield f"llvmlite belongs to {LLVMLITE}, not to {module}"
    allowed = KERNELS_MAY_IMPORT | {"llvmlite", "fastw2v.kernels"}
    if module == KERNEL_CACHE:
        allowed |= KERNEL_CACHE_MAY_IMPORT
    if room == "kernels" and not any(is_or_is_in(name, package) for package in allowed):
        yield f"kernels import only numpy, numba and math, not {name}"
    if is_or_is_in(name, "pyarrow.parquet") and module not in PARQUET_ROOMS:
        yield "pyarrow.parquet belongs to the modules that own a Parquet format"
    if top == "click" and room not in ("cli", "__main__"):
        yield "click belongs to the command line"
    if top == "matplotlib" and room != "plots":
        yield "matplotlib belongs to fastw2v.plots"
    if top in FORBIDDEN_MODULES:
        yield f"{top} runs or trusts what it reads"
    if top == "fastw2v" and (fault := wall_fault(module, name)):
        yield fault


def called_name(call: ast.Call) -> tuple[str | None, str]:
    """(`x`, `f`) for `x.f(...)`, (None, `f`) for `f(...)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        owner = function.value
        return getattr(owner, "id", ""), function.attr
    return None, getattr(function, "id", "")


def mode_of(call: ast.Call, owner: str | None) -> str:
    """The mode that an opening call names; "r" where it names none, "?" where it is computed."""
    of_path = owner not in (None, "io", "gzip", "bz2", "lzma", "codecs")
    given: list[ast.expr] = [word.value for word in call.keywords if word.arg == "mode"]
    given += call.args[0:1] if of_path else call.args[1:2]
    if not given:
        return "r"
    if isinstance(given[0], ast.Constant):
        return str(given[0].value)
    return "r" if of_path else "?"  # `Store.open(path)` is no Path.open(mode)


def is_write(call: ast.Call) -> bool:
    """Whether a call writes a file (which is fine inside a block of storage's)."""
    owner, name = called_name(call)
    if name in WRITING_METHODS:  # Path's methods have one argument, functions (path, text) two
        return owner is not None and len(call.args) < 2
    if name in OPENERS and owner not in ("os", "webbrowser"):
        return bool(set(mode_of(call, owner)) & set("wax+?"))
    return False


def writes_temporary(call: ast.Call) -> bool:
    """Whether the file written is called `temporary`: the name for a path from an atomic block."""
    function = call.func
    opened: list[ast.expr] = call.args[:1]
    if isinstance(function, ast.Attribute) and called_name(call)[0] not in ("gzip", "bz2", "lzma"):
        opened = [function.value]
    return any(
        isinstance(node, ast.Name) and node.id == "temporary"
        for expression in opened
        for node in ast.walk(expression)
    )


def changes_disk(call: ast.Call) -> bool:
    """Whether a call renames, removes, syncs or links, which only storage.py may do."""
    owner, name = called_name(call)
    if owner in DISK_FUNCTIONS:
        return name in DISK_FUNCTIONS[owner]
    if owner is not None and name == "replace":  # Path.replace(target), unlike str.replace(a, b)
        return len(call.args) == 1 and not call.keywords and owner != "dataclasses"
    return owner is not None and name in PATH_METHODS


def call_faults(node: ast.AST, in_block: bool = False) -> Iterator[tuple[str, ast.AST]]:
    """(what is wrong, where) of the calls below `node`; `in_block`: of an atomic write."""
    if isinstance(node, (ast.With, ast.AsyncWith)):
        calls = [item.context_expr for item in node.items]
        in_block = in_block or any(
            isinstance(call, ast.Call) and called_name(call)[1] in ATOMIC_BLOCKS for call in calls
        )
    if isinstance(node, ast.Call):
        owner, name = called_name(node)
        if owner is None and name in FORBIDDEN_CALLS:
            yield f"{name}() runs text as code", node
        if any(
            word.arg == "allow_pickle" and getattr(word.value, "value", True)
            for word in node.keywords
        ):
            yield "allow_pickle must be False", node
        loads_array = owner in ("np", "numpy") and name == "load"
        if loads_array and not any(word.arg == "allow_pickle" for word in node.keywords):
            yield "np.load without allow_pickle=False", node
        if changes_disk(node):
            yield f"{name}() belongs to storage.py", node
        if is_write(node) and not (in_block or writes_temporary(node)):
            yield (
                f"{name}() writes outside an atomic block of storage.py (or call it temporary)",
                node,
            )
    for child in ast.iter_child_nodes(node):
        yield from call_faults(child, in_block)


def faults_of(module: str, source: str) -> list[str]:
    """Every wall that the module `module` with this source breaks, one line each."""
    tree = ast.parse(source)
    faults = [
        (fault, node)
        for name, node in imports_of(tree, module)
        for fault in import_faults(module, name)
    ]
    if module != STORAGE:
        faults += list(call_faults(tree))
    return [f"{module}, line {getattr(node, 'lineno', 0)}: {fault}" for fault, node in faults]


def sources() -> dict[str, str]:
    """Module name -> source, for every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def imported(module: str, source: str, modules: set[str]) -> set[str]:
    """The modules among `modules` that `module` imports, lazily or for types too."""
    found = set()
    for name, _ in imports_of(ast.parse(source), module):
        known = [other for other in modules if is_or_is_in(name, other)]
        if known:
            found.add(max(known, key=len))
    return found - {module}


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """One import cycle, first module repeated at its end; empty where there is none."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for other in sorted(graph.get(module, ())):
            if found := walk(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def test_every_module_keeps_the_walls():
    found = sources()
    assert {STORAGE, "fastw2v", "fastw2v.cli.main", "fastw2v.kernels.primitives"} <= set(found)
    faults = [fault for module, source in found.items() for fault in faults_of(module, source)]
    assert [fault for fault in faults if not fault.startswith(UNFINISHED)] == []


def test_every_module_has_a_level():
    loose = {room_of(module) for module in sources()} - set(LEVELS)
    assert loose == FOUNDATION | ROOF


def test_no_import_cycles():
    found = sources()
    del found["fastw2v"]  # names the public functions, which load at first use
    graph = {module: imported(module, source, set(found)) for module, source in found.items()}
    assert sum(map(len, graph.values())) > 10  # the reader of imports sees some
    assert cycle_in(graph) == []


BAD = [
    ("fastw2v.kernels.softmax", "import scipy.linalg", "kernels import only"),
    ("fastw2v.kernels.softmax", "from llvmlite import ir", "llvmlite belongs"),
    ("fastw2v.io.storage", "def f():\n    import fastw2v.store.format", "io must not know store"),
    ("fastw2v.options", "from fastw2v.io import machine", "options must not know io"),
    ("fastw2v.training.api", "from fastw2v import demo", "demo is not for training"),
    ("fastw2v.plots.loss", "from fastw2v.training import api", "plots must not know training"),
    ("fastw2v.kernels.softmax", "from fastw2v.io import storage", "kernels import only"),
    ("fastw2v.kernels.softmax", "from ..errors import DataError", "kernels import only"),
    ("fastw2v.kernels.softmax", "def f():\n    import os", "kernels import only"),
    ("fastw2v.kernels.cache", "from fastw2v.io import machine", "kernels import only"),
    ("fastw2v.training.data", "import pyarrow.parquet as pq", "Parquet format"),
    ("fastw2v.training.data", "from pyarrow import parquet", "Parquet format"),
    ("fastw2v.training.data", "from pyarrow.parquet import ParquetFile", "Parquet format"),
    ("fastw2v.training.api", "import click", "command line"),
    ("fastw2v.demo", "from click import echo", "command line"),
    ("fastw2v.training.reporting", "def f():\n    import matplotlib.pyplot", "matplotlib belongs"),
    ("fastw2v.store.config", "from fastw2v.training import api", "store must not know"),
    ("fastw2v.store.config", "import fastw2v.vectors.formats", "store must not know"),
    ("fastw2v.store.config", "from fastw2v import training", "store must not know"),
    ("fastw2v.store.config", "from .. import vectors", "store must not know"),
    ("fastw2v.vectors.formats", "from ..training import model", "vectors must not know"),
    ("fastw2v.training.api", "from fastw2v.cli import main", "training must not know"),
    ("fastw2v.vectors.formats", "import pickle", "trusts what it reads"),
    ("fastw2v.vectors.formats", "from joblib import load", "trusts what it reads"),
    ("fastw2v.vectors.formats", "eval('1')", "runs text as code"),
    ("fastw2v.vectors.formats", "exec(text)", "runs text as code"),
    ("fastw2v.vectors.formats", "np.load(path)", "allow_pickle"),
    ("fastw2v.vectors.formats", "np.load(path, allow_pickle=True)", "must be False"),
    ("fastw2v.training.checkpoint", "os.rename(a, b)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "os.replace(a, b)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "os.fsync(descriptor)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "shutil.rmtree(path)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "path.unlink()", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "(a / b).unlink(missing_ok=True)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "a.replace(b)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "os.makedirs(a)", "belongs to storage.py"),
    ("fastw2v.training.checkpoint", "path.write_text('a')", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "(a / 'b').write_bytes(c)", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "open(path, 'w')", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "open(path, mode='ab')", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "open(path, mode)", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "path.open('x')", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "open(path, 'r+b')", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "gzip.open(path, 'wb')", "outside an atomic block"),
    ("fastw2v.training.checkpoint", "with open(p, 'w') as f:\n    pass", "outside an atomic"),
]

GOOD = [
    ("fastw2v.kernels.softmax", "import math\nimport numpy as np\nfrom numba import prange"),
    ("fastw2v.kernels.softmax", "from fastw2v.kernels.primitives import jit"),
    ("fastw2v.kernels.softmax", "from .primitives import jit\nfrom . import primitives"),
    ("fastw2v.kernels.llvm.tiles", "from llvmlite import ir"),
    ("fastw2v.demo", "from fastw2v.training import api"),
    ("fastw2v.kernels.cache", "import hashlib\nfrom fastw2v.io import storage"),
    ("fastw2v.store.format", "import pyarrow.parquet as pq"),
    ("fastw2v.training.data", "import pyarrow as pa"),
    ("fastw2v.cli.main", "import click"),
    ("fastw2v.plots.words", "import matplotlib"),
    ("fastw2v.plots.corpus", "import matplotlib"),
    ("fastw2v.plots.comparison", "import matplotlib"),
    ("fastw2v.training.api", "from fastw2v.vectors.keyed_vectors import KeyedVectors"),
    ("fastw2v.io.storage", "os.replace(a, b)\nshutil.rmtree(c)\nopen(d, 'wb')"),
    ("fastw2v.demo", "open(path)\nopen(path, 'rb')\npath.open()\ngzip.open(path, 'rt')"),
    ("fastw2v.demo", "text.replace('a', 'b')\ndataclasses.replace(config, alpha=1)"),
    ("fastw2v.demo", "with storage.atomic_file(p) as t, open(t, 'wb') as f:\n    f.write(b'')"),
    ("fastw2v.demo", "with atomic_directory(p) as t:\n    (t / 'a').write_text('a')"),
    ("fastw2v.demo", "storage.write_text(path, 'a')\nword2vec_format.write_text(path, tokens)"),
    (
        "fastw2v.demo",
        "def f(temporary):\n    open(temporary, 'wb')\n    temporary.write_bytes(b'')",
    ),
    ("fastw2v.demo", "def f(temporary):\n    gzip.open(temporary / 'a', 'wb')"),
    ("fastw2v.demo", "TokenStore.open(path)"),
    ("fastw2v.demo", "np.load(path, allow_pickle=False)"),
    ("fastw2v.demo", "ast.literal_eval(text)\nre.compile('a')"),
]


@pytest.mark.parametrize(("module", "source", "message"), BAD)
def test_the_checker_sees_a_broken_wall(module, source, message):
    assert any(message in fault for fault in faults_of(module, source))


@pytest.mark.parametrize(("module", "source"), GOOD)
def test_the_checker_passes_what_is_allowed(module, source):
    assert faults_of(module, source) == []


def test_the_checker_sees_an_import_cycle():
    texts = {
        "p": "",
        "p.a": "from p import b",
        "p.b": "try:\n    from .c import thing\nexcept ImportError:\n    pass",
        "p.c": "import p.a",
        "p.d": "import p.a",
    }
    graph = {name: imported(name, text, set(texts)) for name, text in texts.items()}
    assert cycle_in(graph) == ["p.a", "p.b", "p.c", "p.a"]
