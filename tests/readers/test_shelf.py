"""Files that are read once: what has grown is read on, and nothing that was read can be told from reading it afresh."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.claude_lines import answer, user

from coder_nb.core.rows import Message
from coder_nb.readers import shelf as shelves
from coder_nb.readers.base import Sought, What, readers
from coder_nb.readers.collect import Collection, Found, collect
from coder_nb.readers.shelf import Shelf

Write = Callable[..., Path]
FOLDER = ".claude/projects/-home-user-shop"
ALL: frozenset[What] = frozenset({"usage", "tool_calls", "messages"})
USAGE: frozenset[What] = frozenset({"usage"})
CLAUDE = readers()["claude"]


def rows(found: Found) -> tuple[Any, ...]:
    return (found.usage, found.tool_calls, found.messages, found.sessions, found.copies)


class Place:
    """A home directory that is looked at again and again, each time beside one who looks for the first time."""

    def __init__(self, home: Path, what: frozenset[What]) -> None:
        self._roots, self._sought = [home / ".claude"], Sought(what=what)
        self.shelf = Shelf()
        self._collection = Collection([(CLAUDE, self._roots)], self._sought, self.shelf)

    def look(self) -> Found:
        before = list(self.found.usage) if hasattr(self, "found") else []
        self.found = self._collection.look()
        assert rows(self.found) == rows(collect(CLAUDE, self._roots, self._sought))
        assert self.found.usage[: self.found.same] == before[: self.found.same]
        return self.found


@pytest.fixture(params=[USAGE, ALL], ids=["usage", "all"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(shelves, "LARGE", 0)  # so that all that can be read on is
    return Place(tmp_path, request.param)


def grow(path: Path, text: str, later: int) -> None:
    with path.open("a") as file:
        file.write(text)
    os.utime(path, (1_800_000_000 + later,) * 2)


def test_what_has_grown_is_read_on_from_where_it_ended(place: Place, write: Write) -> None:
    path = write(f"{FOLDER}/s1.jsonl", [user("Go"), answer("m1", "r1", 5)], mtime=1_800_000_000)
    write(f"{FOLDER}/s2.jsonl", [answer("m2", "r2", 7, sessionId="s2")], mtime=1_800_000_000)
    place.look()
    assert place.look().same == 2
    size, parsed = path.stat().st_size, place.shelf.parsed
    grow(path, write(".more", [answer("m1", "r1", 50), answer("m3", "r3", 9)]).read_text(), 5)
    assert [row.tokens.output for row in place.look().usage] == [50, 9, 7]
    assert place.shelf.parsed - parsed == path.stat().st_size - size


def test_a_line_that_was_torn_is_read_again_when_it_is_whole(place: Place, write: Write) -> None:
    path = write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 5)], mtime=1_800_000_000)
    whole = write(".more", [answer("m2", "r2", 7)]).read_text()
    grow(path, whole[:40], 1)
    assert len(place.look().usage) == 1
    grow(path, whole[40:], 2)
    found = place.look()
    assert ([row.tokens.output for row in found.usage], found.problems) == ([5, 7], [])


def test_a_file_that_was_written_anew_is_read_anew(place: Place, write: Write) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 5)] * 3, mtime=1_800_000_000)
    place.look()
    write(f"{FOLDER}/s1.jsonl", [answer("m2", "r2", 6)] * 5, mtime=1_800_000_001)
    assert [row.tokens.output for row in place.look().usage] == [6]


def test_a_file_that_shrank_or_went_away_tells_no_more(place: Place, write: Write) -> None:
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 5), answer("m2", "r2", 6)], mtime=1_800_000_000)
    other = write(f"{FOLDER}/s2.jsonl", [answer("m3", "r3", 7, sessionId="s2")], mtime=1_800_000_000)
    place.look()
    write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 5)], mtime=1_800_000_001)
    assert [row.tokens.output for row in place.look().usage] == [5, 7]
    other.unlink()
    assert [row.tokens.output for row in place.look().usage] == [5]


def test_a_fork_that_appears_counts_nothing_twice(place: Place, write: Write) -> None:
    lines = [answer("m1", "r1", 5), answer("m2", "r2", 6)]
    path = write(f"{FOLDER}/s1.jsonl", lines, mtime=1_800_000_000)
    place.look()
    copies = [line | {"sessionId": "s2"} for line in lines]
    write(f"{FOLDER}/s2.jsonl", [*copies, answer("m3", "r3", 7, sessionId="s2")], mtime=1_800_000_001)
    assert [row.tokens.output for row in place.look().usage] == [5, 6, 7]
    assert place.found.copies["claude"] == 2
    grow(path, write(".more", [answer("m4", "r4", 8)]).read_text(), 2)
    assert sorted(row.tokens.output or 0 for row in place.look().usage) == [5, 6, 7, 8]


def test_a_file_that_is_older_than_what_was_read_is_taken_in_its_order(place: Place, write: Write) -> None:
    copy = [answer("m1", "r1", 5, sessionId="s2")]
    write(f"{FOLDER}/s2.jsonl", copy, mtime=1_800_000_009)
    assert [row.session_id for row in place.look().usage] == ["s2"]
    write(f"{FOLDER}/s1.jsonl", [copy[0] | {"sessionId": "s1"}], mtime=1_800_000_000)
    assert [row.session_id for row in place.look().usage] == ["s1"]


def test_texts_are_there_when_they_are_asked_for_after_a_frame_without_them(place: Place, write: Write) -> None:
    path = write(f"{FOLDER}/s1.jsonl", [user("Go"), answer("m1", "r1", 5)], mtime=1_800_000_000)
    place.look()
    source = next(iter(CLAUDE.sources(path.parents[2], Sought(), lambda _: None)))
    whole = place.shelf.read(CLAUDE, source, Sought(what=ALL, text=True))
    assert [row.text for row in whole.rows if isinstance(row, Message)][0] == "Go"
    grow(path, write(".more", [user("On"), answer("m2", "r2", 6)]).read_text(), 5)
    place.look()


def test_small_files_are_read_whole_and_texts_are_not_kept(write: Write, tmp_path: Path) -> None:
    path = write(f"{FOLDER}/s1.jsonl", [answer("m1", "r1", 5)])
    shelf = Shelf()
    collection = Collection([(CLAUDE, [tmp_path / ".claude"])], Sought(what=ALL, text=True), shelf)
    collection.look()
    assert shelf.known == {}
    assert shelf.parsed == path.stat().st_size
