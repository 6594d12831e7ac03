"""URLs: against a real S3 server on this machine, a web server, and fsspec's own memory."""

from __future__ import annotations

import gzip
import http.server
import subprocess
import sys
import threading
from functools import partial

import input_files as make
import pytest

from fastw2v.errors import DataError, FastW2VError, UsageError
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.sources import inputs_unchanged
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.find import find_files
from fastw2v.text.shards import SegmentReader, plan_shards
from fastw2v.text.streams import is_unchanged, segment_sha256

LINES = make.lines_of_text(300)
SMALL = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300)


@pytest.fixture(scope="module")
def s3():
    """An S3 server with an empty bucket; the file system of it."""
    server_module = pytest.importorskip(
        "moto.server", reason="no moto or flask: pip install 'fastw2v[dev]' to test s3:// URLs"
    )
    s3fs = pytest.importorskip("s3fs", reason="no s3fs: pip install s3fs to test s3:// URLs")
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        system = s3fs.S3FileSystem()
        system.mkdir("corpus")
        yield system
    server.stop()


@pytest.fixture
def local(tmp_path):
    place = tmp_path / "local"
    place.mkdir()
    make.plain(place / "a.txt", LINES)
    make.packed(place / "b.txt.gz", LINES)
    return place


def parts_of(store) -> list[str]:
    return [part["sha256"] for part in TokenStore.open(store).manifest["parts"]]


def test_a_store_from_s3_is_that_of_the_same_files_here(tmp_path, s3, local):
    (local / ".hidden").write_text("hidden words\n")
    (local / "empty").touch()
    (local / "noise").write_bytes(b"\x7fELF\0\1\2\0\0\0\xff")
    s3.put(str(local), "corpus/one", recursive=True)
    here = preprocess(local, tmp_path / "here", min_count=1, layout=SMALL, threads=1)
    there = preprocess("s3://corpus/one", tmp_path / "s3", min_count=1, layout=SMALL, threads=2)
    assert parts_of(tmp_path / "s3") == parts_of(tmp_path / "here")
    assert len(parts_of(tmp_path / "s3")) > 5
    manifests = [TokenStore.open(tmp_path / name).manifest for name in ("here", "s3")]
    assert manifests[0] == manifests[1]
    assert here.lines == there.lines
    store = TokenStore.open(tmp_path / "s3")
    assert inputs_unchanged(store, "s3://corpus/one")
    assert inputs_unchanged(store, ["s3://corpus/one/*.txt", "s3://corpus/one/b.t?t.gz"])
    s3.pipe("corpus/one/a.txt", (local / "a.txt").read_bytes().replace(b"word", b"sord"))
    assert not inputs_unchanged(store, "s3://corpus/one")


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet", "d"])
def test_columns_of_s3(tmp_path, s3, name):
    write = {"t.jsonl": make.jsonl, "t.parquet": make.parquet, "d": make.dataset}[name]
    path = write(tmp_path / name, LINES)
    s3.put(str(path), f"corpus/columns/{name}", recursive=path.is_dir())
    options = {"text_column": "text", "min_count": 1, "threads": 1, "layout": SMALL}
    preprocess(f"s3://corpus/columns/{name}", tmp_path / "s3", **options)
    preprocess(path, tmp_path / "here", **options)
    stores = [TokenStore.open(tmp_path / place) for place in ("s3", "here")]
    assert stores[0].num_tokens == stores[1].num_tokens == sum(len(s.split()) for s in LINES)
    assert stores[0].vocabulary.hash == stores[1].vocabulary.hash
    with pytest.raises(UsageError, match=r"s3://corpus/columns.*has no column x; it has: text"):
        find_files([f"s3://corpus/columns/{name}"], TextConfig(text_column="x"))


