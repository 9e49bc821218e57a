"""What every store promises of chats that begin with a transcript, and of links; part of `store_conformance`."""

from __future__ import annotations

from coder_nb.backends.history import HistoryItem, HistoryKey
from coder_nb.core.agents import AgentSessionInfo
from coder_nb.core.changes import Change
from coder_nb.core.copies import Share
from coder_nb.core.entries import Entry, Text, Usage
from coder_nb.core.prompts import Prompt
from coder_nb.core.sessions import ChatInfo, SessionInfo, TurnInfo
from coder_nb.errors import LeaseLost, NotFound
from coder_nb.ids import new_id
from coder_nb.store.base import Batch, Lease, Owner, Store
from coder_nb.testing.contracts import Contract, refuses

PATH = "/home/user/copies"


async def begin(store: Store, owner: Owner) -> tuple[Lease, SessionInfo]:
    """A lease on a directory, and a session there."""
    lease = await store.leases.acquire(PATH, owner, ttl=60)
    return lease, await store.catalog.open_session("ann", PATH, name="main", new=False, session_id=new_id(), now=1)


def said(chat_id: str, *texts: str, native_id: str | None = None) -> list[Entry]:
    """Entries that say these texts."""
    return [Entry(id=new_id(), chat_id=chat_id, body=Text(text), native_id=native_id) for text in texts]


def a_chat(session: SessionInfo, name: str = "copy") -> ChatInfo:
    return ChatInfo(id=new_id(), session_id=session.id, name=name, title="A copy", created_at=7)


async def texts(store: Store, chat_id: str) -> list[str]:
    """What a chat says, read from the beginning in small pages."""
    found: list[str] = []
    rev = 0
    while True:
        page = await store.log.read(chat_id, after=rev, limit=50)
        found += [entry.body.text for entry in page.entries if isinstance(entry.body, Text)]
        rev = page.rev
        if not page.more:
            return found


