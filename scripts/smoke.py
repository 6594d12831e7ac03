"""Builds the sdist and the wheel, installs the wheel into an empty environment, and uses it.

The wheel is built from the sdist. The environment has no compiler: PATH is its own bin folder, and
the source tree is not on its path. There, a small text becomes a token store, a model and a vectors
file. By default pip fetches the dependencies, as for a user; with --borrow they are taken from the
interpreter that runs this script, which needs no network and leaves out whether pip can find them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEXT = "the cat sat on the mat and the dog sat on the rug\n" * 50
IN_SDIST = (
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
    "docs/index.md",
    "tests",
    "bench",
)
IN_WHEEL = ("fastw2v/py.typed", "fastw2v/__init__.py", ".dist-info/licenses/LICENSE")


def run(*command: str | Path, where: Path, env: dict[str, str] | None = None) -> str:
    """The standard output of a command; ends the program where it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=where, env=env, capture_output=True, text=True
    )
    if done.returncode:
        words = " ".join(str(part) for part in command)
        sys.exit(f"smoke: {words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from the sdist, in `folder`."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, where=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    missing = [
        want for want in IN_SDIST if not any(f"{name}/".startswith(f"{want}/") for name in names)
    ]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing += [want for want in IN_WHEEL if not any(name.endswith(want) for name in names)]
    top = {name.partition("/")[0].partition("-")[0] for name in names}
    if missing or top != {"fastw2v"}:
        sys.exit(f"smoke: missing: {missing}; at the top of the wheel: {sorted(top)}")
    return wheel


def environment(folder: Path, wheel: Path, borrow: bool) -> Path:
    """An environment with the wheel in it; returns its bin folder."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, where=folder.parent)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    run(*pip, "install", "-q", *(["--no-deps"] if borrow else []), wheel, where=folder)
    if borrow:
        # A path in a .pth file is added as it is: the .pth files in it, among them that of an
        # editable fastw2v, are not read.
        packages = run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", where=folder
        )
        lines = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
        Path(packages.strip(), "borrowed.pth").write_text("\n".join(sorted(lines)), "utf-8")
    return folder / "bin"


def use(programs: Path, folder: Path) -> None:
    """Text to vectors, by the installed program."""
    (folder / "text.txt").write_text(TEXT, "utf-8")
    env = {"PATH": str(programs), "HOME": str(folder), "MPLBACKEND": "agg", "LANG": "C.UTF-8"}
    env |= {name: os.environ[name] for name in ("TMPDIR",) if name in os.environ}
    program = programs / "fastw2v"
    place = run(
        programs / "python", "-c", "import fastw2v; print(fastw2v.__file__)", where=folder, env=env
    )
    if not Path(place).is_relative_to(programs.parent):
        sys.exit(f"smoke: {place.strip()} is not the installed package")
    version = run(program, "--version", where=folder, env=env)
    options = ("--vector-dim", "8", "--epochs", "2", "--threads", "1", "--quiet")
    run(program, "preprocess", "text.txt", "--output", "text.store", where=folder, env=env)
    run(
        program,
        "train",
        "--data-file",
        "text.store",
        "--model-file",
        "text.model",
        *options,
        where=folder,
        env=env,
    )
    run(program, "export", "text.model", "--output", "vectors.txt", where=folder, env=env)
    lines = (folder / "vectors.txt").read_text("utf-8").splitlines()
    if len(lines) != 9 or not lines[1].startswith("the "):
        sys.exit(f"smoke: vectors.txt has {len(lines)} lines, and begins {lines[:2]}")
    print(f"{version.strip()}: built, installed and used")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("--borrow", action="store_true", help="take the dependencies that are here")
    borrow = parser.parse_args().borrow
    with tempfile.TemporaryDirectory(prefix="fastw2v-smoke-") as name:
        folder = Path(name)
        wheel = build(folder)
        use(environment(folder / "environment", wheel, borrow), folder)


if __name__ == "__main__":
    main()
