"""The texts that `bench/preprocess/speed.py` reads: shards, one file, gz, words that are all new.

Shards are made of the lines of the given text, over and over; each begins at another line, so that
no two are equal. Where more shards are wanted than `variants`, the others are hard links: a text
of 10 GB takes 1 GB of the disk.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fastw2v.errors import ResourceError, UsageError
from fastw2v.io import machine

_OPEN: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_GZIP_LEVEL = 6  # as the command `gzip` has it

# Of `write_new_words`.
FREQUENT, KEPT, DROPPED = 100, 1000, 1000
_ALPHABET = b"abcdefghijklmnopqrstuvwxyz234567"
_LETTERS = 13  # 5 bits each: a bijection of 64 bits
_WORDS_PER_LINE = 10
_PIECE = 10_000  # new words between two occurrences of the frequent ones


def read_lines(files: Sequence[Path]) -> bytes:
    """All of the given files, unpacked.

    Raises:
        UsageError: they are empty.
    """
    pieces = []
    for path in files:
        with _OPEN.get(path.suffix, _plain)(path) as file:
            text = file.read()
        pieces.append(text if text.endswith(b"\n") or not text else text + b"\n")
    lines = b"".join(pieces)
    if not lines:
        raise UsageError(f"{files[0]}: no text in it")
    return lines


def _plain(path: Path) -> Any:
    return open(path, "rb")


def rotated(lines: bytes, share: float, size: int) -> Iterator[bytes]:
    """About `size` bytes of `lines` over and over, from the line at `share` on; whole lines."""
    start = lines.find(b"\n", int(share * len(lines))) + 1  # behind the last one: 0
    view, place = memoryview(lines), start % len(lines)
    while size > 0:
        piece = view[place : place + size]
        size -= len(piece)
        if size == 0:  # the last one: up to the end of its line
            piece = view[place : lines.find(b"\n", place + len(piece) - 1) + 1]
        place = 0
        yield bytes(piece)


def write_shards(
    lines: bytes, folder: Path, total_bytes: int, shards: int, variants: int
) -> list[Path]:
    """About `total_bytes` of text in `shards` files, of which at most `variants` differ."""
    folder.mkdir(parents=True)
    paths = [folder / f"text-{number:04d}.txt" for number in range(shards)]
    different = min(shards, variants)
    for number, path in enumerate(paths):
        if number >= different:
            link(paths[number % different], path)
            continue
        with open(path, "wb") as file:
            file.writelines(rotated(lines, number / different, total_bytes // shards))
            _settle(file)
    return paths


def link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _settle(file: Any) -> None:
    """To the disk now: otherwise the first timed run would share it with what is left to write."""
    file.flush()
    os.fsync(file.fileno())


def join(paths: Sequence[Path], target: Path) -> Path:
    """All files in one."""
    with open(target, "wb") as whole:
        for path in paths:
            with open(path, "rb") as file:
                shutil.copyfileobj(file, whole, 1 << 20)
        _settle(whole)
    return target


def compress(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Each file as a gz of its own in `folder`."""
    folder.mkdir(parents=True)

    def one(path: Path) -> Path:
        target = folder / f"{path.name}.gz"
        with open(path, "rb") as plain, open(target, "wb") as file:
            # (no time, no name: the same bytes each time)
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
                shutil.copyfileobj(plain, packed, 1 << 20)
            _settle(file)
        return target

    with ThreadPoolExecutor(machine.usable_cores()) as threads:  # zlib lets go of Python's lock
        return list(threads.map(one, paths))


def bytes_of(paths: Sequence[Path]) -> int:
    """Sum of the sizes."""
    return sum(path.stat().st_size for path in paths)


def write_new_words(path: Path, count: int) -> dict[str, int]:
    """About `count` random words that occur once, and among them some whose counts are known.

    Besides them: `KEPT` words that occur 5 times, each time in another fifth of the text; `DROPPED`
    that occur 4 times; `FREQUENT` ones after every 10,000 new words.

    Returns:
        What an exact count with min_count 5 finds, under the names of `PreprocessReport`.
    """
    fifth = max(1, count // 5)
    new = 5 * fifth
    frequent = _words(new, FREQUENT)
    kept = _words(new + FREQUENT, KEPT)
    dropped = _words(new + FREQUENT + KEPT, DROPPED)
    pieces = 0
    with open(path, "wb") as file:
        for number in range(5):
            file.write(kept)
            file.write(dropped if number < 4 else b"")
            end = (number + 1) * fifth
            for first in range(number * fifth, end, _PIECE):
                file.write(_words(first, min(_PIECE, end - first)))
                file.write(frequent)
                pieces += 1
        _settle(file)
    common = FREQUENT if pieces >= 5 else 0
    kept_tokens = 5 * KEPT + (FREQUENT * pieces if common else 0)
    return {
        "tokens_read": new + 5 * KEPT + 4 * DROPPED + FREQUENT * pieces,
        "tokens_kept": kept_tokens,
        "different_tokens": new + KEPT + DROPPED + FREQUENT,
        "vocabulary_size": KEPT + common,
    }


def _words(first: int, count: int) -> bytes:
    """Words number `first` and on, ten a line: any two numbers give different words."""
    import numpy as np

    numbers = np.arange(first, first + count, dtype=np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64's mix
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    numbers ^= numbers >> np.uint64(31)
    shifts = 5 * np.arange(_LETTERS, dtype=np.uint64)
    text = np.full((count, _LETTERS + 1), ord(" "), np.uint8)
    letters = (numbers[:, None] >> shifts) & np.uint64(31)
    text[:, :_LETTERS] = np.frombuffer(_ALPHABET, np.uint8)[letters]
    text[_WORDS_PER_LINE - 1 :: _WORDS_PER_LINE, _LETTERS] = ord("\n")
    text[-1, _LETTERS] = ord("\n")
    return text.tobytes()


def require_free(folder: Path, needed: float, purpose: str) -> None:
    """Raises ResourceError: less than `needed` bytes of the disk are free."""
    free = machine.free_disk(folder)
    if free < needed:
        raise ResourceError(
            f"{folder}: {machine.readable_bytes(free)} are free, {purpose} may take "
            f"{machine.readable_bytes(needed)}; ask for less, or give another --scratch"
        )
