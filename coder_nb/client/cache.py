"""The disk's memory of what was read of agents' files: fetched when the first file is read, written when there is time.

It needs pyarrow; without it each process reads for itself. Little is not written at all, as reading it again costs
less: a file is written when more than `WORTH` bytes would have to be read without it.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import threading
import time
from functools import cache
from pathlib import Path

from coder_nb import __version__, readers
from coder_nb.core.rows import AnyRow
from coder_nb.readers.shelf import Key, Read, Shelf, packed
from coder_nb.settings import Settings

WORTH = 4_000_000
DELAY = 1.0
"""Seconds until it is written, so that nobody waits for it."""


class Disk:
    """What earlier processes have read, and what this one has to add."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, str, str], tuple[tuple[int, ...], bytes]] | None = None
        self._fresh: dict[Key, Read] = {}
        self._size = 0
        self._last = 0.0
        self._timer: threading.Timer | None = None
        self._writing = threading.Lock()

    def take(self, key: Key, stamp: tuple[int, ...]) -> bytes | None:
        """The rows of a file that is as it was when they were written."""
        if self._known is None:
            from coder_nb.analysis.cache import load

            self._known = {name: (saved.stamp, saved.rows) for name, saved in load(self._folder, version()).items()}
        found = self._known.pop(_plain(key), None)
        return found[1] if found is not None and found[0] == stamp else None

    def give(self, key: Key, read: Read, size: int) -> None:
        """A file was read: it is written soon, where that is worth it."""
        if len(read.stamp) != 3:  # of several files: a database, which is read again as a whole anyway
            return
        self._fresh[key] = read
        self._size, self._last = self._size + size, time.monotonic()
        if self._size >= WORTH and self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = threading.Timer(DELAY, self._due)
        self._timer.daemon = True
        self._timer.start()

    def _due(self) -> None:
        """Writes, unless files are being read at this moment."""
        if time.monotonic() - self._last < DELAY / 2:
            self._wait()
        else:
            self.write()

    def write(self) -> None:
        """Writes what this process has to add."""
        from coder_nb.analysis.cache import Saved, save

        with self._writing:
            fresh, size = dict(self._fresh), self._size
            self._timer = None
            encoded = ((_plain(key), Saved(read.stamp, packed(read))) for key, read in fresh.items())
            if size < WORTH or not save(self._folder, version(), encoded):
                return
            self._size -= size
            for key, read in fresh.items():
                if self._fresh.get(key) is read:
                    del self._fresh[key]

    def close(self) -> None:
        """Writes now what was to be written soon, and waits for what is being written."""
        if self._timer is not None:
            self._timer.cancel()
        self.write()


@cache
def shelf() -> Shelf:
    """This process's memory of what was read, over the disk's where there is one."""
    if importlib.util.find_spec("pyarrow") is None:
        return Shelf()
    disk = Disk(folder())
    atexit.register(disk.close)
    return Shelf(disk)


def folder() -> Path:
    """Where it is kept: beside the store."""
    database = Settings.from_environment().database
    return (Settings() if "://" in database else Settings(database=database)).database_path().parent / "history"


@cache
def version() -> str:
    """Of what reads the files: what another one has read may be read in another way."""
    files = sorted(Path(readers.__file__).parent.glob("*.py"))
    stats = "".join(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n" for file in files for stat in (file.stat(),))
    shape = " ".join(f"{cls.__name__}{cls.__struct_fields__}" for cls in AnyRow.__args__)
    return f"{__version__} {hashlib.blake2b((stats + shape).encode(), digest_size=8).hexdigest()}"


def _plain(key: Key) -> tuple[str, str, str]:
    agent, path, what = key
    return agent, path, " ".join(sorted(what))
