"""A token store in the making: its plan, finished shards, skipped files, vocabulary, manifest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastw2v.errors import DataError, FastW2VError, UsageError
from fastw2v.io import storage
from fastw2v.io.store_directory import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    PHRASES,
    PLAN,
    TOKENS,
    UNFINISHED,
    VOCABULARY,
    made_for_of,
    part_name,
)
from fastw2v.store.append import added_up
from fastw2v.store.counted_vocabulary import CountedVocabulary, RunJobs, make_vocabulary
from fastw2v.store.jobs import (
    EncodedShard,
    EncodeJob,
    SpilledShard,
    SpillJob,
    read_result,
    write_result,
)
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import Settings
from fastw2v.store.spill import is_intact
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.find import BadFiles
from fastw2v.text.inputs import LOCAL, ReadCounts, Segment
from fastw2v.text.streams import is_unchanged

_BAD_FILES = "bad-files.json"
_WORK_VERSION = 2  # of the files of unfinished work


def plan_of(settings: Settings, shards: Sequence[Sequence[Segment]] | None) -> dict[str, Any]:
    """All that decides the bytes of the store, but for the content of the input.

    Args:
        shards: of text; None for tokens.
    """
    return {
        "source": "tokens" if shards is None else "text",
        "settings": settings.values,
        "setting_files": settings.files,
        "layout": dataclasses.asdict(settings.layout),
        "work_version": _WORK_VERSION,
        "shards": [
            [{"name": s.name, "start": s.start, "end": s.end} for s in shard]
            for shard in shards or []
        ],
    }


class SkippedFiles:
    """The files that a store leaves out because they cannot be read (`skip_bad_files`).

    They are remembered in the directory `work` of the unfinished work.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / _BAD_FILES
        self._bad: dict[str, dict[str, str]] = {}  # name and reason, by path

    def load(self) -> None:
        """Skip what an earlier run has skipped."""
        self._bad = read_result(self._path) or {}

    def add_unread(self, files: BadFiles) -> None:
        """Add files that are skipped before they are read."""
        for path, name, error in files:
            self._bad[os.path.abspath(path)] = _entry(name, path, error)

    def add(self, segment: Segment, error: FastW2VError) -> None:
        """Skip the file of this segment from now on."""
        self._bad.setdefault(_key(segment), _entry(segment.name, segment.shown, error))
        write_result(self._path, self._bad)

    def without(self, shard: Iterable[Segment]) -> list[Segment]:
        """The segments of a shard whose files are not skipped."""
        return [segment for segment in shard if _key(segment) not in self._bad]

    def num_files_of(self, shards: Iterable[Iterable[Segment]]) -> int:
        """How many of the files of `shards` are skipped."""
        return len({_key(segment) for shard in shards for segment in shard} & self._bad.keys())

    def listed(self, before: Iterable[dict[str, str]], read: Iterable[str]) -> list[dict[str, str]]:
        """All skipped files, name and reason, by name.

        Args:
            before: those of the store to which text is added.
            read: the names of the files that are added; one of `before` with such a name is whole
                now.
        """
        now = list(self._bad.values())
        settled = {*read, *(entry["name"] for entry in now)}
        old = [entry for entry in before if entry["name"] not in settled]
        return sorted([*old, *now], key=lambda entry: (entry["name"], entry["reason"]))


def _entry(name: str, shown: str, error: FastW2VError) -> dict[str, str]:
    return {"name": name, "reason": " ".join(str(error).split()).replace(shown, name)}


def _key(segment: Segment) -> str:
    """What a file is remembered by, from wherever it is named."""
    path = segment.file.path
    return os.path.abspath(path) if segment.file.location == LOCAL else str(path)


