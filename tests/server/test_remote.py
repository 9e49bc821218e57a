"""The client's verbs over the wire are the runtime's: the same calls, the same values, the same errors."""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import Any

import pytest
from server.conftest import LINK

from coder_nb import errors
from coder_nb.client.find import find_server
from coder_nb.client.remote import Remote
from coder_nb.core.entries import Entry, Text
from coder_nb.core.export import Exported
from coder_nb.core.prompts import Prompt
from coder_nb.core.rules import Edits
from coder_nb.core.stream import Hello, PageFrame
from coder_nb.core.verbs import Verbs
from coder_nb.errors import CoderError, NotFound, StoreLocked
from coder_nb.ids import new_id
from coder_nb.store.owner import user
from jupyter_extension.base import STATUS
from jupyter_extension.connection import VARIABLE


async def reach(server: Any) -> Remote:
    """As a kernel finds it."""
    await server.extension.ready.wait()
    found = find_server({VARIABLE: str(server.extension.connection_file)})
    assert found is not None
    return Remote(found)


async def test_each_verb_arrives_as_it_was_said(server: Any, runtime: Any) -> None:
    remote = await reach(server)
    chat, session, prompt = runtime.chat.id, runtime.session.id, Prompt(id=new_id(), text="hi ☃ \x00", agent="goose")
    exported = Exported(
        chat=runtime.chat, session=runtime.session, entries=(Entry(id="e", chat_id="c", body=Text("☃")),)
    )
    said: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]] = [
        ("health", (), {}, ("health",)),
        ("agents", (), {}, ("agents",)),
        ("open_session", ("/work",), {"name": "two", "new": True}, ("open_session", "/work", "two", True)),
        ("sessions", (), {}, ("sessions",)),
        ("get_session", (session,), {}, ("get_session", session)),
        ("open_chat", (session,), {"name": "x"}, ("open_chat", session, "x", False)),
        ("get_chat", (chat,), {}, ("get_chat", chat)),
        ("prompt", (chat, prompt), {}, ("prompt", chat, prompt)),
        ("stop", (chat,), {}, ("stop", chat)),
        ("go_on", (chat,), {}, ("go_on", chat)),
        ("steer", (chat, "also"), {}, ("steer", chat, "also")),
        ("commands", (chat,), {}, ("commands", chat)),
        ("reply", (chat, "q1", ["yes"]), {"by": "stdin"}, ("reply", chat, "q1", ("yes",), "stdin")),
        ("native_sessions", (session, "a&b=ü"), {}, ("native_sessions", session, "a&b=ü")),
        ("adopt", (session, "qwen", "../x"), {"name": "n"}, ("adopt", session, "qwen", "../x", "n")),
        ("fork", (chat,), {"turn_id": "t", "files": "fresh"}, ("fork", chat, "t", "fresh", None)),
        ("export", (chat,), {"redact": False}, ("export", chat, False)),
        ("import_chat", (session, exported), {"name": "n"}, ("import_chat", session, 1, "n")),
        ("keep", (session,), {"days": 7}, ("keep", session, 7, None)),
        ("shares", (chat,), {}, ("shares", chat)),
        ("unshare", (chat, prompt.id), {}, ("unshare", chat, prompt.id)),
        ("withdraw", (chat, prompt.id), {}, ("withdraw", chat, prompt.id)),
        ("answer", (chat, "r1", "yes"), {"by": "stdin"}, ("answer", chat, "r1", "yes", "stdin")),
        ("attend", (chat,), {"who": "browser"}, ("attend", chat, user())),
        ("turns", (chat,), {}, ("turns", chat)),
        ("read", (chat,), {"after": 0, "limit": 1000}, ("read", chat, 0, None, 1000)),
        ("changes", (chat,), {}, ("changes", chat)),
        ("apply", (chat, ["a"]), {}, ("apply", chat, ("a",), {}, "", "")),
        (
            "apply",
            (chat, ["a"]),
            {"hunks": {"a": ["h"]}, "to": "branch:x", "commit": "why ☃"},
            ("apply", chat, ("a",), {"a": ("h",)}, "branch:x", "why ☃"),
        ),
        ("reject", (chat, ["a"]), {"hunks": {"a": ["h"]}}, ("reject", chat, ("a",), {"a": ("h",)})),
        ("revert", (chat, ["a"]), {}, ("revert", chat, ("a",))),
        ("preview", (chat,), {}, ("preview", chat)),
        ("content", (chat, prompt.id), {"old": True}, ("content", chat, prompt.id, True)),
        ("usage", (), {}, ("usage", None)),
        ("usage", (chat,), {}, ("usage", chat)),
        ("agent_sessions", (session,), {}, ("agent_sessions", session)),
        ("offers", (chat,), {}, ("offers", chat)),
        ("attention", (), {}, ("attention",)),
        ("seen", (chat, 7), {}, ("seen", chat, 7)),
        ("attend", (chat,), {"who": "a kernel", "prompt_id": chat}, ("attend", chat, user(), chat)),
        ("rules", (session,), {}, ("rules", session)),
        ("rules", (), {}, ("rules",)),
        ("audit", (chat,), {}, ("audit", chat)),
        ("audit", (), {}, ("audit",)),
        ("revoke", (chat,), {"by": "me"}, ("revoke", chat, user())),
        (
            "make_rule",
            (Edits("src/"),),
            {"does": "allow", "scope": "session", "session_id": session, "by": "me"},
            ("make_rule", Edits("src/"), "allow", "session", session, user()),
        ),
        ("checkpoints", (chat,), {}, ("checkpoints", chat)),
        ("restore", (chat, "t"), {"conversation": False}, ("restore", chat, "t", True, False)),
        ("risk", (session,), {}, ("risk", session)),
        ("stash", (session,), {}, ("stash", session)),
        ("keep_branch", (session, "idea"), {}, ("keep_branch", session, "idea")),
        ("close_session", (session,), {"force": True}, ("close_session", session, True)),
        ("delete_session", (session,), {"force": True}, ("delete_session", session, True)),
        ("close_chat", (chat,), {}, ("close_chat", chat, False)),
        ("delete_chat", (chat,), {"force": True}, ("delete_chat", chat, True)),
        ("worktrees", (), {}, ("worktrees",)),
        ("pool", (), {}, ("pool",)),
        ("evict", (f"{chat}.my-agent",), {}, ("evict", f"{chat}.my-agent")),
        ("restart", ("server.1",), {}, ("restart", "server.1")),
        ("agent_log", (f"{chat}.goose",), {}, ("agent_log", f"{chat}.goose")),
        ("reap", (), {"dry_run": True}, ("reap", True)),
    ]
    public = {name for name, _ in inspect.getmembers(Verbs, inspect.isfunction) if not name.startswith("_")}
    assert {name for name, *_ in said} == public - {"stream", "close", "share", "shared"}, (
        "these two have tests of their own"
    )
    for name, args, kwargs, heard in said:
        answered = await getattr(remote, name)(*args, **kwargs)
        assert runtime.asked[-1] == heard
        assert answered == await server.on_runtime(getattr(runtime, name)(*args, **kwargs))
    await remote.close()


