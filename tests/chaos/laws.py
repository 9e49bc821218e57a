"""What holds after whatever has happened: the laws of a chat, a session, and of what lies on the disk."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from chaos.people import Person
from chaos.world import World, git, until

from coder_nb.core.entries import Entry, Permission, Question, ToolCall, TurnEnded, UserMessage
from coder_nb.core.transcript import Transcript


async def read(world: World, chat_id: str, *, limit: int = 1000) -> tuple[Transcript, list[Entry]]:
    """A whole chat, read in pages: folded, and all that ever was in it."""
    transcript, known = Transcript(), {}
    while True:
        page = await world.ask(lambda remote: remote.read(chat_id, after=transcript.rev, limit=limit))
        transcript.apply(page)
        known |= {entry.id: entry for entry in page.entries}
        if not page.more:
            return transcript, list(known.values())


async def hold(world: World, people: list[Person]) -> None:
    """Everything that can be asked of a server at rest."""
    for person in people:
        for chat_id in person.readers:
            await _transcript(world, person, chat_id)
        await _prompts(world, person)
        await _turns(world, person)
        await _files(world, person)


async def _transcript(world: World, person: Person, chat_id: str) -> None:
    whole, entries = await read(world, chat_id)
    reader = person.readers[chat_id]
    await until(lambda: reader.transcript.rev >= whole.rev, lambda: f"a reader at {reader.transcript.rev}: {whole.rev}")
    assert list(reader.transcript) == list(whole), "who read live sees what who reads now sees (law 5)"
    slow, _ = await read(world, chat_id, limit=7)
    assert list(slow) == list(whole), "pages of any size fold to the same"
    places = [entry.pos for entry in entries]
    assert len(set(places)) == len(places), "each place has one entry"
    assert [entry.id for entry in entries if entry.open] == [], "nothing stays open at rest"
    pending = [e for e in entries if isinstance(e.body, Permission | Question) and e.body.status == "pending"]
    calls = [e for e in entries if isinstance(e.body, ToolCall) and e.body.status in ("pending", "running")]
    assert pending + calls == [], "all in a turn has an end (law 8)"
    ends = Counter(entry.turn_id for entry in entries if isinstance(entry.body, TurnEnded))
    turns = await world.ask(lambda remote: remote.turns(chat_id))
    assert ends == {turn.id: 1 for turn in turns}, "each turn has one end (law 1)"
    assert [turn.id for turn in turns if turn.end is None or turn.ended_at is None] == []
    said = {e.turn_id: e.body.end for e in entries if isinstance(e.body, TurnEnded)}
    assert said == {turn.id: turn.end for turn in turns}


async def _prompts(world: World, person: Person) -> None:
    """A prompt that was taken is run once, waits, or was taken back; any other at most once (law 3)."""
    ran: Counter[tuple[str, str | None]] = Counter()
    told: Counter[tuple[str, str | None]] = Counter()
    waits: Counter[str] = Counter()
    for chat_id in person.readers:
        turns = await world.ask(lambda remote, id=chat_id: remote.turns(id))  # type: ignore[misc]
        ran.update((chat_id, turn.prompt_id) for turn in turns)
        _, entries = await read(world, chat_id)
        told.update((chat_id, e.body.prompt_id) for e in entries if isinstance(e.body, UserMessage))
        chat = await world.ask(lambda remote, id=chat_id: remote.get_chat(id))  # type: ignore[misc]
        waits.update(prompt.id for prompt in chat.queued)
    withdrawn = {id for (id,) in world.rows("SELECT id FROM inbox WHERE status = 'withdrawn'")}
    assert withdrawn & person.sent.keys() <= person.taken_back
    for prompt_id, (chat_id, prompt) in person.sent.items():
        assert told[chat_id, prompt_id] == ran[chat_id, prompt_id] <= 1, f"{prompt} is run once, and told once"
        times = ran[chat_id, prompt_id] + waits[prompt_id] + (prompt_id in withdrawn)
        assert times == 1 or (times == 0 and prompt_id not in person.accepted), f"{prompt} is there {times} times"


async def _turns(world: World, person: Person) -> None:
    """No two turns of a session overlap (law 2), and what they used is what the session used."""
    turns = [
        turn
        for chat_id in person.readers
        for turn in await world.ask(lambda remote, id=chat_id: remote.turns(id))  # type: ignore[misc]
        if person.sent.get(turn.prompt_id or "", ("", None))[0] == chat_id  # a fork's are copies
    ]
    by_start = sorted({turn.id: turn for turn in turns}.values(), key=lambda turn: (turn.started_at, turn.ended_at))
    for one, other in zip(by_start, by_start[1:], strict=False):
        assert one.ended_at is not None
        assert one.ended_at <= other.started_at, f"{one} and {other} ran at the same time"
    rows = [row for row in await world.ask(lambda remote: remote.usage()) if row.session_id == person.session.id]
    by_chat = [
        row
        for chat_id in (await world.ask(lambda remote: remote.get_session(person.session.id))).chats
        for row in await world.ask(lambda remote, id=chat_id: remote.usage(id))  # type: ignore[misc]
    ]
    assert sorted(row.entry_id for row in rows) == sorted(row.entry_id for row in by_chat)
    assert len({row.entry_id for row in rows if row.counted}) == len([row for row in rows if row.counted])


async def _files(world: World, person: Person) -> None:
    """The user's own files are as they were left, and what a completed turn wrote is where it was written (law 15)."""
    for name, text in person.edited.items():
        assert (person.repository / name).read_text() == text
    session = await world.ask(lambda remote: remote.get_session(person.session.id))
    assert person.worktrees() == ([session.worktree] if session.worktree else [])
    for chat_id in person.readers:
        for turn in await world.ask(lambda remote, id=chat_id: remote.turns(id)):  # type: ignore[misc]
            sent = person.sent.get(turn.prompt_id or "")
            if turn.end == "completed" and sent is not None and session.worktree:
                _written(person, sent[1].text, Path(session.worktree))


def _written(person: Person, prompt: str, worktree: Path) -> None:
    for word in prompt.split("; "):
        if word.startswith("write made-") or word.startswith("write deep/made-"):
            _, name, text = word.split(" ", 2)
            if name not in person.rejected:
                assert (worktree / name).read_text() == text + "\n", f"{name} is lost"


def nothing_is_left(world: World, people: list[Person]) -> None:
    """What lies on the disk once every session was deleted."""
    for person in people:
        assert person.worktrees() == []
        refs = [line for line in _refs(person) if "refs/coder-nb" in line]
        assert refs == []
        for name, text in person.edited.items():
            assert (person.repository / name).read_text() == text
    trees = world.home / "data" / "coder-nb" / "worktrees"
    assert not trees.exists() or [path.name for path in trees.iterdir()] == []


def _refs(person: Person) -> list[str]:
    return git(person.repository, "for-each-ref", "--format=%(refname)").splitlines()
