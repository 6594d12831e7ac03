"""The same text in every form that `preprocess` reads."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

WORDS = ["the", "don't", "café", "हिन्दी", "中文", "Éa", "word", "x1", "zürich"]


def lines_of_text(count: int = 400, seed: int = 3) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.choice([0, 1, 3, 8, 30]))) for _ in range(count)]


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def plain(path: Path, lines: list[str]) -> Path:
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    return path


def packed(path: Path, lines: list[str]) -> Path:
    """Of the kind that the suffix says, with two members."""
    half = len(lines) // 2
    parts = (b"".join(s.encode() + b"\n" for s in some) for some in (lines[:half], lines[half:]))
    path.write_bytes(b"".join(map(PACK[path.suffix], parts)))
    return path


def jsonl(path: Path, lines: list[str], *, ascii_only: bool = False) -> Path:
    rows = [
        {"id": number, "text": line, "meta": {"body": line}, "more": [number, None]}
        for number, line in enumerate(lines)
    ]
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()
    path.write_bytes(PACK[path.suffix](text) if path.suffix in PACK else text)
    return path


def table_of(lines: list[str]) -> pa.Table:
    """With the text as every type of string, and as lists of tokens and ids."""
    lists = [line.split() for line in lines]
    ids = [[WORDS.index(word) for word in words] for words in lists]
    return pa.table(
        {
            "id": list(range(len(lines))),
            "text": lines,
            "large": pa.array(lines, pa.large_string()),
            "coded": pa.array(lines).dictionary_encode(),
            "meta": [{"body": line, "n": 1} for line in lines],
            "tokens": lists,
            "ids": pa.array(ids, pa.list_(pa.int32())),
        }
    )


def parquet(path: Path, lines: list[str], **options) -> Path:
    pq.write_table(table_of(lines), path, **{"row_group_size": 37, **options})
    return path


def dataset(path: Path, lines: list[str], files: int = 2, batch: int = 40) -> Path:
    """What `datasets.Dataset.save_to_disk` leaves."""
    path.mkdir(parents=True)
    names = [f"data-{n:05d}-of-{files:05d}.arrow" for n in range(files)]
    step = -(-len(lines) // files)
    for number, name in enumerate(names):
        table = table_of(lines[number * step : (number + 1) * step]).drop(["coded"])
        with pa.ipc.new_stream(path / name, table.schema) as writer:
            writer.write_table(table, max_chunksize=batch)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f00d"}
    (path / "state.json").write_text(json.dumps(state))
    (path / "dataset_info.json").write_text(json.dumps({"description": "some text"}))
    return path
