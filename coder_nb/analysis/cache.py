"""What was read of files, kept on disk between processes: one Parquet file beside the store, a row for each file read.

Whatever is wrong with it, it is made again: each row carries a digest of what it holds, and all of it the version of
what reads the files. It is replaced at once or not at all, so that several processes can use it; the last one to
write keeps what the others have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

NAME = "history.parquet"
COLUMNS = ("agent", "path", "what", "size", "mtime", "inode", "rows", "digest")
PART = 1_000_000
"""About so many bytes are encoded, written and read at once."""


class Saved(NamedTuple):
    """What a file held, encoded, and when that was so."""

    stamp: tuple[int, ...]
    rows: bytes


Key = tuple[str, str, str]
"""An agent, a path, and what was read of it."""


def load(folder: Path, version: str) -> dict[Key, Saved]:
    """What is kept; nothing where there is nothing, or nothing that can be relied on."""
    return dict(_saved(folder / NAME, version))


def save(folder: Path, version: str, fresh: Iterable[tuple[Key, Saved]]) -> bool:
    """Keeps these beside what is kept, each taken when it is its turn; False where another process is at it, or there
    is no place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as ours:
            if not ours:
                return False
            draft = folder / f".{NAME}.draft"
            try:
                _write(draft, version, _merged(fresh, _saved(folder / NAME, version)))
                os.replace(draft, folder / NAME)
            finally:
                draft.unlink(missing_ok=True)
            return True
    except OSError:
        return False


def _saved(path: Path, version: str) -> Iterator[tuple[Key, Saved]]:
    """What a file holds, a part of it after another, as far as it can be relied on."""
    if not path.exists():
        return
    try:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(path, memory_map=False) as file:
            if (file.schema_arrow.metadata or {}).get(b"version") != version.encode():
                return
            for part in range(file.num_row_groups):
                table = file.read_row_group(part, use_threads=False)
                for row in zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True):
                    agent, name, what, size, mtime, inode, rows, digest = row
                    key, saved = (agent, name, what), Saved((size, mtime, inode), rows)
                    if digest == _digest(key, saved):
                        yield key, saved
    except Exception:  # whatever its bytes are
        return


def _merged(fresh: Iterable[tuple[Key, Saved]], known: Iterable[tuple[Key, Saved]]) -> Iterator[tuple[Key, Saved]]:
    """What is new, and what was known of other files that are still there."""
    written = set()
    for key, saved in fresh:
        written.add(key)
        if os.path.exists(key[1]):
            yield key, saved
    for key, saved in known:
        if key not in written and os.path.exists(key[1]):
            yield key, saved


def _write(path: Path, version: str, found: Iterable[tuple[Key, Saved]]) -> None:
    """Writes a file of parts, so that of many rows only those of one part are in memory."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = [pa.string()] * 3 + [pa.int64()] * 3 + [pa.binary()] * 2
    schema = pa.schema(zip(COLUMNS, types, strict=True), metadata={"version": version})
    pool = pa.system_memory_pool()  # the usual one keeps what it has once been given
    how = {"compression": "zstd", "compression_level": 1, "use_dictionary": False, "write_statistics": False}
    with ParquetWriter(path, schema, memory_pool=pool, **how) as writer:
        for part in _parts(found):
            rows = ((*key, *saved.stamp, saved.rows, _digest(key, saved)) for key, saved in part)
            columns = zip(map(list, zip(*rows, strict=True)), types, strict=True)
            writer.write_table(pa.table([pa.array(*column, memory_pool=pool) for column in columns], schema=schema))


def _parts(found: Iterable[tuple[Key, Saved]]) -> Iterator[list[tuple[Key, Saved]]]:
    part, size = [], 0
    for key, saved in found:
        part.append((key, saved))
        size += len(saved.rows)
        if size >= PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _digest(key: Key, saved: Saved) -> bytes:
    said = "\0".join((*key, *map(str, saved.stamp))).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(said + b"\0" + saved.rows, digest_size=16).digest()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether nobody else writes; where the system knows no such locks, the last one to write wins."""
    try:
        import fcntl
    except ImportError:
        yield True
        return
    with (folder / f".{NAME}.lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
