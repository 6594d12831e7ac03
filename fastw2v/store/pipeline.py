"""`preprocess`: text or tokens to a token store; streaming, in parallel, resumable.

    inputs      `sources` finds the files and cuts them into shards
    spills      each shard is tokenized into sequences of local ids, with counts (`jobs`, `spill`)
    vocabulary  the counts of all shards are added up, phrases are found (`counted_vocabulary`)
    parts       each shard becomes a part of the store, as ids of the vocabulary (`jobs`)
    manifest    written last (`build`)

Finished work is kept in `STORE/unfinished/`, from which an interrupted run is resumed.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fastw2v.errors import DataError, FastW2VError, UsageError
from fastw2v.io import machine, storage
from fastw2v.io.store_directory import UNFINISHED, is_store
from fastw2v.options import make_config
from fastw2v.store.append import new_files, settings_of
from fastw2v.store.build import StoreBuild, plan_of
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.counted_vocabulary import COUNTING
from fastw2v.store.format import TokenStore, read_manifest
from fastw2v.store.jobs import Job, SpillJob
from fastw2v.store.output import (
    Reservation,
    discard_on_failure,
    lock_of,
    manifest_hash,
    remove_stale_work,
    reserve_for_append,
    reserve_output,
)
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import Settings
from fastw2v.store.sources import TextSource, TokenArrays, TokenLists, refuse_changed, spill_tokens
from fastw2v.store.workers import WorkerPool
from fastw2v.text.config import TEXT_OPTIONS, Layout
from fastw2v.text.inputs import Segment

Progress: TypeAlias = Callable[[str, int, int], None]
Source: TypeAlias = TextSource | TokenLists | TokenArrays

_TEXT_PER_WORKER = 32_000_000  # bytes: what is read while a worker starts
_UNPACKED = 3  # bytes of text in one of a compressed file, about


@dataclasses.dataclass(frozen=True)
class _Run:
    """How a store is made; nothing of it changes the store."""

    threads: int | None
    force: bool
    progress: Progress | None

    def __post_init__(self) -> None:
        threads = self.threads
        if threads is None:
            return
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UsageError(f"`threads` must be a positive whole number; got {threads!r}")

    def meter(self, phase: str, total: int, done: int = 0) -> Callable[[int], None]:
        """Adds up what a phase has done, for `progress`: a function of further work done."""
        progress = self.progress or (lambda phase, done, total: None)
        progress(phase, done, total)

        def add(count: int) -> None:
            nonlocal done
            done += count
            progress(phase, done, total)

        return add


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
            (ids, offsets) of integer arrays with `tokens`: sequence k is
            ids[offsets[k]:offsets[k + 1]], each id a row of `tokens`.
        output: the directory of the token store to make; it is created, with its parents.
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
        made_for: a note of the caller for the manifest (see `store_directory.made_for_of`): what
            the store belongs to. It changes nothing else.
        options: those of `PreprocessConfig`.

    Raises:
        UsageError: wrong options, missing or empty input, an output that exists or at which another
            process is, a vocabulary that ends up with fewer than two words, a function for
            `tokenizer` that fails.
        DataError: input that is damaged or not text.
        ResourceError: the disk is full, `output` cannot be written, a worker process died. What was
            done is kept, and the same call resumes from there (for text).
    """
    started = time.perf_counter()
    if not os.fspath(output):  # as a Path it would be the working directory
        raise UsageError("`output`: empty path; name the token store to make")
    run, output = _Run(threads, force, progress), Path(output)
    if append:
        if tokens is not None or layout is not None or made_for is not None:
            raise UsageError("append=True: leave out tokens, layout, made_for; the store has them")
        report = _append(inputs, output, options, run)
        return dataclasses.replace(report, seconds=time.perf_counter() - started)
    config = make_config(PreprocessConfig, options)
    layout = layout or Layout()
    source = _source_of(inputs, tokens, layout, config)
    text = isinstance(source, TextSource)
    not_for_tokens = [name for name in TEXT_OPTIONS if name in options]
    if not text and not_for_tokens:
        raise UsageError(
            f"{', '.join(not_for_tokens)}: only for text; tokens are taken as they are"
        )
    settings = Settings.of(config, layout, text=text)
    shards = source.shards if isinstance(source, TextSource) else None
    plan = {**plan_of(settings, shards), "made_for": made_for}
    with lock_of(output):
        with storage.reporting_os_errors(output):
            if isinstance(source, TextSource) and not force and is_store(output):
                refuse_changed(output, source)
            reservation = reserve_output(output, plan, force=force)
        report = _build(StoreBuild(reservation.build_at, settings, plan), reservation, source, run)
    return dataclasses.replace(report, seconds=time.perf_counter() - started)


