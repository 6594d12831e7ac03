"""The steps of `preprocess` over all units: spill, make the vocabulary, encode.

Text or tokens to a token store: streaming, in parallel, resumable.

Every unit of work is first *spilled* (tokenized into local ids, with counts), then the counts are
merged into the vocabulary, then every unit is *encoded* into its part of the store. The finished
steps lie in `STORE/unfinished/`, from where an interrupted run goes on.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastw2v.errors import DataError, FastW2VError, UsageError
from fastw2v.io import machine, storage
from fastw2v.io.store_directory import is_store
from fastw2v.options import make_config
from fastw2v.store.append import new_files, settings_of
from fastw2v.store.build import StoreBuild
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore, read_manifest
from fastw2v.store.jobs import UnitSettings, spill_digest
from fastw2v.store.made_vocabulary import COUNTING
from fastw2v.store.output import (
    Claim,
    claim_for_append,
    claim_output,
    discard_on_failure,
    lock_of,
    manifest_hash,
    remove_stale_work,
)
from fastw2v.store.phrases.build import RunJobs
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import Settings
from fastw2v.store.sources import TextSource, TokenArrays, TokenLists, refuse_changed, spill_tokens
from fastw2v.store.workers import Place, WorkerPool
from fastw2v.text.config import TEXT_OPTIONS, Layout
from fastw2v.text.custom_tokenizer import import_path
from fastw2v.text.inputs import Segment

Progress = Callable[[str, int, int], None]
Source = TextSource | TokenLists | TokenArrays


def build_units(
    build: StoreBuild,
    source: Source,
    unit_settings: UnitSettings,
    threads: int,
    progress: Progress | None,
) -> PreprocessReport:
    """Spill, make the vocabulary, encode."""
    text = source if isinstance(source, TextSource) else TextSource(0, 0, [])
    with WorkerPool(unit_settings, min(threads, build.num_open_units(len(text.units)))) as pool:
        if isinstance(source, TextSource):
            _spill(build, pool, source.units, progress)
        else:
            meter = _Meter(progress, "reading", {0: source.total_bytes})
            build.spilled[0] = spill_tokens(
                unit_settings, source, lambda count: meter.add(0, count)
            )
        vocabulary = build.make_vocabulary(_runner(build, pool, progress), threads)
        sizes = {unit: 4 * tokens for unit, tokens in build.spilled_tokens().items()}
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
                "spill": spill_digest(build.spilled[number]["tables"]),
            }
            for number in sorted(build.spilled)
            if number not in build.encoded
        ]
        build.encoded.update(pool.run(jobs, lambda unit, count: meter.add(unit, 4 * count)))
    files = text.files - build.left_out.num_files_of(text.units)
    return build.report(files=files, skipped_files=text.skipped_files)


def _runner(build: StoreBuild, pool: WorkerPool, progress: Progress | None) -> RunJobs:
    """Runs jobs of one kind; those that read spills tell how far they are."""

    def run_jobs(phase: str, jobs: list[dict[str, Any]]) -> dict[int, Any]:
        if phase == COUNTING:
            return pool.run(jobs, lambda number, count: None)
        tokens = build.spilled_tokens()
        meter = _Meter(progress, phase, {job["unit"]: 4 * tokens[job["unit"]] for job in jobs})
        return pool.run(jobs, lambda unit, count: meter.add(unit, 4 * count))

    return run_jobs


def _spill(
    build: StoreBuild, pool: WorkerPool, units: list[list[Segment]], progress: Progress | None
) -> None:
    """Spill all units; with `skip_bad_files` again without the files that cannot be read, and those
    units not at all of which nothing is left."""
    numbered = dict(enumerate(units, start=build.first_unit))
    sizes = {number: sum(s.end - s.start for s in unit) for number, unit in numbered.items()}
    meter = _Meter(progress, "reading", sizes, done=build.spilled)
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
            if number in build.spilled or not segments:
                continue
            jobs.append({
                "task": "spill",
                "unit": number,
                "name": ", ".join(s.name for s in segments[:3]),
                "segments": [s.as_json() for s in segments],
                "here": any(s.only_here for s in segments),
            })  # fmt: skip
        if not jobs:
            return
        build.spilled.update(pool.run(jobs, meter.add, failed if skip else None))
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


WORK_VERSION = 1  # of the files of unfinished work
_TEXT_PER_WORKER = 32_000_000  # bytes: what is read while a worker starts
_UNPACKED = 3  # bytes of text in one of a compressed file, about


def preprocess(
    inputs: Any,
    output: str | Path,
    *,
    threads: int | None = None,
    force: bool = False,
    append: bool = False,
    progress: Progress | None = None,
    tokens: Sequence[str] | None = None,
    layout: Layout | None = None,
    made_for: str | None = None,
    **options: Any,
) -> PreprocessReport:
    """Make the token store `output`.

    Args:
        inputs: a path, a directory, a glob pattern, a URL, "-" (standard input), or a list of
            those (text, UTF-8, a line a sequence, plain or compressed; JSON Lines, Parquet or a
            saved dataset with a column); or an iterable of token lists, consumed once; or a tuple
            (ids, offsets) of integer arrays with `tokens`: sentence k is
            ids[offsets[k]:offsets[k + 1]], each id a row of `tokens`.
        threads: processes for text (default: the usable cores, fewer for little text); the result
            is the same for any.
        force: replace a token store at `output`, which stays until the new one is complete. Nothing
            else is ever replaced.
        append: add text to the finished store `output`, with its vocabulary and cut as its text
            was (options that are given must be its own); files that are in it are left out. The
            store serves as it was until all is added.
        progress: called as progress(phase, done_bytes, total_bytes), total 0 where not known.
        tokens: the names of the ids of an (ids, offsets) input.
        layout: how work and files are cut.
        made_for: a note of the caller for the manifest (see `token_store.made_for_of`): what the
            store belongs to. It changes nothing else.
        options: those of `PreprocessConfig`.

    Raises:
        UsageError: wrong options, missing or empty input, an output that exists or at which another
            process is, a vocabulary that ends up with fewer than two words, a function for
            `tokenizer` that fails.
        DataError: input that is damaged or not text.
        ResourceError: the disk is full, `output` cannot be written, a worker process died. What was
            done is kept; the same call goes on from there (for text).
    """
    started = time.perf_counter()
    if not os.fspath(output):  # as a Path it would be the working directory
        raise UsageError("--output: empty path; name the token store to make")
    if append and (tokens is not None or layout is not None or made_for is not None):
        raise UsageError("append=True: leave out tokens, layout and made_for; they are the store's")
    _check_threads(threads)
    if append:
        if not Path(output).resolve().parent.is_dir():  # which to lock it would make
            read_manifest(Path(output))
        with lock_of(Path(output)):
            report = _append(inputs, Path(output), options, threads, force, progress)
        return dataclasses.replace(report, seconds=time.perf_counter() - started)
    config = make_config(PreprocessConfig, options)
    layout = layout or Layout()
    source = _source_of(inputs, tokens, layout, config)
    text = isinstance(source, TextSource)
    if not text and (useless := [name for name in TEXT_OPTIONS if name in options]):
        raise UsageError(f"{', '.join(useless)}: only for text; tokens are taken as they are")
    settings = Settings.of(config, text=text)
    plan = {**_plan(source, settings, layout), "made_for": made_for}
    with lock_of(Path(output)):
        with storage.reporting_os_errors(Path(output)):
            if isinstance(source, TextSource) and not force and is_store(Path(output)):
                refuse_changed(Path(output), source)
            claim = claim_output(Path(output), plan, force=force)
        build = StoreBuild(claim.build_at, settings, plan)
        unit_settings = _unit_settings(claim.build_at, settings, layout)
        report = _build(build, claim, source, unit_settings, threads, force, progress)
    return dataclasses.replace(report, seconds=time.perf_counter() - started)


def _append(
    inputs: Any,
    output: Path,
    options: dict[str, Any],
    threads: int | None,
    force: bool,
    progress: Progress | None,
) -> PreprocessReport:
    """Add the text of `inputs` to the store `output`; its report with what was added."""
    read_manifest(output)  # or it says what stands there instead
    base = manifest_hash(output)  # of the state that all that follows is about
    store = TokenStore.open(output)
    settings = settings_of(store, options)
    layout = Layout(**store.manifest["layout"])
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    listed = isinstance(inputs, (list, tuple))
    if not listed or not all(isinstance(item, (str, os.PathLike)) for item in inputs):
        raise UsageError("append=True is for text: name files, directories, patterns or URLs")
    text = TextSource.find(
        inputs,
        layout,
        settings.config,
        lambda files: new_files(store, files, layout, settings.config),
    )
    if not text.units and not text.bad_files:
        remove_stale_work(output)
        return PreprocessReport(**store.manifest["report"])
    plan = {**_plan(text, settings, layout), "made_for": store.manifest["made_for"]}
    plan["append_to"] = base
    with storage.reporting_os_errors(output):
        claim = claim_for_append(output, plan, force=force)
    build = StoreBuild(output, settings, plan, store.manifest)
    unit_settings = _unit_settings(output, settings, layout)
    return _build(build, claim, text, unit_settings, threads, force, progress)


def _build(
    build: StoreBuild,
    claim: Claim,
    source: Source,
    unit_settings: UnitSettings,
    threads: int | None,
    force: bool,
    progress: Progress | None,
) -> PreprocessReport:
    """Build the store at its claimed place, and bring it where it belongs; hold its lock."""
    text = isinstance(source, TextSource)
    if claim.resumed:
        build.take_over_units(source.units if isinstance(source, TextSource) else [], force=force)

    def can_go_on(error: BaseException) -> bool:
        if isinstance(error, DataError):  # without the bad file, or when it is whole
            return text and build.has_finished_units
        # After Ctrl-C or a full disk, but not with what the same call would meet again.
        return text and not isinstance(error, UsageError)

    with discard_on_failure(build.discard, can_go_on):
        build.begin()
        build.left_out.note(source.bad_files if isinstance(source, TextSource) else [])
        report = build_units(
            build, source, unit_settings, threads or _threads_for(source), progress
        )
        build.finish(report)
    claim.settle()
    if claim.build_at == claim.output:
        build.clean_up()
    return report


def _check_threads(threads: int | None) -> None:
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"--threads: {threads!r} is not a positive whole number")


def _threads_for(source: Source) -> int:
    """All cores, but for little text, which is done before workers have started."""
    if not isinstance(source, TextSource):
        return 1
    segments = [segment for unit in source.units for segment in unit]
    text = sum((_UNPACKED if s.compressed else 1) * (s.end - s.start) for s in segments)
    return max(1, min(machine.usable_cores(), text // _TEXT_PER_WORKER))


def _source_of(
    inputs: Any, tokens: Sequence[str] | None, layout: Layout, config: PreprocessConfig
) -> Source:
    """What `inputs` is: text files, token lists or arrays."""
    if tokens is not None:
        if not isinstance(inputs, tuple) or len(inputs) != 2:
            raise UsageError("tokens= goes with a tuple (ids, offsets) of integer arrays")
        return TokenArrays(*inputs, tokens)
    if isinstance(inputs, (str, os.PathLike)):
        return TextSource.find([inputs], layout, config)  # type: ignore[list-item]
    if isinstance(inputs, (list, tuple)):
        if all(isinstance(item, (str, os.PathLike)) for item in inputs):
            return TextSource.find(inputs, layout, config)
        if isinstance(inputs, tuple) and any(hasattr(item, "dtype") for item in inputs):
            raise UsageError("(ids, offsets) need tokens=, the list of names of the ids")
    if not isinstance(inputs, Iterable):
        raise UsageError(f"inputs: expected paths or an iterable of token lists, found {inputs!r}")
    return TokenLists(inputs)


def _plan(source: Source, settings: Settings, layout: Layout) -> dict[str, Any]:
    """All that decides the bytes of the store, but for the content of the input."""
    plan: dict[str, Any] = {
        "source": "text" if isinstance(source, TextSource) else "tokens",
        "settings": settings.values,
        "setting_files": settings.files,
        "layout": dataclasses.asdict(layout),
        "work_version": WORK_VERSION,
        "units": [],
    }
    if isinstance(source, TextSource):
        plan["units"] = [
            [{"name": s.name, "start": s.start, "end": s.end} for s in unit]
            for unit in source.units
        ]
    return plan


def _unit_settings(output: Path, settings: Settings, layout: Layout) -> UnitSettings:
    config = settings.config
    return UnitSettings(
        str(output),
        dataclasses.asdict(config),
        tuple(settings.stopwords),
        tuple(import_path(config.tokenizer)),
        layout,
    )


__all__ = ["PreprocessReport", "preprocess"]
