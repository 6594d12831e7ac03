"""The output directory of a token store: whether a store may be built there, and its replacement.

A first store is built at its place, where the manifest that is written last makes it whole. One
that replaces a finished store is built beside it, in `.STORE.new`, so that the old one serves until
the new one is complete.
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastw2v.errors import ResourceError, UsageError
from fastw2v.io import storage
from fastw2v.io.store_directory import (
    MANIFEST,
    PHRASES,
    PLAN,
    TOKENS,
    UNFINISHED,
    VOCABULARY,
    has_plan,
    is_damaged_store,
    is_store,
)

_LOCK_INSIDE = ".lock"
# Options that do not change what the text of a shard is spilled to: a run may resume with others.
_AFTER_READING = (
    "min_count", "max_vocab", "vocabulary", "update_vocab", "skip_bad_files", "max_unpacked",
    "phrases", "phrase_score", "phrase_threshold", "phrase_min_count", "phrase_separator",
    "connectors",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reservation:
    """An output directory that a store may be built for.

    Attributes:
        output: where the store is to be.
        build_at: where to build it: `output`, or beside it when a finished store is replaced.
        resumed: whether there is unfinished work of the same call to resume.
    """

    output: Path
    build_at: Path
    resumed: bool

    def move_into_place(self) -> None:
        """Move the finished store to `output`."""
        if self.build_at != self.output:
            _replace(self.output, self.build_at)


def lock_of(output: Path) -> contextlib.AbstractContextManager[None]:
    """Keeps other processes from building, replacing or adding to the store `output`.

    Hold it while any other function of this module is called and until the store is finished. It
    is next to the store, which may be replaced meanwhile, as `.STORE.lock`; or in the store if
    its parent directory is not writable, in which case the store cannot be replaced.

    Raises:
        UsageError: another process holds it, or its name is not UTF-8.
        ResourceError: the lock cannot be written.
    """
    with storage.reporting_os_errors(output):
        place = output.resolve()
        try:
            str(place).encode()
        except UnicodeEncodeError:  # pyarrow takes no other
            raise UsageError(
                f"{output}: the names on the way to a token store must be UTF-8"
            ) from None
        inside = place.is_dir() and not os.access(place.parent, os.W_OK)
    lock = place / _LOCK_INSIDE if inside else place.parent / f".{place.name}.lock"
    return storage.exclusive_lock(lock, of=output, remove=True)


def reserve_output(output: Path, plan: dict[str, Any], *, force: bool) -> Reservation:
    """Check that a store may be built at `output`, and find out where to build it.

    Raises:
        UsageError: something is there that may not be replaced.
    """
    new = output.resolve().parent / f".{output.resolve().name}.new"
    _finish_replacement(output, new)
    if is_store(output):
        remove_stale_work(output)
        if not force:
            raise UsageError(
                f"{output}: a token store is there already; use it, choose another `output`, "
                "or replace it with `force`"
            )
        return Reservation(output.resolve(), new, _reserve(new, plan, force=True))
    if is_damaged_store(output):
        if not force:
            raise UsageError(
                f"{output}: a token store whose {MANIFEST} is damaged; replace it with `force`, "
                "or choose another `output`"
            )
        return Reservation(output.resolve(), new, _reserve(new, plan, force=True))
    return Reservation(output, output, _reserve(output, plan, force=force))


def reserve_for_append(output: Path, plan: dict[str, Any], *, force: bool) -> Reservation:
    """Reserve the finished store `output` for more text.

    Raises:
        UsageError: there is other unfinished work.
    """
    remove_stale_work(output)
    if not has_plan(output):
        return Reservation(output, output, False)
    found = storage.read_json(output / UNFINISHED / PLAN)
    if not (different := _difference(found, plan)):
        return Reservation(output, output, True)
    if not force:
        raise UsageError(
            f"{output}: there is an unfinished `append` of {different}; run the same command to go "
            "on with it, or give it up with `force`"
        )
    storage.remove_directory(output / UNFINISHED)
    return Reservation(output, output, False)


def manifest_hash(store: Path) -> str:
    """What a plan to add to a store remembers of it."""
    return storage.sha256_of(store / MANIFEST)


def remove_stale_work(store: Path) -> None:
    """Remove the traces of work that was finished, and killed before it removed them itself."""
    if has_plan(store):
        plan = storage.read_json(store / UNFINISHED / PLAN)
        if plan.get("append_to") == manifest_hash(store):
            return
    if (store / UNFINISHED).exists():
        storage.remove_directory(store / UNFINISHED)
    storage.remove_leftovers(store)  # of one that was killed while it did this


def _reserve(place: Path, plan: dict[str, Any], *, force: bool) -> bool:
    """Check that `place` is free or has work of this plan; whether it has."""
    if has_plan(place):
        found = storage.read_json(place / UNFINISHED / PLAN)
        different = _difference(found, plan)
        if not different and plan["source"] == "text":
            return True
        if not force and found.get("source") == "text":
            raise UsageError(
                f"{place}: an unfinished token store of {different}; run the same command to go "
                "on, or start over with `force`"
            )
        if not force:  # it came from tokens, which are gone
            raise UsageError(f"{place}: an unfinished token store; start over with `force`")
        storage.remove_directory(place)
    elif place.is_symlink() or (place.exists() and not _only_begun(place)):
        raise UsageError(
            f"{place}: exists and is not a token store, so it is not replaced; "
            "choose another `output`"
        )
    return False


def _only_begun(place: Path) -> bool:
    """An empty directory, or one whose plan was never written."""
    if not place.is_dir():
        return False
    names = {path.name for path in place.iterdir()} - {_LOCK_INSIDE}
    if names == {UNFINISHED} and (place / UNFINISHED).is_dir():
        return all(path.name.startswith(f".{PLAN}.") for path in (place / UNFINISHED).iterdir())
    return not names


def _difference(found: dict[str, Any], plan: dict[str, Any]) -> str:
    """Why the work of one plan cannot be resumed by another; "" if it can."""
    kinds = ("settings", "setting_files")
    names = [
        name
        for kind in kinds
        for name in {**found.get(kind, {}), **plan[kind]}
        if found.get(kind, {}).get(name) != plan[kind].get(name) and name not in _AFTER_READING
    ]
    if names:
        return "other options (" + ", ".join(dict.fromkeys(names)) + ")"
    compared = [key for key in plan if key not in ("made_for", "shards", *kinds)]
    same = all(found.get(key) == plan[key] for key in compared)
    # A file may be of another size now: it was damaged, say, and is whole again.
    return "" if same and _begins(found.get("shards")) == _begins(plan["shards"]) else "other input"


def _begins(shards: list[list[dict[str, Any]]] | None) -> list[list[tuple[str, int]]] | None:
    """The files of each shard and where it begins in them; None where a damaged plan has none."""
    try:
        return [[(entry["name"], entry["start"]) for entry in shard] for shard in shards or []]
    except (LookupError, TypeError):
        return None


@contextlib.contextmanager
def discard_on_failure(
    discard: Callable[[], None], can_resume: Callable[[BaseException], bool]
) -> Iterator[None]:
    """Call `discard`, which removes unfinished work, when a run fails and cannot be resumed."""
    try:
        yield
    except BaseException as error:
        if not can_resume(error):
            discard()
        raise


def _replace(output: Path, new: Path) -> None:
    """Put the finished store `new` at the place of `output`; after a kill on the way
    `_finish_replacement` continues, because `new` is removed last."""
    if output.exists():
        storage.remove_directory(output)
    storage.link_or_copy_directory(new / TOKENS, output / TOKENS)
    with storage.atomic_file(output / VOCABULARY) as temporary:
        temporary.write_bytes((new / VOCABULARY).read_bytes())
    if (new / PHRASES).exists():
        with storage.atomic_file(output / PHRASES) as temporary:
            temporary.write_bytes((new / PHRASES).read_bytes())
    storage.write_json(output / MANIFEST, storage.read_json(new / MANIFEST))
    storage.remove_directory(new)


def _finish_replacement(output: Path, new: Path) -> None:
    """Finish or undo what a killed run left beside `output`."""
    for name in (output.resolve().name, new.name):
        for doomed in new.parent.glob(f".{glob.escape(name)}.*.removed"):
            if doomed.is_dir() and doomed.name.split(".")[-2].isdigit():
                with contextlib.suppress(ResourceError):  # of a name like ours, and just removed
                    storage.remove_directory(doomed)
    if is_store(output) or is_damaged_store(output) or not has_plan(new):
        return
    if is_store(new) and (not output.exists() or _half_replaced(output)):
        _replace(output.resolve(), new)
    else:  # the store that it was to replace is gone
        storage.remove_directory(new)


def _half_replaced(output: Path) -> bool:
    """Whether there is nothing but what `_replace` writes before the manifest."""
    names = {path.name for path in output.iterdir()} if output.is_dir() else {""}
    known = {TOKENS, VOCABULARY, PHRASES}
    return all(name in known or storage.TEMPORARY_SUFFIX in name for name in names)
