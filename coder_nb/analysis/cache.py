"""What was read of files, kept on disk between processes: one Parquet file beside the store, a row for each file read.

Whatever is wrong with it, it is made again: each row carries a digest of what it holds, and all of it the version of
what reads the files. It is replaced at once or not at all, so that several processes can use it; the last one to
write keeps what the others have written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

NAME = "history.parquet"
COLUMNS = ("agent", "path", "what", "size", "mtime", "inode", "rows", "digest")


class Saved(NamedTuple):
    """What a file held, encoded, and when that was so."""

    stamp: tuple[int, ...]
    rows: bytes


Key = tuple[str, str, str]
"""An agent, a path, and what was read of it."""


def load(folder: Path, version: str) -> dict[Key, Saved]:
    """What is kept; nothing where there is nothing, or nothing that can be relied on."""
    path = folder / NAME
    if not path.exists():
        return {}
    try:
        import pyarrow.parquet as parquet

        table = parquet.read_table(path, memory_map=False)
        if (table.schema.metadata or {}).get(b"version") != version.encode():
            return {}
        found = {}
        for row in zip(*(table.column(name).to_pylist() for name in COLUMNS), strict=True):
            agent, file, what, size, mtime, inode, rows, digest = row
            saved = Saved((size, mtime, inode), rows)
            if digest == _digest((agent, file, what), saved):
                found[agent, file, what] = saved
        return found
    except Exception:  # whatever its bytes are
        return {}


def save(folder: Path, version: str, fresh: Mapping[Key, Saved]) -> bool:
    """Keeps these beside what is kept; False where another process is at it, or there is no place."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder) as ours:
            if not ours:
                return False
            known = {**load(folder, version), **fresh}
            rows = [(*key, *one.stamp, one.rows, _digest(key, one)) for key, one in known.items() if _is_there(key[1])]
            columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
            types = [pa.string()] * 3 + [pa.int64()] * 3 + [pa.binary()] * 2
            schema = pa.schema(zip(COLUMNS, types, strict=True), metadata={"version": version})
            table = pa.table({name: columns.get(name, []) for name in COLUMNS}, schema=schema)
            draft = folder / f".{NAME}.{os.getpid()}"
            parquet.write_table(table, draft, compression="zstd", compression_level=1, use_dictionary=False)
            os.replace(draft, folder / NAME)
            return True
    except OSError:
        return False


def _is_there(path: str) -> bool:
    return os.path.exists(path)


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
