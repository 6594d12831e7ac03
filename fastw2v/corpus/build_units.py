"""The steps of `preprocess` over all units: spool, make the vocabulary, encode."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastw2v.corpus.inputs import Segment
from fastw2v.corpus.last_place import Place
from fastw2v.corpus.phrase_build import RunJobs
from fastw2v.corpus.report import PreprocessReport
from fastw2v.corpus.store_build import StoreBuild
from fastw2v.corpus.store_vocabulary import COUNTING
from fastw2v.corpus.text_source import TextSource
from fastw2v.corpus.token_source import TokenArrays, TokenLists, spool_tokens
from fastw2v.corpus.units import UnitSettings, spool_digest
from fastw2v.corpus.worker_pool import WorkerPool
from fastw2v.errors import FastW2VError

Progress = Callable[[str, int, int], None]
Source = TextSource | TokenLists | TokenArrays


def build_units(
    build: StoreBuild,
    source: Source,
    unit_settings: UnitSettings,
    workers: int,
    progress: Progress | None,
) -> PreprocessReport:
    """Spool, make the vocabulary, encode."""
    text = source if isinstance(source, TextSource) else TextSource(0, 0, [])
    with WorkerPool(unit_settings, min(workers, build.num_open_units(len(text.units)))) as pool:
        if isinstance(source, TextSource):
            _spool(build, pool, source.units, progress)
        else:
            meter = _Meter(progress, "reading", {0: source.total_bytes})
            build.spooled[0] = spool_tokens(
                unit_settings, source, lambda count: meter.add(0, count)
            )
        vocabulary = build.make_vocabulary(_runner(build, pool, progress), workers)
        sizes = {unit: 4 * tokens for unit, tokens in build.spooled_tokens().items()}
        meter = _Meter(progress, "writing", sizes, done=build.encoded)
        jobs = [
            {
                "task": "encode",
                "unit": number,
                "name": build.name_of(number),
                "tables": build.num_tables(number),
                "vocabulary_hash": vocabulary.hash,
                "phrases": build.phrases_of_jobs,
                "phrases_id": build.phrases_id,
                "spool": spool_digest(build.spooled[number]["tables"]),
            }
            for number in sorted(build.spooled)
            if number not in build.encoded
        ]
        build.encoded.update(pool.run(jobs, lambda unit, count: meter.add(unit, 4 * count)))
    files = text.files - build.left_out.num_files_of(text.units)
    return build.report(files=files, skipped_files=text.skipped_files)


def _runner(build: StoreBuild, pool: WorkerPool, progress: Progress | None) -> RunJobs:
    """Runs jobs of one kind; those that read spools tell how far they are."""

    def run_jobs(phase: str, jobs: list[dict[str, Any]]) -> dict[int, Any]:
        if phase == COUNTING:
            return pool.run(jobs, lambda number, count: None)
        tokens = build.spooled_tokens()
        meter = _Meter(progress, phase, {job["unit"]: 4 * tokens[job["unit"]] for job in jobs})
        return pool.run(jobs, lambda unit, count: meter.add(unit, 4 * count))

    return run_jobs


def _spool(
    build: StoreBuild, pool: WorkerPool, units: list[list[Segment]], progress: Progress | None
) -> None:
    """Spool all units; with `skip_bad_files` again without the files that cannot be read, and those
    units not at all of which nothing is left."""
    numbered = dict(enumerate(units, start=build.first_unit))
    sizes = {number: sum(s.end - s.start for s in unit) for number, unit in numbered.items()}
    meter = _Meter(progress, "reading", sizes, done=build.spooled)
    bad: dict[int, tuple[Segment, FastW2VError]] = {}

    def failed(number: int, error: FastW2VError, place: Place | None) -> None:
        if place is None:  # it failed before it began to read
            raise error
        bad[number] = build.left_out.without(numbered[number])[place[0]], error

    skip = build.skips_bad_files
    while True:
        jobs = []
        for number, unit in numbered.items():
            segments = build.left_out.without(unit)
            if number in build.spooled or not segments:
                continue
            jobs.append({
                "task": "spool",
                "unit": number,
                "name": ", ".join(s.name for s in segments[:3]),
                "segments": [s.as_json() for s in segments],
                "here": any(s.only_here for s in segments),
            })  # fmt: skip
        if not jobs:
            return
        build.spooled.update(pool.run(jobs, meter.add, failed if skip else None))
        build.leave_out([bad[number] for number in sorted(bad)], numbered)
        bad.clear()


class _Meter:
    """Adds up the progress of units for the caller's callback."""

    def __init__(
        self,
        progress: Progress | None,
        phase: str,
        sizes: Mapping[int, int],
        done: Iterable[int] = (),
    ) -> None:
        self._progress = progress
        self._phase = phase
        self._total = sum(sizes.values())
        self._done = sum(sizes[unit] for unit in done)
        self.add(0, 0)

    def add(self, unit: int, count: int) -> None:
        """`count` more bytes of `unit` are done."""
        self._done += count
        if self._progress is not None:
            self._progress(self._phase, self._done, self._total)
