"""The package that is built: complete, and of use where only it is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata

from document_blocks import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:  # the tests run on 3.11
    tomllib = None


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_wheel_is_installed_and_used_where_no_compiler_is():
    command = [sys.executable, str(ROOT / "scripts" / "smoke.py"), "--borrow"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_package_imports_is_declared():
    extras = project()["optional-dependencies"]
    wanted = [*project()["dependencies"], *extras["stem"], *extras["remote"], *extras["gzip"]]
    names = {want.split(">")[0].split(";")[0].strip().lower() for want in wanted}
    packages = metadata.packages_distributions()
    imported = set()
    for path in (ROOT / "fastw2v").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])
    imported -= set(sys.stdlib_module_names) | {"fastw2v"}
    # gensim is looked for, for the word pairs that it carries; nothing needs it.
    undeclared = {
        name for name in imported if not names & {d.lower() for d in packages.get(name, [name])}
    }
    assert undeclared - {"gensim"} == set()


def test_the_citation_has_the_version_of_the_package():
    import fastw2v

    assert f"\nversion: {fastw2v.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"## {fastw2v.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
