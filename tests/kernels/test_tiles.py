"""The register tiles against float64 NumPy: scattered and repeated rows, all remainders, guards.

What surrounds rows, scores and weights is NaN: what is read there shows, and what is written there.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import llvmlite.binding
import numba
import numpy as np
import pytest
from kernel_cases import UNIT
from numba.core.errors import TypingError

from fastw2v.kernels.llvm import tiles
from fastw2v.kernels.llvm.memory import fetch_and_add
from fastw2v.kernels.llvm.simd import ROW_FLOATS, SHAPE
from fastw2v.kernels.llvm.tiles import DOT_COLUMNS, DOT_ROWS, SUM_ROWS, TILE_ROWS

ROOT = Path(__file__).resolve().parent.parent.parent
VECTOR_COUNTS = range(1, 42)  # lengths of rows, in cache lines: all remainders of every stripe
COUNTS = range(21)


# An intrinsic can only be called from compiled code.


@numba.njit
def address_of(matrix, row):
    return tiles.address_of(matrix, row)


@numba.njit
def dot_tile(rows_at, row, columns_at, column, row_bytes, scores, place, stride):
    tiles.dot_tile(rows_at, row, columns_at, column, row_bytes, scores, place, stride)


@numba.njit
def dots_of_row(row, columns_at, first, count, row_bytes, scores, place):
    tiles.dots_of_row(row, columns_at, first, count, row_bytes, scores, place)


@numba.njit
def set_sums(outputs_at, first, outputs, sources_at, sources, weights, place, source_stride,
             output_stride, row_bytes):  # fmt: skip
    tiles.set_sums(outputs_at, first, outputs, sources_at, sources, weights, place, source_stride,
                   output_stride, row_bytes)  # fmt: skip


@numba.njit
def add_sums(outputs_at, first, outputs, sources_at, sources, weights, place, source_stride,
             output_stride, row_bytes):  # fmt: skip
    tiles.add_sums(outputs_at, first, outputs, sources_at, sources, weights, place, source_stride,
                   output_stride, row_bytes)  # fmt: skip


@numba.njit
def set_row(output, sources_at, first, count, weights, place, stride, row_bytes):
    tiles.set_row(output, sources_at, first, count, weights, place, stride, row_bytes)


@numba.njit
def add_to_row(output, sources_at, first, count, weights, place, stride, row_bytes):
    tiles.add_to_row(output, sources_at, first, count, weights, place, stride, row_bytes)


@numba.njit
def copy_row_at(target, source, row_bytes):
    tiles.copy_row_at(target, source, row_bytes)


@numba.njit
def prefetch_row(address, row_bytes):
    tiles.prefetch_row(address, row_bytes)


@numba.njit(nogil=True)
def take_numbers(counters, numbers):
    for turn in range(len(numbers)):
        numbers[turn] = fetch_and_add(counters, 1, 3)


# --- rows with guards, and what float32 may do to sums of them ---


class Rows(NamedTuple):
    """Rows of `dim` floats in a wider matrix, so that they begin at any multiple of 4 bytes."""

    matrix: np.ndarray
    dim: int

    @property
    def values(self) -> np.ndarray:
        """float64 copy of the rows."""
        return self.matrix[:, : self.dim].astype(float)

    @property
    def row_bytes(self) -> int:
        return 4 * self.dim

    def at(self, ids) -> np.ndarray:
        """The addresses of these rows."""
        return self.matrix.ctypes.data + 4 * self.matrix.shape[1] * np.asarray(ids, np.int64)

    def assert_only_changed(self, before: np.ndarray, changed_ids) -> None:
        after, before = self.matrix.view(np.uint32).copy(), before.view(np.uint32)
        after[changed_ids, : self.dim] = before[changed_ids, : self.dim]
        assert np.array_equal(after, before), "a row or guard that is no output was written to"


def make_rows(rng, count: int, vectors: int) -> Rows:
    dim = vectors * ROW_FLOATS
    matrix = np.full((count, dim + 21), np.nan, np.float32)
    matrix[:, :dim] = rng.normal(size=(count, dim))
    return Rows(matrix, dim)


def drawn_ids(rng, rows: Rows, count: int) -> np.ndarray:
    """Rows in any order, some of them again."""
    return rng.integers(len(rows.matrix), size=count)


def guarded(count: int) -> np.ndarray:
    """NaN with a payload of its own, for what must keep its bits."""
    return np.full(count, 0x7FC12345, np.uint32).view(np.float32)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def assert_close(result: np.ndarray, expected: np.ndarray, tolerance: np.ndarray) -> None:
    assert np.array_equal(np.isnan(result), np.isnan(expected))
    close = np.abs(result - expected) <= tolerance
    assert np.all(close | np.isnan(expected))


def assert_dots(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> None:
    """n products and additions round n + 2 times at most, the last sums over lanes included."""
    bound = (rows.shape[1] + 2) * UNIT * (np.abs(rows) @ np.abs(columns).T)
    assert_close(scores, rows @ columns.T, bound)


def weighted_sums(weights: np.ndarray, sources: np.ndarray):
    """Σ_k weights[r, k]·sources[k], and the sum of the terms' absolute values."""
    return weights @ sources, np.abs(weights) @ np.abs(sources)


