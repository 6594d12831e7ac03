"""What `preprocess` reads: text files, cut into shards; token lists; or (ids, offsets) arrays.

Also: whether a store was made of some text files as they are now.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.encoder import Sequencer, TokenListEncoder
from fastw2v.store.format import TokenStore, read_manifest
from fastw2v.store.jobs import SpilledShard
from fastw2v.store.settings import Settings
from fastw2v.store.spill import ShardSpill
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.find import BadFiles, find_files
from fastw2v.text.inputs import InputFile, Segment
from fastw2v.text.shards import plan_shards
from fastw2v.text.streams import is_unchanged


@dataclasses.dataclass(frozen=True)
class TextSource:
    """Text files, cut into shards.

    Attributes:
        files, skipped_files: how many; how many were passed over in directories.
        bad_files: skipped before they are read.
    """

    files: int
    skipped_files: int
    shards: list[list[Segment]]
    bad_files: BadFiles = dataclasses.field(default_factory=list)

    @classmethod
    def find(
        cls,
        inputs: Iterable[str | Path],
        layout: Layout,
        config: PreprocessConfig,
        choose: Callable[[list[InputFile]], list[InputFile]] = lambda files: files,
    ) -> TextSource:
        """The text of `inputs`, of the files that `choose` leaves."""
        bad = BadFiles()
        files, skipped = find_files(inputs, config, bad if config.skip_bad_files else None)
        files = choose(files)
        return cls(len(files), skipped, plan_shards(files, layout, config), bad)


def inputs_unchanged(store: TokenStore, inputs: str | Path | Iterable[str | Path]) -> bool:
    """Whether `store` was made from these text files as they are now (their bytes are read).

    Raises:
        UsageError, DataError: the inputs are missing or not text.
    """
    manifest = store.manifest
    if manifest["source"] != "text":
        return False
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    config = TextConfig.from_settings(manifest["settings"])
    skips = manifest["settings"].get("skip_bad_files", False)
    left_out = {file["name"] for file in manifest.get("bad_files", [])}
    files, _ = find_files(paths, config, BadFiles() if skips else None)
    files = [file for file in files if file.name not in left_out]
    shards = plan_shards(files, Layout(**manifest["layout"]), config)
    segments = [segment for shard in shards for segment in shard]
    recorded = manifest["inputs"]
    if [(s.name, s.start, s.end) for s in segments] != [
        (entry["name"], entry["start"], entry["end"]) for entry in recorded
    ]:
        return False
    return all(map(is_unchanged, segments, recorded))


def refuse_changed(output: Path, text: TextSource) -> None:
    """Refuse to replace the finished store at `output` if its text has changed, or some is new.

    Raises:
        UsageError: something is.
    """
    manifest = read_manifest(output)
    recorded = manifest["inputs"]
    entries = {(entry["name"], entry["start"], entry["end"]): entry for entry in recorded}
    names = {entry["name"] for entry in recorded}
    left_out = {file["name"] for file in manifest.get("bad_files", [])}
    for segment in (segment for shard in text.shards for segment in shard):
        if segment.name in left_out:
            continue
        if segment.name not in names:
            raise UsageError(
                f"{output}: a token store is there already, without {segment.name}; add it with "
                "`append`, or make the store anew with `force`"
            )
        entry = entries.get((segment.name, segment.start, segment.end))
        if entry is None or not is_unchanged(segment, entry):
            raise UsageError(
                f"{segment.shown}: has changed since the token store {output} was made of it; make "
                "the store anew with `force`"
            )


BATCH_TOKENS = 1_000_000

Progress = Callable[[int], None]


class TokenLists:
    """Sequences as lists of strings; the iterable is consumed once."""

    total_bytes = 0  # not known before the end
    forgets = True  # local ids may be forgotten, and a new table begun

    def __init__(self, sequences: Iterable[Any]) -> None:
        self._sequences = sequences

    def batches(self, tokens: TokenListEncoder, progress: Progress) -> Iterator[np.ndarray]:
        """Codes (`fastw2v.store.encoder`), every sequence a line.

        Raises:
            UsageError: a sequence that is not an iterable of non-empty strings.
        """
        batch: list[int] = []
        for number, sequence in enumerate(self._sequences):
            if isinstance(sequence, (str, bytes)) or not isinstance(sequence, Iterable):
                raise UsageError(
                    f"sequence {number} must be a list of tokens; got {sequence!r:.60}"
                )
            batch.extend(map(tokens.__getitem__, sequence))
            batch.append(0)
            if len(batch) >= BATCH_TOKENS:
                yield np.array(batch, dtype=np.int64)
                progress(4 * len(batch))
                batch.clear()
        yield np.array(batch, dtype=np.int64)


class TokenArrays:
    """`ids` int (n,), rows of the list `tokens`; sequence k is ids[offsets[k]:offsets[k + 1]]."""

    forgets = False  # the table of local ids is the list of tokens

    def __init__(self, ids: Any, offsets: Any, tokens: Sequence[str]) -> None:
        self._ids = _integers("ids", ids)
        # int64 whatever came: differences of small or unsigned types would wrap around.
        self._offsets = _integers("offsets", offsets).astype(np.int64, copy=False)
        self._tokens = list(tokens)
        self._check()
        self.total_bytes = 4 * len(self._ids)

    def _check(self) -> None:
        offsets = self._offsets
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(self._ids):
            raise UsageError(f"offsets must begin with 0 and end with len(ids) = {len(self._ids)}")
        if (np.diff(offsets) < 0).any():
            raise UsageError("offsets must not decrease")
        if len(self._ids) and not 0 <= int(self._ids.min()) <= int(self._ids.max()) < len(
            self._tokens
        ):
            raise UsageError(f"ids must be rows of tokens, 0..{len(self._tokens) - 1}")

    def batches(self, tokens: TokenListEncoder, progress: Progress) -> Iterator[np.ndarray]:
        """Codes (`fastw2v.store.encoder`), every sequence a line."""
        code_of = np.array([tokens[token] for token in self._tokens], dtype=np.int64)
        offsets, first = self._offsets, 0
        while first < len(offsets) - 1:
            limit = int(offsets[first]) + BATCH_TOKENS
            last = max(first + 1, int(np.searchsorted(offsets, limit, side="right")) - 1)
            start, end = int(offsets[first]), int(offsets[last])
            lengths = np.diff(offsets[first : last + 1])
            codes = np.zeros(end - start + len(lengths), dtype=np.int64)
            sequence = np.repeat(np.arange(len(lengths)), lengths)
            codes[np.arange(end - start) + sequence] = code_of[self._ids[start:end]]
            yield codes
            progress(4 * (end - start))
            first = last


def _integers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:  # lists of different lengths
        raise UsageError(f"{name} must be a one-dimensional array of integers ({error})") from None
    if array.ndim != 1 or (array.dtype.kind not in "iu" and len(array)):
        raise UsageError(
            f"{name} must be a one-dimensional array of integers; got {array.dtype} of shape "
            f"{array.shape}"
        )
    if array.dtype == np.uint64 and len(array) and int(array.max()) > np.iinfo(np.int64).max:
        raise UsageError(f"{name} must fit into 64-bit signed integers; got {array.max()}")
    # NumPy takes no uint64 together with int64, and an empty list is float64.
    return array.astype(np.int64) if array.dtype == np.uint64 or not len(array) else array


def spill_tokens(
    work: Path, settings: Settings, source: TokenLists | TokenArrays, progress: Progress
) -> SpilledShard:
    """Spill a token source as shard 0, which has no inputs."""
    config, codes = settings.config, TokenListEncoder(settings.stopwords)
    sequencer = Sequencer(codes.first_word, config.min_sequence_length, config.max_sequence_length)
    batches, spill = source.batches(codes, progress), ShardSpill(work, 0, settings)
    tables = spill.write(batches, codes, sequencer, forgets=source.forgets)
    shard = SpilledShard(0, [], sequencer.stats, tables)
    shard.save(work)
    return shard
