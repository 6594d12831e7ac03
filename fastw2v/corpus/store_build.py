"""A token store in the making: its plan, its finished units, its vocabulary, its manifest."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from fastw2v import storage
from fastw2v.corpus.report import PreprocessReport
from fastw2v.corpus.settings import Settings
from fastw2v.corpus.shards import Segment
from fastw2v.corpus.store_layout import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    PLAN,
    TOKENS,
    UNFINISHED,
    VOCABULARY,
    made_for_of,
)
from fastw2v.corpus.store_place import lock_of
from fastw2v.corpus.units import encode_result_path, spool_result_path, table_paths
from fastw2v.corpus.vocabulary import Vocabulary, merge_counts
from fastw2v.errors import DataError, UsageError


class StoreBuild:
    """The state of one build.

    Attributes:
        spooled: results of the units that are spooled, by unit.
        encoded: results of the units whose parts are written, by unit.
    """

    def __init__(self, output: Path, settings: Settings, plan: dict[str, Any]) -> None:
        self._output = output
        self._work = output / UNFINISHED
        self._settings = settings
        self._plan = plan
        self.spooled: dict[int, dict[str, Any]] = {}
        self.encoded: dict[int, dict[str, Any]] = {}

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keeps other processes away from the output.

        Raises:
            UsageError: another process builds this store.
        """
        return lock_of(self._output)

    def begin(self) -> None:
        """Write the plan, and remove what a killed run left half-written."""
        for directory in (self._output, self._work, self._output / TOKENS):
            storage.remove_leftovers(directory)
        if (self._output / MANIFEST).exists():  # a finished one, killed before it was in its place
            storage.remove_file(self._output / MANIFEST)
        path = self._work / PLAN
        if path.exists() and made_for_of(self._output) != self._plan["made_for"]:
            self._plan["made_for"] = None  # begun for one, finished for another: for neither
            storage.write_json(path, {**storage.read_json(path), "made_for": None})
        elif not path.exists():
            header = {"format": FORMAT, "version": FORMAT_VERSION}
            storage.write_json(path, {**header, **self._plan})

    def take_over_units(self, units: list[list[Segment]], *, force: bool) -> None:
        """Take over the finished units of an earlier run; with `force`, not those that changed.

        Raises:
            UsageError: the text of one has changed since.
        """
        for number, unit in enumerate(units):
            path = spool_result_path(self._work, number)
            if not path.exists():
                continue
            result = storage.read_json(path)
            changed = [
                segment.path
                for segment, entry in zip(unit, result["inputs"], strict=True)
                if storage.sha256_of(segment.path, segment.start, segment.end) != entry["sha256"]
            ]
            if changed and not force:
                raise UsageError(
                    f"{changed[0]}: has changed since the unfinished store {self._output} "
                    "was begun; start anew with --force"
                )
            if not changed:
                self.spooled[number] = result
                self._take_over_part(number)

    def _take_over_part(self, number: int) -> None:
        path = encode_result_path(self._work, number)
        if not path.exists():
            return
        result = storage.read_json(path)
        part = self._output / result["part"]["file"]
        if part.is_file() and storage.sha256_of(part) == result["part"]["sha256"]:
            self.encoded[number] = result

    def num_open_units(self, units: int) -> int:
        """How many units have something left to do."""
        return units - len(self.encoded)

    def name_of(self, unit: int) -> str:
        """What messages call a unit."""
        names = [entry["name"] for entry in self.spooled[unit]["inputs"]]
        return ", ".join(names[:3]) or "the tokens"

    def spooled_tokens(self) -> list[int]:
        """Tokens of each spool."""
        return [
            stats.get("tokens_read", 0)
            - stats.get("tokens_stopwords", 0)
            - stats.get("tokens_in_short_lines", 0)
            for stats in (self.spooled[unit]["stats"] for unit in sorted(self.spooled))
        ]

    def make_vocabulary(self) -> dict[str, int]:
        """Merge the counts of all units, write vocabulary.parquet; the counts for the report.

        Raises:
            UsageError: fewer than two words remain, or no token is in a reused vocabulary.
        """
        config, vocabulary = self._settings.config, self._settings.vocabulary
        merged = merge_counts(
            table_paths(self._work, unit, table)[1]
            for unit in sorted(self.spooled)
            for table in range(self.spooled[unit]["tables"])
        )
        total = pc.sum(merged["count"]).as_py() or 0
        counted = {"different_tokens": merged.num_rows}
        if vocabulary is None:
            frequent = merged.filter(pc.greater_equal(merged["count"], config.min_count))
            counts = dict(
                zip(frequent["token"].to_pylist(), frequent["count"].to_pylist(), strict=True)
            )
            vocabulary = Vocabulary.from_counts(counts, config.min_count, config.max_vocab)
            if len(vocabulary) < 2:
                raise UsageError(_too_small(len(vocabulary), merged["count"], config.min_count))
            frequent_total = sum(counts.values())
            counted["tokens_below_min_count"] = total - frequent_total
            counted["tokens_beyond_max_vocab"] = frequent_total - vocabulary.total
        vocabulary.save(self._output / VOCABULARY)
        self.encoded = {
            unit: result
            for unit, result in self.encoded.items()
            if result["vocabulary_hash"] == vocabulary.hash
        }
        counted["vocabulary_size"] = len(vocabulary)
        return counted

    def report(
        self, counted: dict[str, int], *, files: int, skipped_files: int
    ) -> PreprocessReport:
        """Add up the units.

        Raises:
            UsageError: no token at all was kept.
            DataError: the numbers do not balance: the unfinished store is damaged.
        """
        stats: Counter[str] = Counter(counted)
        for result in self.spooled.values():
            stats.update(result["stats"])
        parts = [result["part"] for result in self.encoded.values()]
        kept = sum(part["tokens"] for part in parts)
        spooled = sum(self.spooled_tokens())
        if self._settings.vocabulary is not None:
            stats["tokens_outside_vocabulary"] = spooled - kept
            if not kept:
                raise UsageError(
                    f"none of the {spooled} tokens is in the vocabulary "
                    f"{self._settings.config.vocabulary}"
                )
        report = PreprocessReport(
            files=files,
            skipped_files=skipped_files,
            tokens_kept=kept,
            sentences=sum(part["sentences"] for part in parts),
            **stats,
        )
        if not report.balanced:
            raise DataError(f"{self._output}: its counts do not balance; start anew with --force")
        return report

    def finish(self, report: PreprocessReport) -> None:
        """Write the manifest: from then on the store is whole."""
        path = self._output / VOCABULARY
        vocabulary = Vocabulary.load(path)
        inputs = [
            {**entry, "part": unit}
            for unit in sorted(self.spooled)
            for entry in self.spooled[unit]["inputs"]
        ]
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
            "parts": [self.encoded[unit]["part"] for unit in sorted(self.encoded)],
            "inputs": inputs,
        }
        storage.write_json(self._output / MANIFEST, manifest)

    def clean_up(self) -> None:
        """Remove the traces of the work."""
        storage.remove_directory(self._work)


def _too_small(size: int, counts: Any, min_count: int) -> str:
    """Why the vocabulary is too small, and which --min-count would help."""
    if len(counts) < 2:
        return f"the text has {len(counts)} different words; a vocabulary needs at least two"
    second = pc.top_k_unstable(counts, 2)  # indices of the two largest
    helps = counts[second[1].as_py()].as_py()
    return (
        f"only {size} of {len(counts)} different words occur {min_count} times or more; "
        f"--min-count {helps} or less would keep at least two"
    )