# --- addresses, copies, prefetches, counters ---


def test_address_of_is_where_numpy_has_the_row():
    matrix = np.zeros((7, 19), np.float32)
    for view in (matrix, matrix[2:], np.zeros((1, 16), np.float32)):
        for row in range(len(view)):
            assert address_of(view, row) == view[row:].ctypes.data


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((3, 16)), np.zeros((3, 16), np.int32), np.zeros(16, np.float32),
        np.zeros((2, 3, 16), np.float32), np.zeros((3, 16), np.float32, order="F"),
        np.zeros((3, 32), np.float32)[:, :16], np.zeros((6, 16), np.float32)[::2], 3,
    ],
)  # fmt: skip
def test_address_of_takes_nothing_but_matrices(matrix):
    with pytest.raises(TypingError, match="expected a two-dimensional float32 array in C order"):
        address_of(matrix, 0)


@pytest.mark.parametrize("vectors", VECTOR_COUNTS)
def test_copy_row_at(vectors):
    rows = make_rows(np.random.default_rng(vectors), 4, vectors)
    rows.matrix[1, ::3] = guarded(len(rows.matrix[1, ::3]))  # the bits of a NaN are copied too
    before = rows.matrix.copy()
    copy_row_at(*rows.at([2, 1]), rows.row_bytes)
    rows.assert_only_changed(before, [2])
    assert same_bits(rows.matrix[2, : rows.dim], before[1, : rows.dim])


def test_prefetch_row_changes_nothing_and_may_be_given_any_address():
    rows = make_rows(np.random.default_rng(1), 3, 5)
    before = rows.matrix.copy()
    for address in (int(rows.at([1])[0]), 0, 64):
        prefetch_row(address, rows.row_bytes)
    rows.assert_only_changed(before, [])
    (code,) = prefetch_row.inspect_llvm().values()
    assert "call void @llvm.prefetch" in code  # not dropped as being without effect


