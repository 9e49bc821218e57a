"""The way from a kernel to the Jupyter server beside it, which the groups of verbs share.

Foreign errors stop here: what the server says becomes the error that it stands for, what the network does becomes
`ConnectionLost`.
"""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

import httpx
import msgspec

from coder_nb.client.find import Server, alive
from coder_nb.client.tls import is_loopback, pinned
from coder_nb.core.codec import decode, encode
from coder_nb.core.risk import Risk
from coder_nb.errors import AtRisk, CoderError, ConnectionLost, Forbidden, from_code

T = TypeVar("T")
RETRY_FIRST = 0.25
"""Seconds before what could not connect tries again; doubled each time."""
CONNECT_TRIES = 3


class Done(msgspec.Struct):
    """Whether it was done; false where there was nothing to do (any more)."""

    done: bool


class Wire:
    """The way to one server, with the token of its connection file."""

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
        raise error_of(response.status_code, response.content)

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


def error_of(status: int, body: bytes) -> CoderError:
    """The error that an answer stands for."""
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