async def test_a_link_is_made_once_and_looked_through_by_those_who_have_it(server: Any, runtime: Any) -> None:
    remote = await reach(server)
    share = await remote.share(runtime.chat.id, by="somebody")
    assert share.link == LINK
    assert runtime.asked[-1] == ("share", runtime.chat.id, user()), "a link is of who is logged in"
    async with aclosing(remote.shared(share.link)) as frames:  # type: ignore[type-var]  # it is a generator
        async for frame in frames:
            assert isinstance(frame, Hello)
            assert not frame.may_execute
            break
    with pytest.raises(NotFound, match="leads nowhere"):
        async with aclosing(remote.shared("another")) as frames:  # type: ignore[type-var]  # it is a generator
            [frame async for frame in frames]
    await remote.close()


@pytest.mark.parametrize("code", sorted(STATUS))
async def test_an_error_is_raised_as_what_it_was(server: Any, runtime: Any, code: str) -> None:
    remote = await reach(server)
    runtime.fails = errors.from_code(code, "Something is wrong: mend it.")
    with pytest.raises(CoderError) as caught:
        await remote.sessions()
    assert (type(caught.value), caught.value.message) == (type(runtime.fails), "Something is wrong: mend it.")
    await remote.close()


async def test_a_stream_is_followed(server: Any, runtime: Any) -> None:
    remote = await reach(server)
    await server.on_runtime(runtime.say("one"))
    frames = []
    async with aclosing(remote.stream(runtime.chat.id)) as stream:  # type: ignore[type-var]  # it is a generator
        async for frame in stream:
            frames.append(frame)
            if len(frames) == 3:
                await server.on_runtime(runtime.say("two"))
            if len(frames) == 4:
                break
    assert isinstance(frames[0], Hello)
    texts = [entry.body.text for frame in frames if isinstance(frame, PageFrame) for entry in frame.page.entries]
    assert texts == ["one", "two"]
    await server.on_runtime(runtime.readers(0))
    await remote.close()


async def test_a_stream_that_cannot_be_opened_says_why(server: Any, runtime: Any) -> None:
    remote = await reach(server)
    for chat, fails, expected in [(new_id(), None, NotFound), (runtime.chat.id, StoreLocked(), StoreLocked)]:
        runtime.fails = fails
        with pytest.raises(expected):
            await anext(aiter(remote.stream(chat)))
    await remote.close()
