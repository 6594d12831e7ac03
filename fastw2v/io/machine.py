"""What this process may use of the machine (cores, memory, disk, as affinity and cgroups allow).

Work in as many threads as there are usable cores, with one progress for all of them.
"""

from __future__ import annotations

import math
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]  # (phase, done, total)

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")


def _own_cgroups(root: Path, proc: Path) -> list[Path]:
    """The cgroup directories that bind this process (v2, and the v1 controllers), inner first."""
    groups: list[Path] = []
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return [root]
    for line in lines:
        _, controllers, name = line.split(":", 2)
        bases = [root / c for c in controllers.split(",")] + [root / controllers]
        for base in bases if controllers else [root]:
            place = base / name.lstrip("/")
            while place != base.parent and place.is_relative_to(base):
                groups.append(place)
                place = place.parent
    return groups or [root]


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _quota_of(group: Path) -> float | None:
    """Cores that one cgroup allows, None where it sets no quota."""
    try:
        quota, period = (group / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        pass
    quota_us = _number(group / "cpu.cfs_quota_us")
    period_us = _number(group / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us and quota_us > 0 else None


def usable_cores(root: Path = _CGROUP_ROOT, proc: Path = _PROC) -> int:
    """Cores that this process may use: its affinity mask, capped by the cgroup quota."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quotas = [quota for group in _own_cgroups(root, proc) if (quota := _quota_of(group))]
    return max(1, min(cores, math.ceil(min(quotas, default=cores))))


def _memory_limits(root: Path, proc: Path) -> list[tuple[float, float]]:
    """(limit, used) in bytes of every cgroup that binds this process and sets a limit.

    The page cache counts as used, but what of it is inactive is released before an allocation
    fails, so it is subtracted (as the kubelet does for its working set).
    """
    limits = []
    for group in _own_cgroups(root, proc):
        for limit_name, used_name, cache_name in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = _number(group / limit_name)
            if limit is not None and limit < 1 << 60:
                used = _number(group / used_name) or 0.0
                limits.append((limit, max(0.0, used - _memory_stat(group, cache_name))))
    return limits


def _memory_stat(group: Path, name: str) -> float:
    """One number of a cgroup's memory.stat, 0 where it has none."""
    try:
        for line in (group / "memory.stat").read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return float(value)
    except (OSError, ValueError):
        pass
    return 0.0


def available_memory(root: Path = _CGROUP_ROOT, proc: Path = _PROC) -> int | None:
    """Bytes that can still be allocated without swapping, None if unknown to the system."""
    candidates = [limit - used for limit, used in _memory_limits(root, proc)]
    try:
        for line in (proc / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                candidates.append(float(line.split()[1]) * 1024)
    except (OSError, ValueError, IndexError):
        pass
    if not candidates and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        candidates.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    return max(0, int(min(candidates))) if candidates else None


def resident_memory(proc: Path = _PROC) -> int:
    """Bytes of this process in memory, 0 where the system does not say."""
    try:
        pages = int((proc / "self" / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_disk(path: Path) -> int:
    """Bytes free on the file system that holds `path` or its nearest existing parent."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def readable_bytes(count: float) -> str:
    """`count` bytes for people: "1.2 GB" (powers of 1,000)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


class Stopped(Exception):  # noqa: N818 - not a fault
    """Other work of the same `map_in_threads` failed or was interrupted."""


class Meter:
    """Adds up the progress of several threads for the caller's progress(phase, done, total)."""

    def __init__(self, progress: Progress | None, phase: str, total: int) -> None:
        self._progress, self._phase, self._total = progress, phase, total
        self._done = 0.0
        self._stopped = False
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        """Count `amount` more as done.

        Raises:
            Stopped: after `stop`.
        """
        with self._lock:
            if self._stopped:
                raise Stopped
            self._done += amount
            if self._progress is not None:
                self._progress(self._phase, round(self._done), self._total)

    def stop(self) -> None:
        """Make every later `add` raise `Stopped`."""
        self._stopped = True


def map_in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], meter: Meter, threads: int | None = None
) -> list[Result]:
    """`[work(item) for item in items]` in `threads` threads (default: the usable cores).

    Meant for hashing and decoding, which release the interpreter's lock. When `work` raises, items
    not yet started are skipped, `meter` is stopped, and the exception is raised here.
    """
    with ThreadPoolExecutor(threads or usable_cores()) as executor:
        futures = [executor.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:  # Ctrl-C, too
            meter.stop()
            executor.shutdown(wait=False, cancel_futures=True)
            raise
