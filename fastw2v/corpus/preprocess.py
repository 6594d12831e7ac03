"""Text or tokens to a token store: streaming, in parallel, resumable.

Every unit of work is first *spooled* (tokenised into local ids, with counts), then the counts are
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

from fastw2v import machine, storage
from fastw2v.corpus.append import new_files, settings_of
from fastw2v.corpus.config import READ_OPTIONS, TEXT_OPTIONS, Layout, PreprocessConfig
from fastw2v.corpus.inputs import (
    BadFiles,
    InputFile,
    ReadOptions,
    Segment,
    find_files,
    is_unchanged,
    plan_units,
)
from fastw2v.corpus.named_tokenizer import import_path
from fastw2v.corpus.phrase_build import RunJobs
from fastw2v.corpus.report import PreprocessReport
from fastw2v.corpus.settings import Settings
from fastw2v.corpus.store_build import StoreBuild
from fastw2v.corpus.store_layout import is_store
from fastw2v.corpus.store_place import (
    Claim,
    claim_for_append,
    claim_output,
    discard_on_failure,
    manifest_hash,
)
from fastw2v.corpus.text_codes import Place
from fastw2v.corpus.token_source import TokenArrays, TokenLists, spool_tokens
from fastw2v.corpus.token_store import TokenStore, read_manifest
from fastw2v.corpus.units import UnitSettings
from fastw2v.corpus.worker_pool import WorkerPool
from fastw2v.errors import FastW2VError, UsageError
from fastw2v.options import make_config

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class _Text:
    """Text files, cut into units."""

    files: int
    skipped_files: int
    units: list[list[Segment]]
    bad_files: BadFiles = dataclasses.field(default_factory=list)  # left out before they are read

    @classmethod
    def find(
        cls,
        inputs: Iterable[str | Path],
        layout: Layout,
        config: PreprocessConfig,
        choose: Callable[[list[InputFile]], list[InputFile]] = lambda files: files,
    ) -> _Text:
        """The text of `inputs`, of the files that `choose` leaves."""
        options, bad = ReadOptions.of(config), BadFiles()
        files, skipped = find_files(inputs, options, bad if config.skip_bad_files else None)
        files = choose(files)
        return cls(len(files), skipped, plan_units(files, layout, options), bad)


def preprocess(
    inputs: Any,
    output: str | Path,
    *,
    workers: int | None = None,
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
        workers: processes for text (default: the usable cores); the result is the same for any.
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
        UsageError: wrong options, missing or empty input, an output that exists, a vocabulary that
            ends up with fewer than two words.
        DataError: input that is damaged or not text.
        ResourceError: the disk is full, `output` cannot be written, a worker process died. What was
            done is kept; the same call goes on from there (for text).
    """
    started = time.perf_counter()
    if not os.fspath(output):  # as a Path it would be the working directory
        raise UsageError("--output: empty path; name the token store to make")
    count = _workers(workers)
    if append:
        report = _append(inputs, Path(output), options, count, force, progress)
        return dataclasses.replace(report, seconds=time.perf_counter() - started)
    config = make_config(PreprocessConfig, options)
    layout = layout or Layout()
    source = _source_of(inputs, tokens, layout, config)
    text = isinstance(source, _Text)
    if not text and (
        useless := [name for name in (*TEXT_OPTIONS, *READ_OPTIONS) if name in options]
    ):
        raise UsageError(f"{', '.join(useless)}: only for text; tokens are taken as they are")
    settings = Settings.of(config, text=text)
    plan = {**_plan(source, settings, layout), "made_for": made_for}
    with storage.reporting_os_errors(Path(output)):
        if isinstance(source, _Text) and not force and is_store(Path(output)):
            _refuse_changed(Path(output), source)
        claim = claim_output(Path(output), plan, force=force)
    build = StoreBuild(claim.build_at, settings, plan)
    unit_settings = _unit_settings(claim.build_at, settings, layout)
    report = _build(build, claim, source, unit_settings, count, force, progress)
    return dataclasses.replace(report, seconds=time.perf_counter() - started)


