"""Settings that every test needs before Numba or matplotlib is imported."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "tests")) if path not in sys.path]

import bench  # noqa: E402, F401 - its import names Numba's cache folder after the kernels

os.environ.setdefault("MPLBACKEND", "agg")
# A shell starts a background job with SIGINT ignored, and the commands under test would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _reviews() -> Path | None:
    given = os.environ.get("FASTW2V_REVIEWS")
    for place in [Path(given)] if given else [ROOT.parent / "shared" / "data" / "reviews"]:
        if any(place.glob("*.txt.gz")):
            return place
    return None


@pytest.fixture(scope="session")
def reviews() -> Path:
    """The directory of the review shards; tests that want it are skipped where there is none."""
    place = _reviews()
    if place is None:
        pytest.skip("no review shards: set FASTW2V_REVIEWS to the directory of the .txt.gz files")
    return place
