"""Settings that every test needs before Numba or matplotlib is imported."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [
    path for path in (str(ROOT), str(ROOT / "tests" / "helpers")) if path not in sys.path
]

import bench  # noqa: E402, F401 - its import names Numba's cache folder after the kernels

os.environ.setdefault("MPLBACKEND", "agg")
# Threads that have nothing to do sleep: spinning takes the cores from other tests.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Tests kill processes, not machines: to wait for disks would only make them slow.
os.fsync = os.fstat  # type: ignore[assignment]
# A shell starts a background job with SIGINT ignored, and the commands under test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _reviews() -> Path | None:
    given = os.environ.get("FASTW2V_REVIEWS")
    for place in [Path(given)] if given else [ROOT.parent / "shared" / "data" / "reviews"]:
        if any(place.glob("*.txt.gz")):
            return place
    return None


# Files that compile much, each what no other of them does: first, so that two processes that share
# the tests do not compile the same.
COMPILING = ("test_deterministic", "test_softmax", "test_tiles", "test_rungs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(COMPILING)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture
def quick_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss curves drawn in no time, for tests that train models and look at no picture."""
    from quick_plot import write_picture

    from fastw2v.plots import loss as loss_plot

    monkeypatch.setattr(loss_plot, "plot_loss", write_picture)


@pytest.fixture(scope="session")
def reviews() -> Path:
    """The directory of the review shards; tests that want it are skipped where there is none."""
    place = _reviews()
    if place is None:
        pytest.skip("no review shards: set FASTW2V_REVIEWS to the directory of the .txt.gz files")
    return place
