"""Labels and ratings of one's own: one small file of lines beside the store, the last of each session counts."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from coder_nb.client.cache import folder
from coder_nb.core.entries import Value
from coder_nb.errors import InvalidOption

if TYPE_CHECKING:
    import pandas as pd


class Label(Value):
    """What somebody says of a session."""

    session_id: str
    label: str | None = None
    rating: int | None = None
    note: str | None = None
    at: int = 0


def path() -> Path:
    """Where they are kept."""
    return folder().parent / "labels.jsonl"


def label(session_id: str, label: str | None = None, *, rating: int | None = None, note: str | None = None) -> None:
    """Says something of a session: a word, a rating from 1 to 5, a note. Said again, the later counts.

    What is not given stays as it was said before; an empty text takes it back. The frame `cnb.history().labels` joins
    with all others on `session_id`.
    """
    if rating is not None and rating not in range(1, 6):
        raise InvalidOption(f"rating={rating!r} is none: rate from 1 to 5.")
    if not session_id:
        raise InvalidOption("Give the session's id, as the column `session_id` of the frames has it.")
    said = Label(session_id=session_id, label=label, rating=rating, note=note, at=time.time_ns() // 1_000_000)
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    line = b"\n%s\n" % msgspec.json.encode(said)  # begins anew after a line that was torn
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line)  # one write of a short line: another process's never stands in the middle of it
    finally:
        os.close(descriptor)


def labels() -> list[Label]:
    """What counts now, by session; a line that is torn is passed over."""
    known: dict[str, Label] = {}
    try:
        lines = path().read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            said = msgspec.json.decode(line, type=Label)
        except msgspec.MsgspecError:  # torn, or empty
            continue
        before = known.get(said.session_id, said)
        known[said.session_id] = Label(
            session_id=said.session_id,
            label=before.label if said.label is None else said.label,
            rating=before.rating if said.rating is None else said.rating,
            note=before.note if said.note is None else said.note,
            at=said.at,
        )
    return list(known.values())


def frame() -> pd.DataFrame:
    """The same as a frame."""
    from coder_nb.analysis import columns
    from coder_nb.analysis.frames import frame as made

    return made(labels(), columns.LABELS)
