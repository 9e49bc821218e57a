"""A Jupyter server with the extension, over a runtime in memory; and callers of every kind.

pytest-jupyter runs the asynchronous tests of this folder on the server's own loop.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import IdentityProvider, User
from pytest_jupyter.jupyter_server import *  # noqa: F403
from support.smallest import answer
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from coder_nb.core.agents import AgentCommands, AgentInfo, AgentOffer, AgentSessionInfo, NativeSession
from coder_nb.core.attention import ChatAttention
from coder_nb.core.changes import Change, FileContent, Preview
from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.copies import Files, Share
from coder_nb.core.entries import Entry, Page, Text
from coder_nb.core.export import Exported
from coder_nb.core.health import AgentLog, Health, LiveAgent
from coder_nb.core.prompts import Prompt
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.rules import Always, AnyCovers, Does, Rule, Scope
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo
from coder_nb.core.stream import PROTOCOL, Frame, Hello, PageFrame, StateFrame
from coder_nb.core.usage import UsageRow
from coder_nb.core.verbs import Verbs
from coder_nb.errors import AtRisk, NotFound
from coder_nb.ids import new_id
from jupyter_extension.app import CoderExtension

API = "coder-nb/api/v1"
LINK = "the-secret-of-a-link"


class MemoryRuntime:
    """A runtime without agents and without a disk: it keeps what it is told, and says what it was asked."""

    def __init__(self) -> None:
        self.session = SessionInfo(id=new_id(), owner="alice", path="/work", chats=(chat := new_id(),))
        self.chat = ChatInfo(id=chat, session_id=self.session.id, run_status="idle")
        self.entries: list[Entry] = []
        self.asked: list[tuple[Any, ...]] = []
        self.fails: Exception | None = None
        self.fails_streams: Exception | None = None
        """What is raised to whoever begins to follow."""
        self.hangs: threading.Event | None = None
        """Set when a call has begun that never returns."""
        self.turns_running = 0
        self.streams = 0
        """How many readers there are."""
        self.read_ahead = 0
        """How many pages the readers have taken, together."""
        self.closed = False
        self._told = asyncio.Condition()

    def __getattr__(self, name: str) -> Any:
        """A verb that has no line of its own here: it is heard, and answers with the smallest value of its type."""
        verb = getattr(Verbs, name, None)
        if not inspect.iscoroutinefunction(verb):
            raise AttributeError(name)
        signature = inspect.signature(verb, eval_str=True)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._heard(name, *signature.bind(self, *args, **kwargs).args[1:], *kwargs.values())
            return None if signature.return_annotation is None else answer(signature.return_annotation)

        return call

    def _heard(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.fails is not None:
            raise self.fails

    def _known(self, chat_id: str) -> ChatInfo:
        if chat_id != self.chat.id:
            raise NotFound
        return self.chat

    async def say(self, *texts: str) -> None:
        """Commits entries, as an agent's turn would."""
        for text in texts:
            at = len(self.entries) + 1
            self.entries.append(Entry(id=new_id(), chat_id=self.chat.id, body=Text(text=text), pos=at, rev=at))
        async with self._told:
            self._told.notify_all()

    async def health(self) -> Health:
        self._heard("health")
        return Health(
            protocol=PROTOCOL, version="1.2.3", runtime_id="memory", status="ok", turns_running=self.turns_running
        )

    async def agents(self) -> tuple[AgentInfo, ...]:
        self._heard("agents")
        return (AgentInfo(name="replay", label="Replay", backend="replay", available=True),)

    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        self._heard("open_session", path, name, new, *filter(None, (isolation, base)))
        return self.session

    async def sessions(self) -> tuple[SessionInfo, ...]:
        self._heard("sessions")
        if self.hangs is not None:
            self.hangs.set()
            await asyncio.Event().wait()
        return (self.session,)

    async def get_session(self, session_id: str) -> SessionInfo:
        self._heard("get_session", session_id)
        if session_id != self.session.id:
            raise NotFound
        return self.session

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        self._heard("open_chat", session_id, name, new)
        return self.chat

    async def get_chat(self, chat_id: str) -> ChatInfo:
        self._heard("get_chat", chat_id)
        return self._known(chat_id)

    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        self._heard("prompt", chat_id, prompt)
        await self.say(prompt.text)
        return self.chat

    async def stop(self, chat_id: str) -> bool:
        self._heard("stop", chat_id)
        return False

    async def steer(self, chat_id: str, text: str) -> bool:
        self._heard("steer", chat_id, text)
        return True

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        self._heard("commands", chat_id)
        return ()

    async def go_on(self, chat_id: str) -> ChatInfo:
        self._heard("go_on", chat_id)
        return self.chat

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        self._heard("withdraw", chat_id, prompt_id)
        return False

    async def answer(
        self, chat_id: str, request_id: str, option_id: str | None, *, by: str, always: Always | None = None
    ) -> bool:
        self._heard("answer", chat_id, request_id, option_id, by, *([always] if always else []))
        return True

    async def reply(self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str) -> bool:
        self._heard("reply", chat_id, request_id, answer, by)
        return True

    async def attend(self, chat_id: str, *, who: str, prompt_id: str | None = None) -> None:
        self._heard("attend", chat_id, who, *([prompt_id] if prompt_id else []))
        async with self._told:
            self._told.notify_all()

    async def make_rule(
        self, covers: AnyCovers, *, does: Does, scope: Scope, session_id: str | None = None, by: str
    ) -> Rule:
        self._heard("make_rule", covers, does, scope, session_id, by)
        return Rule(id=self.session.id, does=does, scope=scope, covers=covers)

    async def attended(self, times: int) -> None:
        """Returns when so many signs of life have come."""
        async with self._told:
            await self._told.wait_for(lambda: sum(asked[0] == "attend" for asked in self.asked) >= times)

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        self._heard("turns", chat_id)
        return ()

    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        self._heard("read", chat_id, after, before, limit)
        self._known(chat_id)
        return self._page(after, limit)

    def _page(self, after: int, limit: int) -> Page:
        found = [entry for entry in self.entries if entry.rev > after][:limit]
        rev = found[-1].rev if found else after
        return Page(entries=tuple(found), rev=rev, more=rev < len(self.entries))

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        if self.fails_streams is not None:
            raise self.fails_streams
        cursor = max(len(self.entries) - tail, 0) if after is None else after
        self.streams += 1
        try:
            yield Hello(
                protocol=PROTOCOL,
                runtime_id="memory",
                epoch="e",
                chat=self.chat,
                session=self.session,
                first_pos=cursor + 1,
            )
            while True:
                while (page := self._page(cursor, 10)).entries:
                    cursor = page.rev
                    self.read_ahead += 1
                    yield PageFrame(page=page)
                yield StateFrame(chat=self.chat)
                while not self.closed and self.fails is None and len(self.entries) <= cursor:
                    async with self._told:
                        await self._told.wait()
                if self.fails is not None:
                    raise self.fails
                if self.closed:
                    return
        finally:
            self.streams -= 1
            async with self._told:
                self._told.notify_all()

    async def readers(self, count: int) -> None:
        """Returns when there are so many readers."""
        async with self._told:
            await self._told.wait_for(lambda: self.streams == count)

    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        self._heard("changes", chat_id)
        return ()

    async def apply(
        self,
        chat_id: str,
        change_ids: Sequence[str],
        *,
        hunks: Mapping[str, Sequence[str]] | None = None,
        to: str = "",
        commit: str = "",
    ) -> tuple[Change, ...]:
        self._heard("apply", chat_id, tuple(change_ids), hunks, to, commit)
        return ()

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Change, ...]:
        self._heard("reject", chat_id, tuple(change_ids), hunks)
        return ()

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        self._heard("revert", chat_id, tuple(change_ids))
        return ()

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        self._heard("preview", chat_id)
        return ()

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        self._heard("content", chat_id, change_id, old)
        return FileContent(media_type="text/plain", size=1, text="x")

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        self._heard("usage", chat_id)
        return ()

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        self._heard("agent_sessions", session_id)
        return ()

    async def offers(self, chat_id: str) -> tuple[AgentOffer, ...]:
        self._heard("offers", chat_id)
        return ()

    async def attention(self) -> tuple[ChatAttention, ...]:
        self._heard("attention")
        return ()

    async def seen(self, chat_id: str, rev: int) -> bool:
        self._heard("seen", chat_id, rev)
        return True

    async def pool(self) -> tuple[LiveAgent, ...]:
        self._heard("pool")
        return ()

    async def evict(self, key: str) -> bool:
        self._heard("evict", key)
        return True

    async def restart(self, key: str) -> bool:
        self._heard("restart", key)
        return False

    async def agent_log(self, key: str) -> AgentLog:
        self._heard("agent_log", key)
        return AgentLog(key=key, stderr="last words")

    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        self._heard("checkpoints", chat_id)
        return ()

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        self._heard("restore", chat_id, turn_id, files, conversation)
        return "undo"

    async def risk(self, session_id: str) -> Risk:
        self._heard("risk", session_id)
        return Risk(session_id=session_id)

    async def stash(self, session_id: str) -> Risk:
        self._heard("stash", session_id)
        return Risk(session_id=session_id)

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        self._heard("keep_branch", session_id, name)
        return Risk(session_id=session_id)

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        self._heard("close_session", session_id, force)
        if not force:
            raise AtRisk("Work would be lost.", report=Risk(session_id=session_id, at_risk=True, dirty=("a.txt",)))

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        self._heard("delete_session", session_id, force)

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        self._heard("close_chat", chat_id, force)

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        self._heard("delete_chat", chat_id, force)

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        self._heard("worktrees")
        return ()

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        self._heard("reap", dry_run)
        return ()

    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        self._heard("native_sessions", session_id, agent)
        return ()

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        self._heard("adopt", session_id, agent, native_id, name)
        return self.chat

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        self._heard("fork", chat_id, turn_id, files, name)
        return self.chat

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        self._heard("export", chat_id, redact)
        return Exported(chat=self.chat, session=self.session, entries=tuple(self.entries))

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        self._heard("import_chat", session_id, len(exported.entries), name)
        return self.chat

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        self._heard("keep", session_id, days, mib)

    async def share(self, chat_id: str, *, by: str) -> Share:
        self._heard("share", chat_id, by)
        return Share(id=new_id(), chat_id=chat_id, by=by, link=LINK)

    async def shares(self, chat_id: str) -> tuple[Share, ...]:
        self._heard("shares", chat_id)
        return ()

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        self._heard("unshare", chat_id, share_id)
        return True

    async def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        if link != LINK:
            raise NotFound("This link leads nowhere: ask who gave it to you.")
        async with aclosing(cast("Any", self.stream(self.chat.id, tail=tail))) as frames:
            async for frame in frames:
                yield msgspec.structs.replace(frame, may_execute=False) if isinstance(frame, Hello) else frame

    async def close(self) -> None:
        self.closed = True
        async with self._told:
            self._told.notify_all()