def _append(inputs: Any, output: Path, options: dict[str, Any], run: _Run) -> PreprocessReport:
    """Add the text of `inputs` to the store `output`; its report with what was added."""
    if not output.resolve().parent.is_dir():  # taking the lock would make it
        read_manifest(output)
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    with lock_of(output):
        read_manifest(output)  # an error that says what is at `output` instead
        base = manifest_hash(output)  # of the state that all that follows is about
        store = TokenStore.open(output)
        settings = settings_of(store, options)
        config, layout = settings.config, settings.layout
        listed = isinstance(inputs, (list, tuple))
        if not listed or not all(isinstance(item, (str, os.PathLike)) for item in inputs):
            raise UsageError("append=True is for text: name files, directories, patterns or URLs")
        source = TextSource.find(
            inputs, layout, config, lambda files: new_files(store, files, layout, config)
        )
        if not source.shards and not source.bad_files:
            remove_stale_work(output)
            return PreprocessReport(**store.manifest["report"])
        plan = {**plan_of(settings, source.shards), "made_for": store.manifest["made_for"]}
        plan["append_to"] = base
        with storage.reporting_os_errors(output):
            reservation = reserve_for_append(output, plan, force=run.force)
        return _build(StoreBuild(output, settings, plan, store.manifest), reservation, source, run)


def _build(
    build: StoreBuild, reservation: Reservation, source: Source, run: _Run
) -> PreprocessReport:
    """Shards to spills, vocabulary and parts; hold the lock of the store."""
    text = source if isinstance(source, TextSource) else TextSource(0, 0, [])
    if reservation.resumed:
        build.take_over(text.shards, force=run.force)

    def can_resume(error: BaseException) -> bool:
        if source is not text or isinstance(error, UsageError):  # the same call would meet it again
            return False
        # After Ctrl-C or a full disk; with bad text without the bad file, or when it is whole.
        return not isinstance(error, DataError) or build.has_finished_shards

    with discard_on_failure(build.discard, can_resume):
        build.begin()
        build.skipped.add_unread(text.bad_files)
        threads = run.threads or _threads_for(text)
        open_shards = len(text.shards) - len(build.encoded)
        with WorkerPool(build.store, build.settings, min(threads, open_shards)) as pool:
            if isinstance(source, TextSource):
                _spill(build, source, pool, run)
            else:
                meter = run.meter("reading", source.total_bytes)
                work = build.store / UNFINISHED
                build.spilled[0] = spill_tokens(work, build.settings, source, meter)
            tokens = {number: 4 * shard.tokens for number, shard in build.spilled.items()}

            def run_jobs(phase: str, jobs: Sequence[Job]) -> dict[int, Any]:
                if phase == COUNTING:
                    return pool.run(jobs)
                meter = run.meter(phase, sum(tokens[job.number] for job in jobs))
                return pool.run(jobs, lambda count: meter(4 * count))

            build.make_vocabulary(run_jobs, threads)
            done = sum(tokens[number] for number in build.encoded)
            meter = run.meter("writing", sum(tokens.values()), done)
            build.encoded |= pool.run(build.encode_jobs(), lambda count: meter(4 * count))
        files = text.files - build.skipped.num_files_of(text.shards)
        report = build.report(files=files, skipped_files=text.skipped_files)
        build.finish(report)
    reservation.move_into_place()
    if reservation.build_at == reservation.output:
        build.clean_up()
    return report


def _spill(build: StoreBuild, source: TextSource, pool: WorkerPool, run: _Run) -> None:
    """Spill all shards; with `skip_bad_files` again without the files that cannot be read."""
    sizes = {
        number: sum(segment.end - segment.start for segment in shard)
        for number, shard in build.numbered(source.shards).items()
    }
    done = sum(sizes[number] for number in build.spilled)
    meter = run.meter("reading", sum(sizes.values()), done)

    def skip(job: Job, error: FastW2VError, segment: int) -> None:
        assert isinstance(job, SpillJob)
        bad[job.number] = job.segments[segment], error

    failed = skip if build.settings.config.skip_bad_files else None
    while jobs := build.spill_jobs(source.shards):
        bad: dict[int, tuple[Segment, FastW2VError]] = {}
        build.spilled |= pool.run(jobs, meter, failed)
        for _, (segment, error) in sorted(bad.items()):
            build.skipped.add(segment, error)


def _threads_for(source: TextSource) -> int:
    """All cores, but fewer for little text, which is read before workers have started."""
    segments = [segment for shard in source.shards for segment in shard]
    text = sum((_UNPACKED if s.file.compression else 1) * (s.end - s.start) for s in segments)
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
        raise UsageError(f"inputs must be paths or an iterable of token lists; got {inputs!r}")
    return TokenLists(inputs)