def _append(
    inputs: Any,
    output: Path,
    options: dict[str, Any],
    workers: int,
    force: bool,
    progress: Progress | None,
) -> PreprocessReport:
    """Add the text of `inputs` to the store `output`; its report with what was added."""
    store = TokenStore.open(output)
    settings = settings_of(store, options)
    layout = Layout(**store.manifest["layout"])
    if isinstance(inputs, (str, os.PathLike)):
        inputs = [inputs]
    if not all(isinstance(item, (str, os.PathLike)) for item in inputs):
        raise UsageError("append=True is for text: name files, directories, patterns or URLs")
    text = _Text.find(
        inputs,
        layout,
        settings.config,
        lambda files: new_files(store, files, layout, ReadOptions.of(settings.config)),
    )
    if not text.units:
        return PreprocessReport(**store.manifest["report"])
    plan = {**_plan(text, settings, layout), "made_for": store.manifest["made_for"]}
    plan["append_to"] = manifest_hash(output)
    with storage.reporting_os_errors(output):
        claim = claim_for_append(output, plan, force=force)
    build = StoreBuild(output, settings, plan, store.manifest)
    unit_settings = _unit_settings(output, settings, layout)
    return _build(build, claim, text, unit_settings, workers, force, progress)


def _build(
    build: StoreBuild,
    claim: Claim,
    source: _Text | TokenLists | TokenArrays,
    unit_settings: UnitSettings,
    workers: int,
    force: bool,
    progress: Progress | None,
) -> PreprocessReport:
    """Build the store at its claimed place, and bring it where it belongs."""
    text = isinstance(source, _Text)
    with build.locked():
        if claim.resumed:
            build.take_over_units(source.units if isinstance(source, _Text) else [], force=force)
        with discard_on_failure(build.discard, keep_unfinished=text):
            build.begin()
            build.note_bad(source.bad_files if isinstance(source, _Text) else [])
            report = _run(build, source, unit_settings, workers, progress)
            build.finish(report)
        claim.settle()
    if claim.build_at == claim.output:
        build.clean_up()
    return report


def _workers(workers: int | None) -> int:
    if workers is None:
        return machine.usable_cores()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"--workers: {workers!r} is not a positive whole number")
    return workers


def _source_of(
    inputs: Any, tokens: Sequence[str] | None, layout: Layout, config: PreprocessConfig
) -> _Text | TokenLists | TokenArrays:
    """What `inputs` is: text files, token lists or arrays."""
    if tokens is not None:
        if not isinstance(inputs, tuple) or len(inputs) != 2:
            raise UsageError("tokens= goes with a tuple (ids, offsets) of integer arrays")
        return TokenArrays(*inputs, tokens)
    if isinstance(inputs, (str, os.PathLike)):
        return _Text.find([inputs], layout, config)  # type: ignore[list-item]
    if isinstance(inputs, (list, tuple)):
        if all(isinstance(item, (str, os.PathLike)) for item in inputs):
            return _Text.find(inputs, layout, config)
        if isinstance(inputs, tuple) and any(hasattr(item, "dtype") for item in inputs):
            raise UsageError("(ids, offsets) need tokens=, the list of names of the ids")
    if not isinstance(inputs, Iterable):
        raise UsageError(f"inputs: expected paths or an iterable of token lists, found {inputs!r}")
    return TokenLists(inputs)


def _plan(
    source: _Text | TokenLists | TokenArrays, settings: Settings, layout: Layout
) -> dict[str, Any]:
    """All that decides the bytes of the store, but for the content of the input."""
    plan: dict[str, Any] = {
        "source": "text" if isinstance(source, _Text) else "tokens",
        "settings": settings.values,
        "setting_files": settings.files,
        "layout": dataclasses.asdict(layout),
        "units": [],
    }
    if isinstance(source, _Text):
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