class Grants(Authorizer):
    """Lets named actions pass, of named users or of all."""

    actions: frozenset[str] = frozenset({"read", "write", "execute"})
    users: frozenset[str] | None = None

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        return action in self.actions and (self.users is None or user.username in self.users)


class ByHeader(IdentityProvider):
    """Knows users by a header, as a hub knows them by its cookie."""

    def get_user(self, handler: Any) -> User | None:
        name = handler.request.headers.get("X-User")
        return User(username=name) if name else None


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Any = field(default=None, repr=False, compare=False)


class Server:
    """The server under test, as its callers meet it."""

    def __init__(self, app: Any, client: Any, base_url: str) -> None:
        self.app = app
        self.extension: CoderExtension = next(iter(app.extension_manager.extension_apps["coder_nb_under_test"]))
        self._client = client
        self._base_url = base_url
        self._sockets: list[WebSocketClientConnection] = []

    @property
    def token(self) -> dict[str, str]:
        """The headers of a caller with the server's own token."""
        return {"Authorization": f"token {self.app.identity_provider.token}"}

    @property
    def kernel(self) -> dict[str, str]:
        """The headers of a kernel of this server."""
        return {"Authorization": f"Bearer {self.extension.token}"}

    async def cookies(self) -> dict[str, str]:
        """The headers of a browser that has logged in, and has no XSRF header on its requests yet."""
        jar: dict[str, str] = {}
        for path, headers in (("login", {}), ("api/status", self.token)):
            reply = await self.ask("GET", path, headers=headers, at="")
            for cookie in reply.headers.get_list("Set-Cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                if value.strip('"'):
                    jar[name] = value
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items()), "Xsrf": jar["_xsrf"]}

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, at: str = f"{API}/"
    ) -> Reply:
        """One request, by default of the owner of the server's token."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        response = await self._client.fetch(
            f"{self._base_url}{at}{path}",
            method=method,
            headers=self.token if headers is None else headers,
            body=data,
            allow_nonstandard_methods=True,
            raise_error=False,
            follow_redirects=False,
        )
        is_json = "json" in response.headers.get("Content-Type", "")
        read = json.loads(response.body) if is_json and response.body else response.body
        return Reply(response.code, read, response.headers)

    async def connect(self, path: str, *, headers: dict[str, str] | None = None) -> WebSocketClientConnection:
        """A socket, by default of the owner of the server's token; raises `HTTPClientError` where it is refused."""
        url = f"ws://127.0.0.1:{self._client.get_http_port()}{self._base_url}{API}/{path}"
        socket = await websocket_connect(HTTPRequest(url, headers=self.token if headers is None else headers))
        self._sockets.append(socket)
        return socket

    async def hang_up(self) -> None:
        for socket in self._sockets:
            socket.close()

    async def frame(self, socket: WebSocketClientConnection) -> Any:
        """The next frame of a socket; None where it was closed."""
        message = await asyncio.wait_for(socket.read_message(), 60)
        return None if message is None else msgspec.json.decode(message)

    async def on_runtime(self, work: Awaitable[Any]) -> Any:
        """Runs something of the runtime's on its own loop."""

        async def run() -> Any:
            return await work

        return await asyncio.wrap_future(self.extension.hosted.spawn(run()))