class StoreBuild:
    """The state of one build.

    Args:
        base: the manifest of the store to which parts are added; None: a new store is made.

    Attributes:
        store: where the store is built.
        skipped: the files that cannot be read.
        spilled: shards that are spilled, by number.
        encoded: shards whose parts are written, by number. While parts are written, a shard and its
            part have the same number; shards of which nothing is left have no part (see
            `_close_gaps`).
    """

    def __init__(
        self,
        store: Path,
        settings: Settings,
        plan: dict[str, Any],
        base: dict[str, Any] | None = None,
    ) -> None:
        self.store, self.settings = store, settings
        self._plan, self._base = plan, base
        self._work = store / UNFINISHED
        self._first_shard = len(base["parts"]) if base else 0
        self._counted: CountedVocabulary
        self.skipped = SkippedFiles(self._work)
        self.spilled: dict[int, SpilledShard] = {}
        self.encoded: dict[int, EncodedShard] = {}

    def begin(self) -> None:
        """Write the plan, and remove what a killed run left half-written."""
        for directory in (self.store, self._work, self.store / TOKENS):
            storage.remove_leftovers(directory)
        if self._base is not None:
            self._remove_parts_but(self._parts_written())
        elif (self.store / MANIFEST).exists():  # finished, and killed before it was in its place
            storage.remove_file(self.store / MANIFEST)
        path = self._work / PLAN
        if path.exists() and made_for_of(self.store) != self._plan["made_for"]:
            self._plan["made_for"] = None  # begun for one, finished for another: for neither
        plan = {"format": FORMAT, "version": FORMAT_VERSION, **self._plan}
        if not path.exists() or storage.read_json(path) != plan:
            storage.write_json(path, plan)

    def _parts_written(self) -> set[str]:
        """Names of the parts of the store that is added to, and of those that were added."""
        own = map(part_name, range(self._first_shard))
        return {*own, *(shard.part["file"] for shard in self.encoded.values())}

    def _remove_parts_but(self, names: set[str]) -> None:
        for path in (self.store / TOKENS).glob("part-*.parquet"):
            if f"{TOKENS}/{path.name}" not in names:
                storage.remove_file(path)

    @property
    def has_finished_shards(self) -> bool:
        """Whether there is something to resume from: with other options, or without a bad file."""
        return any(self._work.glob("spill-*.json"))

    def discard(self) -> None:
        """Remove what is not finished."""
        if self._base is None:
            storage.remove_directory(self.store)
        else:
            self.encoded.clear()
            self._remove_parts_but(self._parts_written())
            self.clean_up()

    def take_over(self, shards: Sequence[Sequence[Segment]], *, force: bool) -> None:
        """Take over the finished shards of an earlier run; with `force`, not those that changed.

        Raises:
            UsageError: the text of one has changed since.
        """
        if self.settings.config.skip_bad_files:
            self.skipped.load()
        for number, whole in self.numbered(shards).items():
            segments = self.skipped.without(whole)
            spilled = SpilledShard.load(self._work, number)
            if not segments or spilled is None or any(s.only_here for s in segments):
                continue  # skipped, not finished, or standard input: read anew
            if [s.name for s in segments] != [entry["name"] for entry in spilled.inputs]:
                continue  # a file of it was found to be bad afterwards
            changed = [
                segment.shown
                for segment, entry in zip(segments, spilled.inputs, strict=True)
                if segment.end != entry["end"] or not is_unchanged(segment, entry)
            ]
            if changed and not force:
                raise UsageError(
                    f"{changed[0]}: has changed since the unfinished store {self.store} "
                    "was begun; start over with `force`"
                )
            if not changed and is_intact(self._work, number, spilled.tables):
                self.spilled[number] = spilled
                self._take_over_part(spilled)

    def _take_over_part(self, spilled: SpilledShard) -> None:
        encoded = EncodedShard.load(self._work, spilled.number)
        if encoded is None or encoded.spill != spilled.digest:
            return
        part = self.store / encoded.part["file"]
        if part.is_file() and storage.sha256_of(part) == encoded.part["sha256"]:
            self.encoded[spilled.number] = encoded

    def numbered(self, shards: Sequence[Sequence[Segment]]) -> dict[int, Sequence[Segment]]:
        """The shards of the input by their numbers."""
        return dict(enumerate(shards, start=self._first_shard))

    def spill_jobs(self, shards: Sequence[Sequence[Segment]]) -> list[SpillJob]:
        """Jobs for what is not spilled, or not without the files that are skipped now."""
        jobs = []
        for number, whole in self.numbered(shards).items():
            segments = self.skipped.without(whole)
            done = self.spilled.get(number)
            if done is not None and len(done.inputs) != len(segments):
                del self.spilled[number]
            if segments and number not in self.spilled:
                jobs.append(SpillJob(number, segments))
        return jobs

    def make_vocabulary(self, run_jobs: RunJobs, threads: int) -> None:
        """Make the vocabulary and find phrases; forget the parts that were written with others.

        Args:
            run_jobs: runs jobs on all shards.

        Raises:
            As `counted_vocabulary.make_vocabulary`.
        """
        if self._base is not None:
            assert self.settings.vocabulary is not None
            joins = bool(self._base.get("phrases"))
            self._counted = CountedVocabulary(self.settings.vocabulary, joins_given=joins)
            return
        made = make_vocabulary(self.store, self.settings, self.spilled, run_jobs, threads)
        self._counted = made
        self.encoded = {
            number: shard
            for number, shard in self.encoded.items()
            if shard.vocabulary_hash == made.vocabulary.hash and shard.phrases_id == made.phrases_id
        }

    def encode_jobs(self) -> list[EncodeJob]:
        """Jobs for the shards that have no part yet."""
        made = self._counted
        return [
            EncodeJob(
                shard=shard,
                vocabulary_hash=made.vocabulary.hash,
                phrases=made.phrases,
                joins_given=made.joins_given,
                phrases_id=made.phrases_id,
            )
            for number, shard in sorted(self.spilled.items())
            if number not in self.encoded
        ]

    def report(self, *, files: int, skipped_files: int) -> PreprocessReport:
        """Add up the shards.

        Raises:
            UsageError: no token at all was kept.
            DataError: the numbers do not balance: the unfinished store is damaged.
        """
        config, made = self.settings.config, self._counted
        stats = ReadCounts()
        for spilled in self.spilled.values():
            stats.add(spilled.stats)
        parts = self._parts()
        kept = sum(part["tokens"] for part in parts)
        tokens = stats.tokens_in_sequences
        below, beyond = made.tokens_below_min_count, made.tokens_beyond_max_vocab
        joined, outside = made.tokens_joined, 0
        reused = self.settings.vocabulary is not None and not config.update_vocab
        if reused or config.approximate_vocab is not None:
            # Which tokens are below the least count is known from exact counts only.
            below = beyond = 0
            joined = sum(shard.tokens_joined for shard in self.encoded.values())
            outside = tokens - kept - joined
        if self.settings.vocabulary is not None and not kept and self._base is None:
            raise UsageError(
                f"none of the {tokens} tokens is in the vocabulary {config.vocabulary}"
            )
        tables = [table for spilled in self.spilled.values() for table in spilled.tables]
        report = PreprocessReport(
            files=files,
            skipped_files=skipped_files,
            bad_files=len(self._bad_files()),
            tokens_kept=kept,
            tokens_below_min_count=below,
            tokens_beyond_max_vocab=beyond,
            tokens_outside_vocabulary=outside,
            tokens_joined=joined,
            different_tokens=made.different_tokens,
            vocabulary_size=len(made.vocabulary),
            count_error=sum(table.uncounted for table in tables),
            sentences=sum(part["sentences"] for part in parts),
            **dataclasses.asdict(stats),
        )
        if self._base is not None:
            added = added_up(self._base["report"], report)
            report = dataclasses.replace(added, bad_files=report.bad_files)
        if not report.balanced:
            raise DataError(
                f"{self.store}: its token counts do not add up; start over with `force`"
            )
        return report

    def finish(self, report: PreprocessReport) -> None:
        """Write the manifest: from then on the store is whole, or what was added belongs to it."""
        self._close_gaps()
        if self._base is not None:
            manifest = {
                **self._base,
                "sentences": report.sentences,
                "tokens": report.tokens_kept,
                "report": report.as_manifest(),
                "parts": [*self._base["parts"], *self._parts()],
                "inputs": [*self._base["inputs"], *self._inputs()],
                "bad_files": self._bad_files(),
            }
            if self.encoded:
                manifest["appended_parts"] = self._base.get("appended_parts", 0) + len(self.encoded)
            if manifest != self._base:
                storage.write_json(self.store / MANIFEST, manifest)
            return
        path = self.store / VOCABULARY
        vocabulary = Vocabulary.load(path)
        manifest = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "source": self._plan["source"],
            "made_for": self._plan["made_for"],
            "settings": self._plan["settings"],
            "setting_files": self._plan["setting_files"],
            "layout": self._plan["layout"],
            "vocabulary": {
                "file": VOCABULARY,
                "size": len(vocabulary),
                "total": vocabulary.total,
                "hash": vocabulary.hash,
                "bytes": path.stat().st_size,
                "sha256": storage.sha256_of(path),
            },
            "sentences": report.sentences,
            "tokens": report.tokens_kept,
            "report": report.as_manifest(),
            "phrases": self._phrases_entry(),
            "parts": self._parts(),
            "inputs": self._inputs(),
            "bad_files": self._bad_files(),
        }
        storage.write_json(self.store / MANIFEST, manifest)

    def _close_gaps(self) -> None:
        """Make the numbers of the parts follow one another where shards have none."""
        for number, shard in enumerate(sorted(self.encoded), start=self._first_shard):
            part, name = self.encoded[shard].part, part_name(number)
            if part["file"] != name:
                storage.move_file(self.store / part["file"], self.store / name)
                part["file"] = name
        self._remove_parts_but(self._parts_written())  # a killed run may have closed other gaps

    def _bad_files(self) -> list[dict[str, str]]:
        before = self._base.get("bad_files", []) if self._base is not None else []
        return self.skipped.listed(before, [entry["name"] for entry in self._inputs()])

    def _phrases_entry(self) -> dict[str, Any] | None:
        path = self.store / PHRASES
        if self._counted.phrases is None and not self._counted.joins_given:
            return None
        return {"file": PHRASES, "bytes": path.stat().st_size, "sha256": storage.sha256_of(path)}

    def _parts(self) -> list[dict[str, Any]]:
        return [self.encoded[number].part for number in sorted(self.encoded)]

    def _inputs(self) -> list[dict[str, Any]]:
        return [
            {**{key: entry[key] for key in ("name", "start", "end", "sha256")}, "part": number}
            for number, shard in enumerate(sorted(self.spilled), start=self._first_shard)
            for entry in self.spilled[shard].inputs
        ]

    def clean_up(self) -> None:
        """Remove the traces of the work."""
        storage.remove_directory(self._work)