def _run(
    build: StoreBuild,
    source: _Text | TokenLists | TokenArrays,
    unit_settings: UnitSettings,
    workers: int,
    progress: Progress | None,
) -> PreprocessReport:
    """Spool, make the vocabulary, encode."""
    text = source if isinstance(source, _Text) else _Text(0, 0, [])
    with WorkerPool(unit_settings, min(workers, build.num_open_units(len(text.units)))) as pool:
        if isinstance(source, _Text):
            _spool(build, pool, source.units, progress)
        else:
            meter = _Meter(progress, "reading", {0: source.total_bytes})
            build.spooled[0] = spool_tokens(
                unit_settings, source, lambda count: meter.add(0, count)
            )
        vocabulary = build.make_vocabulary(_runner(pool, progress), workers)
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
            }
            for number in sorted(build.spooled)
            if number not in build.encoded
        ]
        build.encoded.update(pool.run(jobs, lambda unit, count: meter.add(unit, 4 * count)))
    return build.report(files=text.files, skipped_files=text.skipped_files)


def _runner(pool: WorkerPool, progress: Progress | None) -> RunJobs:
    """Runs jobs of one kind on all units; progress is told in units."""

    def run_jobs(phase: str, jobs: list[dict[str, Any]]) -> dict[int, Any]:
        return pool.run(jobs, lambda unit, count: None)

    return run_jobs


def _spool(
    build: StoreBuild, pool: WorkerPool, units: list[list[Segment]], progress: Progress | None
) -> None:
    """Spool all units; with `skip_bad_files` again without the files that cannot be read."""
    numbered = dict(enumerate(units, start=build.first_unit))
    sizes = {number: sum(s.end - s.start for s in unit) for number, unit in numbered.items()}
    meter = _Meter(progress, "reading", sizes, done=build.spooled)
    bad: list[tuple[Segment, FastW2VError]] = []

    def failed(number: int, error: FastW2VError, place: Place | None) -> None:
        if place is None:  # it failed before it began to read
            raise error
        bad.append((build.good_segments(numbered[number])[place[0]], error))

    skip = build.skips_bad_files
    while open_units := [number for number in numbered if number not in build.spooled]:
        jobs = []
        for number in open_units:
            segments = build.good_segments(numbered[number])
            jobs.append({
                "task": "spool",
                "unit": number,
                "name": ", ".join(s.name for s in segments[:3]),
                "segments": [s.as_json() for s in segments],
                "here": any(s.only_here for s in segments),
            })  # fmt: skip
        build.spooled.update(pool.run(jobs, meter.add, failed if skip else None))
        build.leave_out(bad, numbered)
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


def inputs_unchanged(store: TokenStore, inputs: str | Path | Iterable[str | Path]) -> bool:
    """Whether `store` was made from these text files as they are now (their bytes are read).

    Raises:
        UsageError, DataError: the inputs are missing or not text.
    """
    manifest = store.manifest
    if manifest["source"] != "text":
        return False
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    options = ReadOptions.from_settings(manifest["settings"])
    skips = manifest["settings"].get("skip_bad_files", False)
    left_out = {file["name"] for file in manifest.get("bad_files", [])}
    files, _ = find_files(paths, options, BadFiles() if skips else None)
    files = [file for file in files if file.name not in left_out]
    units = plan_units(files, Layout(**manifest["layout"]), options)
    segments = [segment for unit in units for segment in unit]
    recorded = manifest["inputs"]
    if [(s.name, s.start, s.end) for s in segments] != [
        (entry["name"], entry["start"], entry["end"]) for entry in recorded
    ]:
        return False
    return all(map(is_unchanged, segments, recorded))


def _refuse_changed(output: Path, text: _Text) -> None:
    """Say of a finished store at `output` what of its text has changed, or is new.

    Raises:
        UsageError: something is.
    """
    recorded = read_manifest(output)["inputs"]
    entries = {(entry["name"], entry["start"], entry["end"]): entry for entry in recorded}
    names = {entry["name"] for entry in recorded}
    for segment in (segment for unit in text.units for segment in unit):
        if segment.name not in names:
            raise UsageError(
                f"{output}: a token store is there already, without {segment.name}; add it with "
                "--append, or make the store anew with --force"
            )
        entry = entries.get((segment.name, segment.start, segment.end))
        if entry is None or not is_unchanged(segment, entry):
            raise UsageError(
                f"{segment.shown}: has changed since the token store {output} was made of it; make "
                "the store anew with --force"
            )


__all__ = ["PreprocessReport", "inputs_unchanged", "preprocess"]