def test_what_is_wrong_with_s3_is_one_line(s3):
    s3.pipe("corpus/wrong/empty.txt", b"")
    s3.pipe("corpus/wrong/cut.gz", gzip.compress(b"some text\n" * 50)[:30])
    for url, message in {
        "s3://corpus/none.txt": "no such file",
        "s3://nobucket/a.txt": "no such file|cannot be read",
        "s3://corpus/wrong/*.none": "no file matches",
        "s3://corpus/wrong/empty.txt": "an empty file",
        "simplecache::s3://corpus/a": "chained",
        "nonesuch://a/b": "cannot be read",
    }.items():
        with pytest.raises(UsageError, match=message) as error:
            find_files([url])
        assert "\n" not in str(error.value)
        assert url.split("::")[0] in str(error.value)
    [file], _ = find_files(["s3://corpus/wrong/cut.gz"])
    with pytest.raises(DataError, match=r"s3://corpus/wrong/cut\.gz: truncated or damaged"):
        list(SegmentReader(file.segment()).blocks())
    with pytest.raises(UsageError, match="given twice"):
        find_files(["s3://corpus/wrong/cut.gz", "s3://corpus/wrong/cut.*"])


def test_a_change_on_s3_is_noticed(s3):
    s3.pipe("corpus/change/a.txt", b"some text\n" * 100)
    [file], _ = find_files(["s3://corpus/change/a.txt"])
    segment = file.segment()
    reader = SegmentReader(segment)
    assert sum(len(block) for _, block in reader.blocks()) == 1000
    entry = reader.entry()
    assert entry["sha256"] == segment_sha256(segment)
    assert is_unchanged(segment, entry)
    s3.pipe("corpus/change/a.txt", b"same size\n" * 100)
    with pytest.raises(DataError, match=r"s3://corpus/change/a\.txt: has changed since"):
        list(SegmentReader(segment).blocks())
    [again], _ = find_files(["s3://corpus/change/a.txt"])
    assert not is_unchanged(again.segment(), entry)


def test_long_plain_files_are_split_and_read_in_ranges(s3):
    text = "".join(line + "\n" for line in LINES).encode()
    s3.pipe("corpus/long/a.txt", text)
    files, _ = find_files(["s3://corpus/long"])
    units = plan_shards(files, SMALL)
    assert len(units) > 3
    found = b""
    for [segment] in units:
        found += b"".join(block for _, block in SegmentReader(segment, block_bytes=256).blocks())
        assert text[segment.end - 1 : segment.end] == b"\n"
    assert found == text


def test_memory_and_file_urls(tmp_path, local):
    fsspec = pytest.importorskip("fsspec", reason="no fsspec: pip install 'fastw2v[remote]'")
    memory = fsspec.filesystem("memory")
    memory.pipe("/corpus/a.txt", (local / "a.txt").read_bytes())
    memory.pipe("/corpus/b.txt.gz", (local / "b.txt.gz").read_bytes())
    options = {"min_count": 1, "layout": SMALL, "threads": 1}
    preprocess(local, tmp_path / "here", **options)
    preprocess("memory://corpus", tmp_path / "memory", **options)
    preprocess(f"file://{local}/*", tmp_path / "file", **options)
    assert (
        parts_of(tmp_path / "memory") == parts_of(tmp_path / "here") == parts_of(tmp_path / "file")
    )


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(local):
    """A web server that knows no ranges."""
    pytest.importorskip("aiohttp", reason="no aiohttp: pip install aiohttp to test http:// URLs")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Handler, directory=str(local))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_web_servers_without_ranges(tmp_path, web, local):
    make.parquet(local / "t.parquet", LINES)
    for name in ("a.txt", "b.txt.gz"):
        preprocess(
            f"{web}/{name}?token=s3cret", tmp_path / name, min_count=1, threads=1, layout=SMALL
        )
        store = TokenStore.open(tmp_path / name)
        assert store.num_tokens == sum(len(line.split()) for line in LINES)
        assert [entry["name"] for entry in store.manifest["inputs"]] == [name]
    for url in (f"{web}/none.txt?token=s3cret", f"{web}/t.parquet?token=s3cret"):
        with pytest.raises(FastW2VError) as error:
            find_files([url], TextConfig(text_column="text"))
        assert "s3cret" not in str(error.value)
        assert "\n" not in str(error.value)


def test_without_fsspec_one_line_says_what_to_install(tmp_path):
    program = (
        "import sys; sys.modules['fsspec'] = None; sys.modules['fsspec.core'] = None\n"
        "from fastw2v.__main__ import main; sys.argv[0] = 'fastw2v'; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "preprocess", "s3://user:pass@b/c",
         "--output", tmp_path / "s"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "s3://b/c: URLs need fsspec: pip install 'fastw2v[remote]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
