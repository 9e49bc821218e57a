"""Two users of one PostgreSQL database: each sees their own, and of the other what a link shows, while it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from support.place import DEADLINE, Person, Place
from support.postgres import PostgresServer

from coder_nb.core.stream import ChangesFrame, PageFrame
from coder_nb.errors import CoderError, InvalidOption, NotFound
from coder_nb.runtime import Runtime
from coder_nb.store.roles import ROOTS, set_up, statements
from coder_nb.store.schema import metadata

pytestmark = pytest.mark.anyio


class Two:
    """Ann and bob, each with a runtime of their own on one database."""

    def __init__(self, server: PostgresServer, url: str, ann: Person, bob: Person) -> None:
        self.server, self.url, self.ann, self.bob = server, url, ann, bob

    def as_bob(self, statement: str, link: str = "") -> list[str]:
        """What bob's own SQL gives him."""
        name = self.url.rpartition("/")[2]
        script = f"SET coder_nb.link = '{link}'; {statement}" if link else statement
        return self.server.sql(script, url=self.server.url(name, user="bob", password="secret")).splitlines()


@pytest.fixture
async def two(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Two]:
    url = postgres.database()
    await set_up(url, ["ann", "bob"])
    name = url.rpartition("/")[2]
    places: list[Place] = []
    people: list[Person] = []
    for user in ("ann", "bob"):
        postgres.sql(f"ALTER ROLE {user} PASSWORD 'secret'")
        place = Place(tmp_path / user)
        places.append(place)
        runtime = await place.runtime(user, database=postgres.url(name, user=user, password="secret"))
        people.append(await place.person(runtime))
    yield Two(postgres, url, *people)
    for place in places:
        await place.close()


async def looked_at(runtime: Runtime, link: str) -> str:
    """All that a link shows at once."""
    seen = ""
    async with asyncio.timeout(DEADLINE), aclosing(cast("Any", runtime.shared(link))) as frames:
        async for frame in frames:
            seen += str(frame) if isinstance(frame, PageFrame) else ""
            if isinstance(frame, ChangesFrame):
                return seen
    raise AssertionError("the stream ended")


async def test_a_user_works_as_on_a_database_of_their_own(two: Two) -> None:
    turn = await two.bob.prompt("write work.txt mine", mode="bypass")
    assert turn.end == "completed"
    (change,) = await two.bob.runtime.changes(two.bob.chat.id)
    await two.bob.runtime.apply(two.bob.chat.id, [change.id])
    assert (two.bob.repository / "work.txt").exists()


async def test_nobody_sees_what_is_not_theirs(two: Two) -> None:
    await two.ann.prompt("say plums")
    assert [session.id for session in await two.bob.runtime.sessions()] == [two.bob.session.id]
    with pytest.raises(NotFound):
        await two.bob.runtime.get_chat(two.ann.chat.id)
    for table in set(metadata.tables) - {"leases"}:
        owned = "owned_by" if table in ROOTS else "1"
        assert set(two.as_bob(f"SELECT {owned} FROM {table}")) <= {"bob", "1"}
    for table in ("entries", "turns", "inbox", "agent_sessions"):
        assert two.as_bob(f"SELECT count(*) FROM {table}") == ["0"]


async def test_a_link_shows_the_chat_until_it_is_revoked_and_nothing_more(two: Two) -> None:
    await two.ann.prompt("say plums")
    other = await two.ann.runtime.open_chat(two.ann.session.id, name="other")
    await Person(two.ann.runtime, two.ann.session, other).prompt("say apples")
    share = await two.ann.runtime.share(two.ann.chat.id, by="ann")
    seen = await looked_at(two.bob.runtime, share.link)
    assert "plums" in seen
    assert "apples" not in seen
    with pytest.raises(CoderError):
        await two.bob.runtime.get_chat(two.ann.chat.id)
    await two.ann.runtime.unshare(two.ann.chat.id, share.id)
    with pytest.raises(NotFound):
        await looked_at(two.bob.runtime, share.link)


async def test_whoever_has_a_link_can_read_that_chat_by_sql_and_write_nothing(two: Two) -> None:
    import hashlib

    await two.ann.prompt("say plums")
    share = await two.ann.runtime.share(two.ann.chat.id, by="ann")
    link = hashlib.sha256(share.link.encode()).hexdigest()
    assert two.as_bob("SELECT count(*) > 0 FROM entries", link) == ["t"]
    for table in ("inbox", "agent_sessions", "worktrees", "histories", "history_items"):
        assert two.as_bob(f"SELECT count(*) FROM {table}", link) == ["0"]
    for statement in (
        "WITH gone AS (DELETE FROM entries RETURNING 1) SELECT count(*) FROM gone",
        "WITH moved AS (UPDATE sessions SET title = 'x' WHERE owned_by = 'ann' RETURNING 1) SELECT count(*) FROM moved",
        "WITH taken AS (UPDATE shares SET revoked_at = 1 RETURNING 1) SELECT count(*) FROM taken",
    ):
        assert two.as_bob(statement, link) == ["0"]
    assert "plums" in await two.ann.said((await two.ann.runtime.turns(two.ann.chat.id))[0].id)


async def test_setting_up_again_changes_nothing(two: Two) -> None:
    await two.ann.prompt("say plums")
    assert await set_up(two.url, ["ann", "bob"]) == []
    assert len(await two.ann.runtime.sessions()) == 1


async def test_a_name_that_is_none_is_refused_before_anything_is_done(postgres: PostgresServer) -> None:
    with pytest.raises(InvalidOption, match="database user"):
        await set_up(postgres.url("postgres"), ['ann"; DROP TABLE sessions'])


def test_every_table_has_a_policy() -> None:
    every = list(statements())
    for table in metadata.tables:
        assert any(statement.startswith(f"CREATE POLICY own ON {table} ") for statement in every)
