"""Text or tokens to a token store: streaming, in parallel, resumable.

Every unit of work is first *spooled* (tokenised into local ids, with counts), then the counts are
merged into the vocabulary, then every unit is *encoded* into its part of the store. The finished
steps lie in `STORE/unfinished/`, from where an interrupted run goes on.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fastw2v import machine, storage
from fastw2v.corpus.config import TEXT_OPTIONS, Layout, PreprocessConfig
from fastw2v.corpus.report import PreprocessReport
from fastw2v.corpus.settings import Settings
from fastw2v.corpus.shards import Segment, find_files, plan_units
from fastw2v.corpus.store_build import StoreBuild
from fastw2v.corpus.store_place import claim_output, discard_on_failure
from fastw2v.corpus.token_source import TokenArrays, TokenLists, spool_tokens
from fastw2v.corpus.token_store import TokenStore
from fastw2v.corpus.units import UnitSettings
from fastw2v.corpus.worker_pool import WorkerPool
from fastw2v.errors import UsageError
from fastw2v.options import make_config

Progress = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class _Text:
    """Text files, cut into units."""

    files: int
    skipped_files: int
    units: list[list[Segment]]

    @classmethod
    def find(cls, inputs: Iterable[str | Path], layout: Layout) -> _Text:
        files, skipped = find_files(inputs)
        return cls(len(files), skipped, plan_units(files, layout))


def preprocess(
    inputs: Any,
    output: str | Path,
    *,
    workers: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    tokens: Sequence[str] | None = None,
    layout: Layout | None = None,
    made_for: str | None = None,
    **options: Any,
) -> PreprocessReport:
    """Make the token store `output`.

    Args:
        inputs: a path, a directory, a glob pattern, or a list of those (plain text or .gz, UTF-8,
            a line a sequence); or an iterable of token lists, consumed once; or a tuple
            (ids, offsets) of integer arrays with `tokens`: sentence k is
            ids[offsets[k]:offsets[k + 1]], each id a row of `tokens`.
        workers: processes for text (default: the usable cores); the result is the same for any.
        force: replace a token store at `output`, which stays until the new one is complete. Nothing
            else is ever replaced.
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
    config = make_config(PreprocessConfig, options)
    layout = layout or Layout()
    count = _workers(workers)
    source = _source_of(inputs, tokens, layout)
    text = isinstance(source, _Text)
    if not text and (useless := [name for name in TEXT_OPTIONS if name in options]):
        raise UsageError(f"{', '.join(useless)}: only for text; tokens are taken as they are")
    settings = Settings.of(config, text=text)
    plan = {**_plan(source, settings, layout), "made_for": made_for}
    with storage.reporting_os_errors(Path(output)):
        claim = claim_output(Path(output), plan, force=force)
    place = claim.build_at
    build = StoreBuild(place, settings, plan)
    with build.locked():
        if claim.resumed:
            build.take_over_units(source.units if isinstance(source, _Text) else [], force=force)
        with discard_on_failure(place, keep_unfinished=text):
            build.begin()
            report = _run(build, source, _unit_settings(place, settings, layout), count, progress)
            build.finish(report)
        claim.settle()
    if place == claim.output:
        build.clean_up()
    return dataclasses.replace(report, seconds=time.perf_counter() - started)


def _workers(workers: int | None) -> int:
    if workers is None:
        return machine.usable_cores()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise UsageError(f"--workers: {workers!r} is not a positive whole number")
    return workers


def _source_of(
    inputs: Any, tokens: Sequence[str] | None, layout: Layout
) -> _Text | TokenLists | TokenArrays:
    """What `inputs` is: text files, token lists or arrays."""
    if tokens is not None:
        if not isinstance(inputs, tuple) or len(inputs) != 2:
            raise UsageError("tokens= goes with a tuple (ids, offsets) of integer arrays")
        return TokenArrays(*inputs, tokens)
    if isinstance(inputs, (str, os.PathLike)):
        return _Text.find([inputs], layout)  # type: ignore[list-item]
    if isinstance(inputs, (list, tuple)):
        if all(isinstance(item, (str, os.PathLike)) for item in inputs):
            return _Text.find(inputs, layout)
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
        store=str(output),
        stopwords=tuple(settings.stopwords),
        tokenizer=config.tokenizer,
        lowercase=config.lowercase,
        strip_accents=config.strip_accents,
        errors=config.errors,
        min_sequence_length=config.min_sequence_length,
        max_sequence_length=config.max_sequence_length,
        layout=layout,
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
            sizes = [sum(s.end - s.start for s in unit) for unit in source.units]
            meter = _Meter(progress, "reading", sizes, done=build.spooled)
            jobs = [
                {
                    "task": "spool",
                    "unit": number,
                    "name": ", ".join(s.name for s in unit[:3]),
                    "segments": [s.as_json() for s in unit],
                }
                for number, unit in enumerate(source.units)
                if number not in build.spooled
            ]
            build.spooled.update(pool.run(jobs, meter.add))
        else:
            meter = _Meter(progress, "reading", [source.total_bytes])
            build.spooled[0] = spool_tokens(
                unit_settings, source, lambda count: meter.add(0, count)
            )
        counted = build.make_vocabulary()
        sizes = [4 * tokens for tokens in build.spooled_tokens()]
        meter = _Meter(progress, "writing", sizes, done=build.encoded)
        jobs = [
            {
                "task": "encode",
                "unit": number,
                "name": build.name_of(number),
                "tables": build.spooled[number]["tables"],
            }
            for number in sorted(build.spooled)
            if number not in build.encoded
        ]
        build.encoded.update(pool.run(jobs, lambda unit, count: meter.add(unit, 4 * count)))
    return build.report(counted, files=text.files, skipped_files=text.skipped_files)


class _Meter:
    """Adds up the progress of units for the caller's callback."""

    def __init__(
        self,
        progress: Progress | None,
        phase: str,
        sizes: Sequence[int],
        done: Iterable[int] = (),
    ) -> None:
        self._progress = progress
        self._phase = phase
        self._total = sum(sizes)
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
    if store.manifest["source"] != "text":
        return False
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    units = _Text.find(paths, Layout(**store.manifest["layout"])).units
    segments = [segment for unit in units for segment in unit]
    recorded = store.manifest["inputs"]
    if [(s.name, s.start, s.end) for s in segments] != [
        (entry["name"], entry["start"], entry["end"]) for entry in recorded
    ]:
        return False
    return all(
        storage.sha256_of(segment.path, segment.start, segment.end) == entry["sha256"]
        for segment, entry in zip(segments, recorded, strict=True)
    )


__all__ = ["PreprocessReport", "inputs_unchanged", "preprocess"]