def test_fetch_and_add_gives_every_number_once_over_threads():
    counters = np.array([5, 7, 5], np.int64)
    numbers = np.zeros((3, 1_000_000), np.int64)
    take_numbers(counters.copy(), numbers[0, :1])  # compiled, so that the threads meet
    barrier = threading.Barrier(len(numbers))

    def take(row):
        barrier.wait()
        take_numbers(counters, row)

    threads = [threading.Thread(target=take, args=(row,)) for row in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.tolist() == [5, 7 + 3 * numbers.size, 5]
    assert np.array_equal(np.sort(numbers, axis=None), 7 + 3 * np.arange(numbers.size))
    (code,) = take_numbers.inspect_llvm().values()
    assert "atomicrmw add" in code  # on a busy machine the threads may not have met


# --- scores ---


def check_dot_tile(rng, rows: Rows, columns: Rows, stride: int) -> None:
    row, column, place = 3, 2, 5
    row_ids = drawn_ids(rng, rows, row + DOT_ROWS)
    column_ids = drawn_ids(rng, columns, column + DOT_COLUMNS)
    scores = guarded(place + DOT_ROWS * stride + 99)
    before = [array.copy() for array in (rows.matrix, columns.matrix, scores)]
    dot_tile(rows.at(row_ids), row, columns.at(column_ids), column, rows.row_bytes,
             scores, place, stride)  # fmt: skip
    targets = place + stride * np.arange(DOT_ROWS)[:, None] + np.arange(DOT_COLUMNS)
    assert_dots(scores[targets], rows.values[row_ids[row:]], columns.values[column_ids[column:]])
    scores[targets] = before[2][targets]
    for array, old in zip((rows.matrix, columns.matrix, scores), before, strict=True):
        assert same_bits(array, old)


@pytest.mark.parametrize("vectors", VECTOR_COUNTS)
def test_dot_tile(vectors):
    rng = np.random.default_rng(vectors)
    for stride in (4, 8, 12, 24, 68):  # pools are padded to fours
        check_dot_tile(rng, make_rows(rng, 9, vectors), make_rows(rng, 7, vectors), stride)


def test_dot_tile_of_rows_with_nan():
    """Exactly the scores of a row with NaN are NaN."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        rows, columns = make_rows(rng, 5, 3), make_rows(rng, 6, 3)
        rows.matrix[rng.integers(5), rng.integers(rows.dim)] = np.nan
        columns.matrix[rng.integers(6), rng.integers(rows.dim)] = np.nan
        check_dot_tile(rng, rows, columns, 8)


def check_dots_of_row(rng, rows: Rows, columns: Rows, count: int) -> None:
    first, place = 3, 5
    column_ids = drawn_ids(rng, columns, first + count)
    row_id = drawn_ids(rng, rows, 1)
    written = place + (count + 7) // 8 * 8
    scores = guarded(written + 9)
    before = [array.copy() for array in (rows.matrix, columns.matrix, scores)]
    dots_of_row(int(rows.at(row_id)[0]), columns.at(column_ids), first, count, rows.row_bytes,
                scores, place)  # fmt: skip
    assert_dots(
        scores[None, place : place + count], rows.values[row_id], columns.values[column_ids[first:]]
    )
    scores[place:written] = before[2][place:written]
    for array, old in zip((rows.matrix, columns.matrix, scores), before, strict=True):
        assert same_bits(array, old)


@pytest.mark.parametrize("count", COUNTS)
def test_dots_of_row(count):
    rng = np.random.default_rng(count)
    for vectors in VECTOR_COUNTS:
        check_dots_of_row(rng, make_rows(rng, 2, vectors), make_rows(rng, 6, vectors), count)
    rows, columns = make_rows(rng, 2, 2), make_rows(rng, 6, 2)
    columns.matrix[[1, 4], [0, 31]] = np.nan
    check_dots_of_row(rng, rows, columns, count)
    rows.matrix[:, 17] = np.nan
    check_dots_of_row(rng, rows, columns, count)


# --- sums ---


def check_sums(rng, add, sizes, by_source: bool, sources: Rows, outputs: Rows) -> None:
    """Outputs × sources of `sizes`; their weights lie output by output, or `by_source`.

    The table of outputs goes on with the last row to whole tiles, as the kernels' do.
    """
    first, place, (output_count, source_count) = 2, 7, sizes
    source_ids = drawn_ids(rng, sources, source_count)
    tiled = -(-output_count // SUM_ROWS) * SUM_ROWS
    output_ids = np.full(first + tiled + TILE_ROWS, len(outputs.matrix) - 1)
    output_ids[: first + output_count] = rng.integers(
        len(outputs.matrix) - 1, size=first + output_count
    )
    source_stride, output_stride = (tiled + 3, 1) if by_source else (1, source_count + 3)
    targets = place + output_stride * np.arange(tiled)[:, None]
    targets = targets + source_stride * np.arange(source_count)
    weights = guarded(place + (tiled + 3) * (source_count + 3))
    weights[targets] = rng.normal(size=targets.shape)

    values = outputs.values
    before = [array.copy() for array in (sources.matrix, outputs.matrix, weights)]
    (add_sums if add else set_sums)(
        outputs.at(output_ids), first, output_count, sources.at(source_ids), source_count,
        weights, place, source_stride, output_stride, sources.row_bytes,
    )  # fmt: skip
    own_ids = output_ids[first : first + tiled]
    outputs.assert_only_changed(before[1], own_ids)
    assert same_bits(sources.matrix, before[0])
    assert same_bits(weights, before[2])

    sums, sizes_of_terms = weighted_sums(weights[targets].astype(float), sources.values[source_ids])
    tolerance = np.zeros_like(values)
    if add:  # an addition to a row rounds, once for each time that it is in the table
        terms = np.abs(values)
        np.add.at(terms, own_ids, sizes_of_terms)
        np.add.at(values, own_ids, sums)
        times = np.bincount(own_ids, minlength=len(values))[:, None]
        tolerance = (source_count + 2 + times) * UNIT * terms
    else:  # the last one stays
        for row_id, total, size in zip(own_ids, sums, sizes_of_terms, strict=True):
            values[row_id], tolerance[row_id] = total, (source_count + 2) * UNIT * size
    assert_close(outputs.values, values, tolerance)


@pytest.mark.parametrize("by_source", [False, True])
@pytest.mark.parametrize("add", [False, True], ids=["set_sums", "add_sums"])
def test_sums_of_rows_of_every_length(add, by_source):
    rng = np.random.default_rng(1)
    for vectors in VECTOR_COUNTS:
        for sizes in ((1, 1), (9, 5), (vectors % 7, 16)):
            sources, outputs = make_rows(rng, 6, vectors), make_rows(rng, 6, vectors)
            check_sums(rng, add, sizes, by_source, sources, outputs)


@pytest.mark.parametrize("by_source", [False, True])
@pytest.mark.parametrize("add", [False, True], ids=["set_sums", "add_sums"])
def test_sums_of_any_numbers_of_rows(add, by_source):
    rng = np.random.default_rng(2)
    for output_count in COUNTS:
        for source_count in COUNTS:
            sources, outputs = make_rows(rng, 12, 3), make_rows(rng, 25, 3)
            check_sums(rng, add, (output_count, source_count), by_source, sources, outputs)


@pytest.mark.parametrize("add", [False, True], ids=["set_sums", "add_sums"])
def test_sums_with_nan(add):
    """NaN goes from a source to its column alone; in an output that is set it is overwritten."""
    rng = np.random.default_rng(3)
    for number in range(20):
        sources, outputs = make_rows(rng, 6, 5), make_rows(rng, 9, 5)
        sources.matrix[rng.integers(6), rng.integers(80)] = np.nan
        outputs.matrix[rng.integers(9), rng.integers(80)] = np.nan
        check_sums(rng, add, (7, 5), number % 2 == 0, sources, outputs)


def check_row_sum(rng, add, count: int, stride: int, sources: Rows, outputs: Rows) -> None:
    first, place = 2, 5
    source_ids = drawn_ids(rng, sources, first + count)
    output_id = drawn_ids(rng, outputs, 1)
    targets = place + stride * np.arange(count)
    weights = guarded(place + stride * count + 4)
    weights[targets] = rng.normal(size=len(np.unique(targets)))
    before = [array.copy() for array in (sources.matrix, outputs.matrix, weights)]
    expected, size = weighted_sums(
        weights[None, targets].astype(float), sources.values[source_ids[first:]]
    )
    if add:
        expected, size = (
            expected + outputs.values[output_id],
            size + np.abs(outputs.values[output_id]),
        )
    (add_to_row if add else set_row)(
        int(outputs.at(output_id)[0]), sources.at(source_ids), first, count, weights, place,
        stride, sources.row_bytes,
    )  # fmt: skip
    assert_close(outputs.values[output_id], expected, (count + 1) * UNIT * size)
    outputs.assert_only_changed(before[1], output_id)
    assert same_bits(sources.matrix, before[0])
    assert same_bits(weights, before[2])


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("add", [False, True], ids=["set_row", "add_to_row"])
def test_sums_into_one_row(add, count):
    rng = np.random.default_rng(count)
    for vectors in VECTOR_COUNTS:
        sources, outputs = make_rows(rng, 6, vectors), make_rows(rng, 3, vectors)
        check_row_sum(rng, add, count, vectors % 3, sources, outputs)
    for stride in (0, 1, 24):
        sources, outputs = make_rows(rng, 6, 2), make_rows(rng, 3, 2)
        sources.matrix[rng.integers(6), rng.integers(32)] = np.nan
        outputs.matrix[:, rng.integers(32)] = np.nan
        check_row_sum(rng, add, count, stride, sources, outputs)


# --- both shapes ---

AVX2 = "+64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sse,\
+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+xsave"
NARROW = """
import sys
import pytest
from fastw2v.kernels import primitives
kernel = primitives.kernel
# It is the shape that is tested, not the threads: they take half of the time to compile.
primitives.kernel = lambda *, parallel=False, inlined=False: kernel(inlined=inlined)
from fastw2v.kernels.llvm import simd
assert simd.SHAPE.lanes == 8, simd.SHAPE
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_shape_fills_the_vector_registers():
    """The lanes make a vector, and so do whole rows of a tile of scores; tables are padded."""
    assert SHAPE.lanes in (8, 16)
    assert ROW_FLOATS % SHAPE.lanes == 0
    assert (SHAPE.dots[0] * SHAPE.dots[1]) % SHAPE.lanes == 0
    assert all(TILE_ROWS % rows == 0 for rows in (*SHAPE.dots, SHAPE.sums[0]))


def test_narrow_shape_gives_the_same(tmp_path):
    """All tests here, and of the updates, compiled for a processor without AVX-512."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"no AVX2 code can run on {platform.machine()}: only its own shape is tested")
    features = llvmlite.binding.get_host_cpu_features()
    if not (features.get("avx2") and features.get("fma")):
        pytest.skip("this processor has no AVX2 or FMA: only its own shape is tested")
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": AVX2,
        "NUMBA_CACHE_DIR": str(tmp_path / "numba-cache"),
        "PYTHONPATH": str(ROOT),
    }
    blocks = "tests/kernels/test_negative_sampling.py::test_grid_of_edges_matches_twin"
    tests = ["tests/kernels/test_tiles.py", "tests/kernels/test_terms.py"]
    names = ("sgram_neg_update", "cbow_neg_update")
    tests += [f"{blocks}[{name}-{T}]" for name in names for T in (1, 7, 9, 33)]
    tests.append(
        "tests/kernels/test_negative_sampling.py::test_what_is_left_in_the_workspace_does_not_matter"
    )
    tests.append("tests/kernels/test_softmax.py::test_many_examples_match_twin")
    options = ["-p", "no:cacheprovider", "-k", "not narrow"]
    result = subprocess.run(
        [sys.executable, "-c", NARROW, *options, *tests],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout
