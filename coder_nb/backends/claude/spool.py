"""Batches that the database did not take in time, on disk until it does: whole files, one each."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from coder_nb.backends.history import HistoryItem, HistoryKey
from coder_nb.core.codec import decode, encode
from coder_nb.core.entries import Value
from coder_nb.ids import new_id

_log = logging.getLogger("coder_nb.claude")


class Batch(Value):
    """One append that is still to be made."""

    key: HistoryKey
    items: tuple[HistoryItem, ...]


class Spool:
    """A folder of batches, in the order in which they were put; processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = 0
        """The number of the latest batch: a time, so that numbers grow from one process to the next."""

    def put(self, key: HistoryKey, items: Sequence[HistoryItem]) -> None:
        """Keeps a batch until it is dropped; raises `OSError` where the disk does not take it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._last = max(self._last + 1, time.time_ns())
        name = f"{self._last:020}-{new_id()}"
        half = self._folder / f".{name}"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(encode(Batch(key=key, items=tuple(items))))
            os.replace(half, self._folder / f"{name}.json")
        except BaseException:
            half.unlink(missing_ok=True)
            raise

    def waiting(self) -> list[Path]:
        """The batches, the oldest first."""
        return sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []

    def read(self, path: Path) -> Batch | None:
        """A batch; None where another process has dropped it, or where it cannot be read, and is put aside then."""
        try:
            return decode(path.read_bytes(), Batch)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            _log.error("a batch of Claude's history cannot be read and is put aside: %s (%s)", path, error)
            path.rename(path.with_suffix(".damaged"))
            return None

    def drop(self, path: Path) -> None:
        """Forgets a batch that is stored."""
        path.unlink(missing_ok=True)
