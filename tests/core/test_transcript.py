"""The fold: law 5, by golden cases that the TypeScript fold shares and by property."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coder_nb.core.codec import decode, encode
from coder_nb.core.entries import Chunk, Delta, Entry, Page, Text, ToolCall
from coder_nb.core.transcript import Transcript

GOLDEN = sorted((Path(__file__).parent.parent / "golden" / "fold").glob("*.json"))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda path: path.stem)
def test_the_fold_follows_its_golden_cases(case: Path) -> None:
    golden = json.loads(case.read_bytes())
    transcript = Transcript()
    for step in golden["steps"]:
        if "page" in step:
            transcript.apply(decode(json.dumps(step["page"]), Page))
        else:
            transcript.apply_delta(decode(json.dumps(step["delta"]), Delta))
    shown: Any = json.loads(encode(list(transcript)))
    assert {"rev": transcript.rev, "entries": shown} == golden["expect"]
    assert len(transcript) == len(shown)


def test_applying_a_page_names_the_entries_that_it_changed() -> None:
    transcript = Transcript()
    first = Entry(id="a", chat_id="c", pos=1, rev=1, open=True, body=Text(text="He"))
    assert transcript.apply(Page(entries=(first,), rev=1)) == ["a"]
    assert transcript.apply(Page(chunks=(Chunk(entry_id="a", offset=0, text="He", rev=2),), rev=2)) == []
    assert transcript.apply(Page(chunks=(Chunk(entry_id="a", offset=2, text="y", rev=3),), rev=3)) == ["a"]
    assert transcript.get("a") == Entry(id="a", chat_id="c", pos=1, rev=1, open=True, body=Text(text="Hey"))


def test_live_text_that_is_known_already_changes_nothing() -> None:
    transcript = Transcript()
    transcript.apply(Page(entries=(Entry(id="a", chat_id="c", pos=1, rev=1, open=True, body=Text(text="Hey")),), rev=1))
    assert not transcript.apply_delta(Delta(epoch="x", entry_id="a", offset=1, text="ey"))
    assert transcript.apply_delta(Delta(epoch="x", entry_id="a", offset=3, text="!"))


# ---- law 5, by property


@dataclass(frozen=True)
class Log:
    """What a runner committed, revision by revision, and the live text that ran ahead of it."""

    commits: tuple[Entry | Chunk, ...]
    deltas: tuple[tuple[int, Delta], ...]
    """Each with the number of commits that had been made when it was told."""

    def read(self, after: int, upto: int) -> Page:
        """What a store answers: each entry as of its last commit, with its compacted text, and the chunks since."""
        entries: dict[str, Entry] = {}
        chunks: list[Chunk] = []
        for commit in self.commits[:upto]:
            if isinstance(commit, Entry):
                entries[commit.id] = commit
                chunks = [chunk for chunk in chunks if chunk.entry_id != commit.id]
            else:
                chunks.append(commit)
        return Page(
            entries=tuple(entry for entry in entries.values() if entry.rev > after),
            chunks=tuple(chunk for chunk in chunks if chunk.rev > after),
            rev=upto,
        )


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """A turn of texts, streamed in pieces, some closed, and tool calls between them."""
    commits: list[Entry | Chunk] = []
    deltas: list[tuple[int, Delta]] = []
    for pos in range(1, draw(st.integers(1, 4)) + 1):
        entry_id = f"e{pos}"
        if draw(st.booleans()):
            for status in ("pending", "completed"):
                body = ToolCall(name="terminal", status=status)
                commits.append(Entry(id=entry_id, chat_id="c", pos=pos, rev=len(commits) + 1, body=body))
            continue
        _stream(draw, entry_id, pos, commits, deltas)
    return Log(tuple(commits), tuple(deltas))


def _stream(
    draw: st.DrawFn, entry_id: str, pos: int, commits: list[Entry | Chunk], deltas: list[tuple[int, Delta]]
) -> None:
    text = draw(st.text(alphabet="ab\n🐍é", min_size=1, max_size=12))
    opened = Entry(id=entry_id, chat_id="c", pos=pos, rev=len(commits) + 1, open=True, body=Text())
    commits.append(opened)
    at = 0
    while at < len(text):
        end = draw(st.integers(at + 1, len(text)))
        told = at
        while told < end:
            upto = draw(st.integers(told + 1, end))
            deltas.append((len(commits), Delta(epoch="x", entry_id=entry_id, offset=told, text=text[told:upto])))
            told = upto
        commits.append(Chunk(entry_id=entry_id, offset=at, text=text[at:end], rev=len(commits) + 1))
        at = end
    if draw(st.booleans()):
        commits.append(Entry(id=entry_id, chat_id="c", pos=pos, rev=len(commits) + 1, body=Text(text=text)))


_LIVE = st.lists(st.integers(0, 40), max_size=5)
_STEP = st.tuples(st.integers(0, 9), _LIVE, st.booleans(), st.integers(0, 9))


@settings(max_examples=300)
@given(log=logs(), steps=st.lists(_STEP, max_size=8))
def test_any_interleaving_and_any_reconnect_gives_the_same_transcript_as_a_full_read(
    log: Log, steps: list[tuple[int, list[int], bool, int]]
) -> None:
    """Law 5: pages overlap and come again, live text is lost, repeated or ahead, and there is no gap and no double."""
    whole = Transcript()
    whole.apply(log.read(0, len(log.commits)))

    reader = Transcript()
    committed = 0
    for more, live, reads, lost in steps:
        committed = min(committed + more, len(log.commits))
        told = [delta for made, delta in log.deltas if made <= committed]
        for index in live:
            if told:
                reader.apply_delta(told[index % len(told)])
        if reads:
            reader.apply(log.read(max(0, reader.rev - lost), committed))
    reader.apply(log.read(reader.rev, len(log.commits)))

    assert list(reader) == list(whole)


@given(log=logs())
def test_every_prefix_of_a_log_and_then_the_rest_is_the_whole(log: Log) -> None:
    whole = Transcript()
    whole.apply(log.read(0, len(log.commits)))
    for cut in range(len(log.commits) + 1):
        reader = Transcript()
        reader.apply(log.read(0, cut))
        reader.apply(log.read(reader.rev, len(log.commits)))
        assert list(reader) == list(whole)