async def p01_a_chat_is_planted_with_all_that_belongs_to_it(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    turn = TurnInfo(
        id=new_id(), chat_id=chat.id, prompt_id=None, agent="qwen", state="completed", started_at=1, end="completed"
    )
    agent = AgentSessionInfo(chat_id=chat.id, agent="qwen", backend="acp", status="cold", native_id="n")
    change = Change(
        id=new_id(), session_id=session.id, chat_id=chat.id, turn_id=turn.id, path="a", operation="edit", agent="qwen"
    )
    entries = [*said(chat.id, "one", "two"), Entry(id=new_id(), chat_id=chat.id, body=Usage(counted=False))]
    assert await store.copies.plant(lease, chat, entries=entries, turns=[turn], agents=[agent], changes=[change])
    made = await store.catalog.get_chat(chat.id)
    assert (made.name, made.title, made.created_at, made.run_status) == ("copy", "A copy", 7, "idle")
    assert await texts(store, chat.id) == ["one", "two"]
    assert await store.turns.of_chat(chat.id) == (turn,)
    assert await store.agents.get(chat.id, "qwen") == agent
    assert await store.changes.pending(session.id) == (change,)
    assert [row.counted for row in await store.turns.usage(chat.id)] == [False]


async def p02_planting_twice_is_planting_once(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    assert await store.copies.plant(lease, chat, entries=said(chat.id, "one"), turns=[])
    assert not await store.copies.plant(lease, chat, entries=said(chat.id, "other"), turns=[])
    assert await texts(store, chat.id) == ["one"]


async def p03_a_name_that_is_taken_is_made_free(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    for expected in ("copy", "copy-2", "copy-3"):
        chat = a_chat(session)
        await store.copies.plant(lease, chat, entries=[], turns=[])
        assert (await store.catalog.get_chat(chat.id)).name == expected


async def p04_a_long_transcript_is_read_in_pages_and_goes_on(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    words = [str(number) for number in range(350)]
    await store.copies.plant(lease, chat, entries=said(chat.id, *words), turns=[])
    assert (await store.log.read(chat.id, limit=50)).more
    assert await texts(store, chat.id) == words
    assert [entry.pos for entry in (await store.log.tail(chat.id, 2)).entries] == [349, 350]


async def p05_of_two_with_one_native_id_the_first_keeps_it(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    await store.copies.plant(lease, chat, entries=said(chat.id, "one", "two", native_id="same"), turns=[])
    assert [entry.native_id for entry in (await store.log.tail(chat.id, 9)).entries] == ["same", None]


async def p06_nothing_is_planted_without_the_lease(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    await store.leases.release(lease)
    chat = a_chat(session)
    await refuses(LeaseLost, store.copies.plant(lease, chat, entries=said(chat.id, "one"), turns=[]))
    assert await store.catalog.chats(session.id) == ()


async def p07_a_link_is_found_by_its_secret_until_it_is_revoked(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    await store.copies.plant(lease, chat, entries=[], turns=[])
    share = Share(id=new_id(), chat_id=chat.id, by="ann", created_at=5)
    await store.shares.add(share, "hash")
    assert await store.shares.find("hash") == share
    assert await store.shares.of_chat(chat.id) == (share,)
    assert await store.shares.revoke(share.id, at=9)
    assert not await store.shares.revoke(share.id, at=10)
    assert [known.revoked_at for known in await store.shares.of_chat(chat.id)] == [9]
    await refuses(NotFound, store.shares.find("hash"))
    await refuses(NotFound, store.shares.find("other"))
    await refuses(NotFound, store.shares.revoke(new_id(), at=1))


async def p08_a_link_goes_with_its_chat(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    await store.copies.plant(lease, chat, entries=[], turns=[])
    await store.shares.add(Share(id=new_id(), chat_id=chat.id), "hash")
    await store.catalog.delete_chat(lease, chat.id)
    await refuses(NotFound, store.shares.find("hash"))


async def p09_what_was_kept_for_an_agent_goes_with_its_last_chat(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat, other = a_chat(session), a_chat(session)
    for each in (chat, other):
        info = AgentSessionInfo(
            chat_id=each.id, agent="claude", backend="claude", status="cold", native_id="now", earlier=("before",)
        )
        await store.copies.plant(lease, each, entries=[], turns=[], agents=[info])
    for native_id in ("now", "before", "another"):
        key = HistoryKey(project="-home-user", session=native_id)
        await store.history.append(key, [HistoryItem(data=b"{}")])
    await store.catalog.delete_chat(lease, chat.id)
    assert await _kept(store) == {"now", "another"}
    await store.catalog.delete_session(lease, session.id)
    assert await _kept(store) == {"another"}


async def p10_a_chat_is_weighed_with_what_was_said_of_its_session(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    await store.copies.plant(lease, chat, entries=said(chat.id, "one"), turns=[])
    (weight,) = await store.keeping.weights()
    assert (weight.chat_id, weight.session_id, weight.busy) == (chat.id, session.id, False)
    assert weight.size > 10
    assert (weight.keep_days, weight.keep_mib) == (None, None)
    await store.keeping.keep(lease, session.id, days=7, mib=None)
    assert (await store.keeping.weights())[0].keep_days == 7
    await store.inbox.accept(lease, chat.id, Prompt(id=new_id(), text="hi"), limit=9)
    assert (await store.keeping.weights())[0].busy


async def p11_what_comes_after_a_planted_chat_is_last_and_nothing_planted_is_news(store: Store, here: Owner) -> None:
    lease, session = await begin(store, here)
    chat = a_chat(session)
    turns = [
        TurnInfo(
            id=new_id(), chat_id=chat.id, prompt_id=None, agent="a", state="completed", started_at=1, end="completed"
        )
        for _ in range(5)
    ]
    await store.copies.plant(lease, chat, entries=said(chat.id, "one", "two"), turns=turns)
    assert not (await store.catalog.get_chat(chat.id)).unseen
    later = TurnInfo(id=new_id(), chat_id=chat.id, prompt_id=None, agent="b", state="running", started_at=2)
    await store.log.commit(lease, chat.id, Batch(entries=tuple(said(chat.id, "three")), turn=later))
    assert [turn.id for turn in await store.turns.of_chat(chat.id)] == [*(turn.id for turn in turns), later.id]
    assert await texts(store, chat.id) == ["one", "two", "three"]
    assert (await store.standings.of(chat.id)).agent == "b"


async def _kept(store: Store) -> set[str]:
    return {name for name, _ in await store.history.sessions("-home-user")}


CONTRACTS: tuple[Contract, ...] = tuple(
    contract for name, contract in sorted(globals().items()) if name[:1] == "p" and name[1:3].isdigit()
)
"""All of them, in their order."""
