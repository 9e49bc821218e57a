"""The verbs over the wire: REST and the WebSocket of a Jupyter server, from a kernel beside it.

Foreign errors stop here: what the server says becomes the error that it stands for, what the network does becomes
`ConnectionLost`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from coder_nb.client.find import Server, alive, check_protocol
from coder_nb.core.codec import decode, encode
from coder_nb.core.entries import Page
from coder_nb.core.export import Exported
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.values import (
    AgentCommands,
    AgentInfo,
    AgentSessionInfo,
    Change,
    ChatInfo,
    CheckpointInfo,
    FileContent,
    Files,
    Frame,
    Health,
    Hello,
    Isolation,
    NativeSession,
    PageFrame,
    Preview,
    Prompt,
    SessionInfo,
    Share,
    TurnInfo,
    UsageRow,
)
from coder_nb.errors import AtRisk, CoderError, ConnectionLost, Forbidden, NotFound, from_code

T = TypeVar("T")
RETRY_FIRST, RETRY_MOST = 0.25, 5.0
"""How long a broken stream waits before it connects again: doubled each time, up to the second."""
GIVE_UP_AFTER = 60.0
"""How long a stream tries to reach a server that is alive and does not answer."""
CONNECT_TRIES = 3
NOT_FOUND = 4404
"""The code by which a socket is closed whose link leads nowhere (any more)."""


class _Done(msgspec.Struct):
    done: bool


class _Restored(msgspec.Struct):
    undo: str


class _Typed(msgspec.Struct):
    type: str


class Remote:
    """A server's runtime, reached with the token of its connection file."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._headers = {"Authorization": f"Bearer {server.token}"}
        self._direct = is_loopback(server.url)
        self._tls = pinned(server.certificate) if server.certificate and self._direct else None
        self._http = httpx.AsyncClient(
            base_url=server.api,
            headers=self._headers,
            timeout=httpx.Timeout(60.0, connect=5.0),
            verify=True if self._tls is None else self._tls,
            trust_env=not self._direct,  # a proxy has no business between a kernel and the server beside it
        )

    async def health(self) -> Health:
        health = await self._get("health", Health)
        check_protocol(health.protocol, health.version)
        return health

    async def agents(self) -> tuple[AgentInfo, ...]:
        return await self._get("agents", tuple[AgentInfo, ...])

    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        asked = {"path": path, "name": name, "new": new, "isolation": isolation, "base": base}
        return await self._post("sessions", SessionInfo, asked)

    async def sessions(self) -> tuple[SessionInfo, ...]:
        return await self._get("sessions", tuple[SessionInfo, ...])

    async def get_session(self, session_id: str) -> SessionInfo:
        return await self._get(f"sessions/{session_id}", SessionInfo)

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        return await self._post(f"sessions/{session_id}/chats", ChatInfo, {"name": name, "new": new})

    async def get_chat(self, chat_id: str) -> ChatInfo:
        return await self._get(f"chats/{chat_id}", ChatInfo)

    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        return await self._post(f"chats/{chat_id}/prompts", ChatInfo, prompt)

    async def stop(self, chat_id: str) -> bool:
        return (await self._post(f"chats/{chat_id}/stop", _Done)).done

    async def steer(self, chat_id: str, text: str) -> bool:
        return (await self._post(f"chats/{chat_id}/steer", _Done, {"text": text})).done

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        return await self._get(f"chats/{chat_id}/commands", tuple[AgentCommands, ...])

    async def go_on(self, chat_id: str) -> ChatInfo:
        return await self._post(f"chats/{chat_id}/go-on", ChatInfo)

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        return (await self._send("DELETE", f"chats/{chat_id}/prompts/{prompt_id}", _Done)).done

    async def answer(self, chat_id: str, request_id: str, option_id: str | None, *, by: str) -> bool:
        body = {"option_id": option_id, "by": by}
        return (await self._post(f"chats/{chat_id}/permissions/{request_id}", _Done, body)).done

    async def reply(self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str) -> bool:
        body = {"answer": None if answer is None else list(answer), "by": by}
        return (await self._post(f"chats/{chat_id}/questions/{request_id}", _Done, body)).done

    async def attend(self, chat_id: str, *, who: str) -> None:
        await self._request("POST", f"chats/{chat_id}/attend")

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        return await self._get(f"chats/{chat_id}/turns", tuple[TurnInfo, ...])

    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        query: dict[str, int] = {"after": after, "limit": limit}
        if before is not None:
            query = {"before": before, "limit": limit}
        return await self._get(f"chats/{chat_id}/entries?{urlencode(query)}", Page)

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        """As `Verbs.stream`, over connections that are made again from the cursor when they break.

        Each new connection begins with its own `Hello`. Raises `ConnectionLost` when the server has died.
        """
        cursor, pause, reached = after, RETRY_FIRST, time.monotonic()
        while True:
            try:
                async with connect(
                    self._socket(chat_id, cursor, tail),
                    additional_headers=self._headers,
                    max_size=None,
                    ssl=self._tls,
                    proxy=None if self._direct else True,
                ) as socket:
                    async for message in socket:
                        frame = self._frame(message)
                        if frame is None:
                            continue
                        pause, reached = RETRY_FIRST, time.monotonic()
                        if isinstance(frame, Hello):
                            check_protocol(frame.protocol, "")
                        elif isinstance(frame, PageFrame):
                            cursor = frame.page.rev
                        yield frame
            except InvalidStatus as error:
                raise _error_of(error.response.status_code, bytes(error.response.body or b"")) from error
            except (OSError, WebSocketException, TimeoutError) as error:
                if time.monotonic() - reached > GIVE_UP_AFTER:
                    raise ConnectionLost from error
            if not alive(self._server.pid):
                raise ConnectionLost
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)

    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        return await self._get(f"chats/{chat_id}/changes", tuple[Change, ...])

    async def apply(
        self,
        chat_id: str,
        change_ids: Sequence[str],
        *,
        hunks: Mapping[str, Sequence[str]] | None = None,
        to: str = "",
        commit: str = "",
    ) -> tuple[Change, ...]:
        body = {"ids": list(change_ids), "hunks": dict(hunks or {}), "to": to, "commit": commit}
        return await self._post(f"chats/{chat_id}/changes/apply", tuple[Change, ...], body)

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Change, ...]:
        body = {"ids": list(change_ids), "hunks": dict(hunks or {})}
        return await self._post(f"chats/{chat_id}/changes/reject", tuple[Change, ...], body)

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        return await self._post(f"chats/{chat_id}/changes/revert", tuple[Change, ...], {"ids": list(change_ids)})

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        return await self._get(f"chats/{chat_id}/changes/preview", tuple[Preview, ...])

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        side = "old" if old else "new"
        return await self._get(f"chats/{chat_id}/changes/{change_id}/content?side={side}", FileContent)

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        return await self._get("usage" if chat_id is None else f"chats/{chat_id}/usage", tuple[UsageRow, ...])

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        return await self._get(f"sessions/{session_id}/agent-sessions", tuple[AgentSessionInfo, ...])

    async def native_sessions(self, session_id: str, agent: str) -> tuple[NativeSession, ...]:
        query = urlencode({"agent": agent})
        return await self._get(f"sessions/{session_id}/native-sessions?{query}", tuple[NativeSession, ...])

    async def adopt(self, session_id: str, agent: str, native_id: str, *, name: str | None = None) -> ChatInfo:
        body = {"agent": agent, "native_id": native_id, "name": name}
        return await self._post(f"sessions/{session_id}/adopt", ChatInfo, body)

    async def fork(
        self, chat_id: str, *, turn_id: str | None = None, files: Files = "shared", name: str | None = None
    ) -> ChatInfo:
        body = {"turn_id": turn_id, "files": files, "name": name}
        return await self._post(f"chats/{chat_id}/fork", ChatInfo, body)

    async def export(self, chat_id: str, *, redact: bool = True) -> Exported:
        return await self._get(f"chats/{chat_id}/export?redact={str(redact).lower()}", Exported)

    async def import_chat(self, session_id: str, exported: Exported, *, name: str | None = None) -> ChatInfo:
        return await self._post(f"sessions/{session_id}/import", ChatInfo, {"exported": exported, "name": name})

    async def keep(self, session_id: str, *, days: int | None = None, mib: int | None = None) -> None:
        await self._request("POST", f"sessions/{session_id}/keep", {"days": days, "mib": mib})

    async def share(self, chat_id: str, *, by: str) -> Share:
        return await self._post(f"chats/{chat_id}/shares", Share)

    async def shares(self, chat_id: str) -> tuple[Share, ...]:
        return await self._get(f"chats/{chat_id}/shares", tuple[Share, ...])

    async def unshare(self, chat_id: str, share_id: str) -> bool:
        return (await self._send("DELETE", f"chats/{chat_id}/shares/{share_id}", _Done)).done

    async def shared(self, link: str, *, tail: int = 200) -> AsyncIterator[Frame]:
        """As `Verbs.shared`, over one connection; the link goes as a message, so that no log has it."""
        try:
            async with connect(
                "ws" + f"{self._server.api}shared".removeprefix("http"),
                additional_headers=self._headers,
                max_size=None,
                ssl=self._tls,
                proxy=None if self._direct else True,
            ) as socket:
                await socket.send(encode({"link": link, "tail": tail}).decode())
                async for message in socket:
                    if (frame := self._frame(message)) is not None:
                        yield frame
        except ConnectionClosed as error:
            reason = error.rcvd.reason if error.rcvd else ""
            raise (NotFound(reason) if error.rcvd and error.rcvd.code == NOT_FOUND else ConnectionLost()) from error
        except (OSError, WebSocketException) as error:
            raise ConnectionLost from error

    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        return await self._get(f"chats/{chat_id}/checkpoints", tuple[CheckpointInfo, ...])

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        body = {"turn_id": turn_id, "files": files, "conversation": conversation}
        return (await self._post(f"chats/{chat_id}/restore", _Restored, body)).undo

    async def risk(self, session_id: str) -> Risk:
        return await self._get(f"sessions/{session_id}/risk", Risk)

    async def stash(self, session_id: str) -> Risk:
        return await self._post(f"sessions/{session_id}/stash", Risk)

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        return await self._post(f"sessions/{session_id}/branch", Risk, {"name": name})

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        await self._request("POST", f"sessions/{session_id}/close", {"force": force})

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        await self._request("DELETE", f"sessions/{session_id}?{urlencode({'force': str(force).lower()})}")

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self._request("POST", f"chats/{chat_id}/close", {"force": force})

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self._request("DELETE", f"chats/{chat_id}?{urlencode({'force': str(force).lower()})}")

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        return await self._get("worktrees", tuple[WorktreeInfo, ...])

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        return await self._post("worktrees/reap", tuple[WorktreeInfo, ...], {"dry_run": dry_run})

    async def close(self) -> None:
        await self._http.aclose()

    async def _get(self, route: str, kind: type[T]) -> T:
        return await self._send("GET", route, kind)

    async def _post(self, route: str, kind: type[T], body: object = None) -> T:
        return await self._send("POST", route, kind, body)

    async def _send(self, method: str, route: str, kind: type[T], body: object = None) -> T:
        data = await self._request(method, route, body)
        try:
            return decode(data, kind)
        except msgspec.MsgspecError as error:
            raise self._not_ours(route) from error

    def _frame(self, message: str | bytes) -> Frame | None:
        """A frame of a stream; None for one of a kind that a later server has and this kernel does not know."""
        try:
            frame: Frame = decode(message, _FRAME)
            return frame
        except msgspec.MsgspecError as error:
            try:
                if msgspec.json.decode(message, type=_Typed).type not in _FRAME_TYPES:
                    return None
            except msgspec.MsgspecError:
                pass
            raise self._not_ours("the stream") from error

    def _not_ours(self, route: str) -> ConnectionLost:
        return ConnectionLost(
            f"The server at {self._server.url} answered {route} with something that is not coder-nb's: "
            "check that the extension is the one of this version (`jupyter server extension list`)."
        )

    async def _request(self, method: str, route: str, body: object = None) -> bytes:
        content = None if body is None else encode(body)
        response = await self._reach(method, route, content)
        if response.is_success:
            return response.content
        raise _error_of(response.status_code, response.content)

    async def _reach(self, method: str, route: str, content: bytes | None) -> httpx.Response:
        for attempt in range(CONNECT_TRIES):
            try:
                return await self._http.request(
                    method, route, content=content, headers={"Content-Type": "application/json"}
                )
            except httpx.ConnectError as error:  # nothing was sent, so that it may be sent again
                if attempt == CONNECT_TRIES - 1 or not alive(self._server.pid):
                    raise ConnectionLost from error
                await asyncio.sleep(RETRY_FIRST * 2**attempt)
            except httpx.TransportError as error:
                raise ConnectionLost from error
        raise ConnectionLost

    def _socket(self, chat_id: str, after: int | None, tail: int) -> str:
        query = {"tail": tail} if after is None else {"after": after}
        address = f"{self._server.api}chats/{chat_id}/stream?{urlencode(query)}"
        return "ws" + address.removeprefix("http")


