"""The files that a store leaves out because they cannot be read (--skip-bad-files).

A token store in the making: its plan, its finished units, its vocabulary, its manifest.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable
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
from fastw2v.store import spill as spill
from fastw2v.store.append import added_up
from fastw2v.store.jobs import (
    encode_result_path,
    read_result,
    spill_digest,
    spill_result_path,
    write_result,
)
from fastw2v.store.made_vocabulary import GIVEN_PHRASES, make_vocabulary
from fastw2v.store.phrases.build import RunJobs
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import Settings
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.find import BadFiles
from fastw2v.text.inputs import LOCAL, Segment
from fastw2v.text.streams import is_unchanged

_BAD_FILES = "bad-files.json"


class LeftOutFiles:
    """What is left out of a store in the making; remembered in its unfinished work, `work`."""

    def __init__(self, work: Path) -> None:
        self._path = work / _BAD_FILES
        self._bad: dict[str, dict[str, str]] = {}  # name and reason, by path

    def take_over(self) -> None:
        """Leave out what an earlier run left out."""
        self._bad = read_result(self._path) or {}

    def note(self, files: BadFiles) -> None:
        """Note files that are left out before they are read."""
        for path, name, error in files:
            self._bad[os.path.abspath(path)] = _entry(name, path, error)

    def add(self, failures: Iterable[tuple[Segment, FastW2VError]]) -> None:
        """Leave the files of these segments out from now on."""
        for segment, error in failures:
            entry = _entry(segment.name, segment.shown, error)
            self._bad.setdefault(_key(segment), entry)
        write_result(self._path, self._bad)

    def without(self, unit: Iterable[Segment]) -> list[Segment]:
        """The segments of a unit whose files can be read, as far as is known."""
        return [segment for segment in unit if _key(segment) not in self._bad]

    def num_files_of(self, units: Iterable[Iterable[Segment]]) -> int:
        """How many of the files of `units` are left out."""
        return len({_key(segment) for unit in units for segment in unit} & self._bad.keys())

    def listed(self, before: Iterable[dict[str, str]], read: Iterable[str]) -> list[dict[str, str]]:
        """All that are left out, name and reason, by name.

        Args:
            before: what the store to which text is added has left out.
            read: the names of the files that are added; what was bad then is none of them.
        """
        now = list(self._bad.values())
        settled = {*read, *(entry["name"] for entry in now)}
        old = [entry for entry in before if entry["name"] not in settled]
        return sorted([*old, *now], key=lambda entry: (entry["name"], entry["reason"]))


def _entry(name: str, shown: str, error: FastW2VError) -> dict[str, str]:
    return {"name": name, "reason": " ".join(str(error).split()).replace(shown, name)}


def _key(segment: Segment) -> str:
    """What a file is remembered by, from wherever it is named."""
    return os.path.abspath(segment.path) if segment.place == LOCAL else str(segment.path)


class StoreBuild:
    """The state of one build.

    Args:
        base: the manifest of the store to which parts are added; None: a new store is made.

    Attributes:
        phrases_of_jobs, phrases_id: what encoding has to join (`store_vocabulary.MadeVocabulary`).
        first_unit: the number of the first unit. While parts are written, a unit and its part have
            the same number; units of which nothing is left have none (see `close_gaps`).
        left_out: the files that cannot be read.
        spilled: results of the units that are spilled, by unit.
        encoded: results of the units whose parts are written, by unit.
    """

    def __init__(
        self,
        output: Path,
        settings: Settings,
        plan: dict[str, Any],
        base: dict[str, Any] | None = None,
    ) -> None:
        self._base = base
        self.first_unit = len(base["parts"]) if base else 0
        self._output = output
        self._work = output / UNFINISHED
        self._settings = settings
        self._plan = plan
        self.phrases_of_jobs: str | None = None
        self.phrases_id = ""
        self._counted: dict[str, int] = {}
        self.left_out = LeftOutFiles(self._work)
        self.spilled: dict[int, dict[str, Any]] = {}
        self.encoded: dict[int, dict[str, Any]] = {}

    def begin(self) -> None:
        """Write the plan, and remove what a killed run left half-written."""
        for directory in (self._output, self._work, self._output / TOKENS):
            storage.remove_leftovers(directory)
        if self._base is not None:
            self._remove_parts_but(self._parts_written())
        elif (self._output / MANIFEST).exists():  # finished, and killed before it was in its place
            storage.remove_file(self._output / MANIFEST)
        path = self._work / PLAN
        if path.exists() and made_for_of(self._output) != self._plan["made_for"]:
            self._plan["made_for"] = None  # begun for one, finished for another: for neither
        plan = {"format": FORMAT, "version": FORMAT_VERSION, **self._plan}
        if not path.exists() or storage.read_json(path) != plan:
            storage.write_json(path, plan)

    def _parts_written(self) -> set[str]:
        """Names of the parts of the store that is added to, and of those that were added."""
        own = map(part_name, range(self.first_unit))
        return {*own, *(result["part"]["file"] for result in self.encoded.values())}

    def _remove_parts_but(self, names: set[str]) -> None:
        for path in (self._output / TOKENS).glob("part-*.parquet"):
            if f"{TOKENS}/{path.name}" not in names:
                storage.remove_file(path)

    @property
    def skips_bad_files(self) -> bool:
        """Whether files that cannot be read are left out."""
        return self._settings.config.skip_bad_files

    def leave_out(
        self, failures: list[tuple[Segment, FastW2VError]], units: dict[int, list[Segment]]
    ) -> None:
        """Leave the files of these segments out; what was spilled of them is to be done again."""
        if not failures:
            return
        self.left_out.add(failures)
        for number, unit in units.items():
            spilled = self.spilled.get(number)
            if spilled and len(spilled["inputs"]) != len(self.left_out.without(unit)):
                del self.spilled[number]

    @property
    def has_finished_units(self) -> bool:
        """Whether there is something to go on with: with other options, or without a bad file."""
        return any(self._work.glob("spill-*.json"))

    def discard(self) -> None:
        """Remove what is not finished."""
        if self._base is None:
            storage.remove_directory(self._output)
        else:
            self.encoded.clear()
            self._remove_parts_but(self._parts_written())
            self.clean_up()

    def take_over_units(self, units: list[list[Segment]], *, force: bool) -> None:
        """Take over the finished units of an earlier run; with `force`, not those that changed.

        Raises:
            UsageError: the text of one has changed since.
        """
        if self.skips_bad_files:
            self.left_out.take_over()
        for number, whole_unit in enumerate(units, start=self.first_unit):
            unit = self.left_out.without(whole_unit)
            result = read_result(spill_result_path(self._work, number))
            if not unit or result is None or any(segment.only_here for segment in unit):
                continue  # left out, not finished, or standard input: read anew
            if [s.name for s in unit] != [entry["name"] for entry in result["inputs"]]:
                continue  # a file of it was found to be bad afterwards
            changed = [
                segment.shown
                for segment, entry in zip(unit, result["inputs"], strict=True)
                if segment.end != entry["end"] or not is_unchanged(segment, entry)
            ]
            if changed and not force:
                raise UsageError(
                    f"{changed[0]}: has changed since the unfinished store {self._output} "
                    "was begun; start anew with --force"
                )
            if not changed and spill.is_intact(self._work, number, result["tables"]):
                self.spilled[number] = result
                self._take_over_part(number)

    def _take_over_part(self, number: int) -> None:
        result = read_result(encode_result_path(self._work, number))
        if result is None:
            return
        part = self._output / result["part"]["file"]
        same_spill = result.get("spill") == spill_digest(self.spilled[number]["tables"])
        intact = part.is_file() and storage.sha256_of(part) == result["part"]["sha256"]
        if same_spill and intact:
            self.encoded[number] = result

    def num_open_units(self, units: int) -> int:
        """How many units have something left to do."""
        return units - len(self.encoded)

    def name_of(self, unit: int) -> str:
        """What messages call a unit."""
        names = [entry["name"] for entry in self.spilled[unit]["inputs"]]
        return ", ".join(names[:3]) or "the tokens"

    def spilled_tokens(self) -> dict[int, int]:
        """Tokens of each spill, by unit."""
        dropped = ("tokens_too_short_or_long", "tokens_stopwords", "tokens_in_short_lines")
        return {
            unit: result["stats"].get("tokens_read", 0)
            - sum(result["stats"].get(reason, 0) for reason in dropped)
            for unit, result in self.spilled.items()
        }

    def num_tables(self, unit: int) -> int:
        """How many tables the spill of a unit has."""
        return len(self.spilled[unit]["tables"])

    def make_vocabulary(self, run_jobs: RunJobs, threads: int) -> Vocabulary:
        """Make the vocabulary and find phrases; forget the parts that were written with others.

        Args:
            run_jobs: runs jobs on all units.

        Raises:
            As `store_vocabulary.make_vocabulary`.
        """
        if self._base is not None:
            assert self._settings.vocabulary is not None
            self.phrases_of_jobs = GIVEN_PHRASES if self._base.get("phrases") else None
            return self._settings.vocabulary
        tables = {unit: result["tables"] for unit, result in self.spilled.items()}
        tokens = sum(self.spilled_tokens().values())
        made = make_vocabulary(self._output, self._settings, tables, tokens, run_jobs, threads)
        self.phrases_of_jobs, self.phrases_id = made.phrases, made.phrases_id
        self._counted = made.counted
        self.encoded = {
            unit: result
            for unit, result in self.encoded.items()
            if result["vocabulary_hash"] == made.vocabulary.hash
            and result["phrases_id"] == made.phrases_id
        }
        return made.vocabulary

    def report(self, *, files: int, skipped_files: int) -> PreprocessReport:
        """Add up the units.

        Raises:
            UsageError: no token at all was kept.
            DataError: the numbers do not balance: the unfinished store is damaged.
        """
        config = self._settings.config
        stats: Counter[str] = Counter(self._counted)
        for result in self.spilled.values():
            stats.update(result["stats"])
        parts = [result["part"] for result in self.encoded.values()]
        kept = sum(part["tokens"] for part in parts)
        spilled = sum(self.spilled_tokens().values())
        reused = self._settings.vocabulary is not None and not config.update_vocab
        if reused or config.approximate_vocab is not None:
            # Which tokens are below --min-count is known from exact counts only.
            stats["tokens_below_min_count"] = stats["tokens_beyond_max_vocab"] = 0
            joined = sum(result["tokens_joined"] for result in self.encoded.values())
            stats["tokens_joined"] = joined
            stats["tokens_outside_vocabulary"] = spilled - kept - joined
        if self._settings.vocabulary is not None and not kept and self._base is None:
            raise UsageError(
                f"none of the {spilled} tokens is in the vocabulary {config.vocabulary}"
            )
        report = PreprocessReport(
            files=files,
            skipped_files=skipped_files,
            bad_files=len(self._bad_files()),
            tokens_kept=kept,
            sentences=sum(part["sentences"] for part in parts),
            count_error=sum(
                table["uncounted"] for result in self.spilled.values() for table in result["tables"]
            ),
            **stats,
        )
        if self._base is not None:
            added = added_up(self._base["report"], report)
            report = dataclasses.replace(added, bad_files=report.bad_files)
        if not report.balanced:
            raise DataError(f"{self._output}: its counts do not balance; start anew with --force")
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
                storage.write_json(self._output / MANIFEST, manifest)
            return
        path = self._output / VOCABULARY
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
        storage.write_json(self._output / MANIFEST, manifest)

    def _close_gaps(self) -> None:
        """Make the numbers of the parts follow one another where units have none."""
        for number, unit in enumerate(sorted(self.encoded), start=self.first_unit):
            part, name = self.encoded[unit]["part"], part_name(number)
            if part["file"] != name:
                storage.move_file(self._output / part["file"], self._output / name)
                part["file"] = name
        self._remove_parts_but(self._parts_written())  # a killed run may have closed other gaps

    def _bad_files(self) -> list[dict[str, str]]:
        before = self._base.get("bad_files", []) if self._base is not None else []
        return self.left_out.listed(before, [entry["name"] for entry in self._inputs()])

    def _phrases_entry(self) -> dict[str, Any] | None:
        path = self._output / PHRASES
        if self.phrases_of_jobs is None:
            return None
        return {"file": PHRASES, "bytes": path.stat().st_size, "sha256": storage.sha256_of(path)}

    def _parts(self) -> list[dict[str, Any]]:
        return [self.encoded[unit]["part"] for unit in sorted(self.encoded)]

    def _inputs(self) -> list[dict[str, Any]]:
        return [
            {**{key: entry[key] for key in ("name", "start", "end", "sha256")}, "part": number}
            for number, unit in enumerate(sorted(self.spilled), start=self.first_unit)
            for entry in self.spilled[unit]["inputs"]
        ]

    def clean_up(self) -> None:
        """Remove the traces of the work."""
        storage.remove_directory(self._work)
