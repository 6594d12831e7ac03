"""Limits of the machine, read from fake cgroup and /proc trees."""

from __future__ import annotations

import os
import shutil
import time
from collections import namedtuple

import pytest

from fastw2v.io import machine
from fastw2v.io.machine import Meter, Stopped, map_in_threads

GiB = 1 << 30


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A function that writes {path: text} below tmp_path and returns (cgroup root, proc)."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "cgroup", tmp_path / "proc"

    return write


def test_affinity_alone_decides_where_there_is_no_cgroup(tree):
    assert machine.usable_cores(*tree({})) == 8


def test_no_affinity_call_means_the_cores_of_the_machine(tree, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert machine.usable_cores(*tree({})) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.usable_cores(*tree({})) == 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("max 100000", 8),
     ("3200000 100000", 8), ("damaged", 8), ("", 8)],
)  # fmt: skip
def test_cgroup_v2_quota(tree, quota, cores):
    places = tree({"proc/self/cgroup": "0::/job\n", "cgroup/job/cpu.max": quota})
    assert machine.usable_cores(*places) == cores


def test_the_tightest_quota_of_all_parents_counts(tree):
    places = tree(
        {
            "proc/self/cgroup": "0::/outer/inner\n",
            "cgroup/outer/cpu.max": "300000 100000",
            "cgroup/outer/inner/cpu.max": "500000 100000",
        }
    )
    assert machine.usable_cores(*places) == 3


def test_inside_a_container_the_root_group_holds_the_quota(tree):
    places = tree({"proc/self/cgroup": "0::/\n", "cgroup/cpu.max": "400000 100000"})
    assert machine.usable_cores(*places) == 4


@pytest.mark.parametrize("controller_directory", ["cpu", "cpu,cpuacct"])
def test_cgroup_v1_quota(tree, controller_directory):
    places = tree(
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/job\n3:memory:/job\n",
            f"cgroup/{controller_directory}/job/cpu.cfs_quota_us": "250000",
            f"cgroup/{controller_directory}/job/cpu.cfs_period_us": "100000",
        }
    )
    assert machine.usable_cores(*places) == 3


def test_cgroup_v1_without_a_quota(tree):
    places = tree(
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "cgroup/cpu/cpu.cfs_quota_us": "-1",
            "cgroup/cpu/cpu.cfs_period_us": "100000",
        }
    )
    assert machine.usable_cores(*places) == 8


def test_memory_is_what_the_system_has_available(tree):
    places = tree({"proc/meminfo": "MemTotal: 16777216 kB\nMemAvailable:    8388608 kB\n"})
    assert machine.available_memory(*places) == 8 * GiB


def test_cgroup_v2_memory_limit_less_what_is_used(tree):
    places = tree(
        {
            "proc/meminfo": "MemAvailable: 8388608 kB\n",
            "proc/self/cgroup": "0::/job\n",
            "cgroup/job/memory.max": str(4 * GiB),
            "cgroup/job/memory.current": str(1 * GiB),
        }
    )
    assert machine.available_memory(*places) == 3 * GiB


@pytest.mark.parametrize(
    ("stat", "available"),
    [
        (f"anon 5\nfile {GiB}\ninactive_file {GiB}\nactive_file 3\n", 3 * GiB),
        (f"total_inactive_file {GiB}\n", 2 * GiB),  # the name of v1
        (f"inactive_file {9 * GiB}\n", 4 * GiB),  # read a moment later: never less than none
        ("inactive_file\n", 2 * GiB),
        ("inactive_file many\n", 2 * GiB),
    ],
)
def test_cgroup_v2_page_cache_that_can_be_given_up_is_not_used(tree, stat, available):
    places = tree(
        {
            "proc/meminfo": "MemAvailable: 8388608 kB\n",
            "proc/self/cgroup": "0::/job\n",
            "cgroup/job/memory.max": str(4 * GiB),
            "cgroup/job/memory.current": str(2 * GiB),
            "cgroup/job/memory.stat": stat,
        }
    )
    assert machine.available_memory(*places) == available


def test_cgroup_v1_page_cache_that_can_be_given_up_is_not_used(tree):
    files = {
        "proc/self/cgroup": "3:memory:/job\n",
        "cgroup/memory/job/memory.limit_in_bytes": str(2 * GiB),
        "cgroup/memory/job/memory.usage_in_bytes": str(2 * GiB),
        # Without its children, and with them, as the usage is.
        "cgroup/memory/job/memory.stat": f"inactive_file 7\ntotal_inactive_file {GiB}\n",
    }
    assert machine.available_memory(*tree(files)) == GiB


def test_a_used_up_memory_limit_is_zero_not_negative(tree):
    places = tree(
        {
            "proc/self/cgroup": "0::/job\n",
            "cgroup/job/memory.max": "1000",
            "cgroup/job/memory.current": "2000",
        }
    )
    assert machine.available_memory(*places) == 0


def test_cgroup_v1_memory_limit(tree):
    files = {
        "proc/meminfo": "MemAvailable: 8388608 kB\n",
        "proc/self/cgroup": "3:memory:/job\n",
        "cgroup/memory/job/memory.limit_in_bytes": str(2 * GiB),
        "cgroup/memory/job/memory.usage_in_bytes": str(GiB),
    }
    assert machine.available_memory(*tree(files)) == GiB


def test_cgroup_v1_writes_no_limit_as_a_huge_one(tree, monkeypatch):
    places = tree(
        {
            "proc/self/cgroup": "3:memory:/job\n",
            "cgroup/memory/job/memory.limit_in_bytes": str((1 << 63) - 4096),
        }
    )
    monkeypatch.setattr(os, "sysconf_names", {})
    assert machine.available_memory(*places) is None


def test_memory_without_proc_comes_from_sysconf_or_is_unknown(tree, monkeypatch):
    places = tree({})
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    monkeypatch.setattr(os, "sysconf_names", pages)
    assert machine.available_memory(*places) == 4096 * 1000
    monkeypatch.setattr(os, "sysconf_names", {})
    assert machine.available_memory(*places) is None


def test_the_real_machine_gives_sane_figures():
    assert 1 <= machine.usable_cores() <= (os.cpu_count() or 1)
    memory = machine.available_memory()
    assert memory is None or memory > 0


def test_free_disk_of_a_path_that_does_not_exist_yet(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda p: asked.append(p) or usage(3, 1, 2))
    assert machine.free_disk(tmp_path / "not" / "yet") == 2
    assert asked == [tmp_path]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 kB"), (1.25e6, "1.2 MB"), (3e9, "3.0 GB"),
     (4.2e12, "4.2 TB"), (5e15, "5000.0 TB")],
)  # fmt: skip
def test_readable_bytes(count, text):
    assert machine.readable_bytes(count) == text


def test_work_that_is_not_wanted_any_more_is_left_out():
    meter, begun = Meter(None, "working", 100), []

    def work(item):
        begun.append(item)
        if item == 1:
            raise KeyboardInterrupt
        time.sleep(0.02 * item)
        meter.add(1)

    with pytest.raises(KeyboardInterrupt):
        map_in_threads(work, range(50), meter, threads=1)
    assert len(begun) < 50
    with pytest.raises(Stopped):
        meter.add(1)