@pytest.fixture
def runtime() -> MemoryRuntime:
    return MemoryRuntime()


@pytest.fixture
def opening(runtime: MemoryRuntime) -> Callable[[], Verbs | Awaitable[Verbs]]:
    """What the server opens; a test replaces it to have it fail, or to have a real one."""
    return lambda: runtime


@pytest.fixture
def jp_server_config(opening: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The extension as it is, but for the runtime that it opens."""

    class UnderTest(CoderExtension):
        async def open_runtime(self) -> Verbs:
            opened = opening()
            return await opened if inspect.isawaitable(opened) else opened

    module = types.ModuleType("coder_nb_under_test")
    module.__dict__["_jupyter_server_extension_points"] = lambda: [{"module": "coder_nb_under_test", "app": UnderTest}]
    monkeypatch.setitem(sys.modules, "coder_nb_under_test", module)
    extensions = {"coder_nb_under_test": True}
    return {"ServerApp": {"jpserver_extensions": extensions, "reraise_server_extension_failures": True}}


@pytest.fixture
def server(jp_serverapp: Any, http_server_client: Any, jp_base_url: str, jp_asyncio_loop: Any) -> Iterator[Server]:
    """The server, started."""
    jp_asyncio_loop.run_until_complete(jp_serverapp.extension_manager.start_all_extensions())
    server = Server(jp_serverapp, http_server_client, jp_base_url)
    yield server
    jp_asyncio_loop.run_until_complete(server.hang_up())


@pytest.fixture
def grants(server: Server) -> Callable[..., None]:
    """Lets only some users, or some actions, pass; users are known by a header then, as on a hub."""

    def set_grants(*, actions: Iterable[str] = Grants.actions, users: Iterable[str] | None = None) -> None:
        settings = server.app.web_app.settings
        identity = settings["identity_provider"]
        settings["authorizer"] = authorizer = Grants(parent=server.app, identity_provider=identity)
        authorizer.actions, authorizer.users = frozenset(actions), None if users is None else frozenset(users)
        if users is not None:
            settings["identity_provider"] = ByHeader(parent=server.app)

    return set_grants