_FRAME: Any = Frame
_FRAME_TYPES = frozenset(kind.__struct_config__.tag for kind in get_args(Frame))


def pinned(certificate: str) -> ssl.SSLContext:
    """Trusts a server that proves to have this very certificate, and no other, whatever name it is reached by.

    A server's certificate names the host that browsers see, while a kernel beside it comes by loopback. Raises
    `ConnectionLost` where it cannot be read.
    """
    end = "-----END CERTIFICATE-----"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        text = Path(certificate).read_text(encoding="ascii", errors="ignore")
        own = text[text.find("-----BEGIN CERTIFICATE-----") : text.find(end) + len(end)]  # not those that signed it
        context.load_verify_locations(cadata=own)
    except (OSError, ValueError) as error:
        raise ConnectionLost(
            f"The Jupyter server's certificate {certificate} cannot be read ({error}): make it a PEM file that you may "
            "read, then restart the kernel."
        ) from error
    return context


def is_loopback(url: str) -> bool:
    """Whether an address never leaves this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _error_of(status: int, body: bytes) -> CoderError:
    try:
        said = msgspec.json.decode(body, type=dict[str, Any])
        error = from_code(str(said["code"]), str(said["message"]))
        if isinstance(error, AtRisk) and "details" in said:
            error.report = msgspec.convert(said["details"], Risk)
        return error
    except (msgspec.MsgspecError, KeyError):
        if status in (401, 403):
            return Forbidden("The Jupyter server refused this kernel's token: restart the kernel.")
        return ConnectionLost(
            f"The Jupyter server answered {status}: check that coder-nb's extension is enabled there "
            "(`jupyter server extension list`), then restart the kernel."
        )
