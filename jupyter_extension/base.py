"""What every route has in common: who asks, what they may do, what they sent, and how a refusal looks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import msgspec
from jupyter_core.utils import ensure_async
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web

from coder_nb.core import codec
from coder_nb.core.verbs import Verbs
from coder_nb.core.words import line
from coder_nb.errors import BadRequest, CoderError, Forbidden, InvalidOption, NotFound, PromptTooLong
from coder_nb.ids import is_id
from jupyter_extension import connection
from jupyter_extension.delivery import deliver
from jupyter_extension.hosted import UNEXPECTED, HostedRuntime

Action = Literal["read", "execute"]

STATUS: Mapping[str, int] = {
    "error": 500,
    "bad_request": 400,
    "empty_prompt": 400,
    "prompt_too_long": 413,
    "bad_path": 400,
    "not_a_repository": 400,
    "no_commit": 400,
    "unknown_agent": 400,
    "invalid_option": 400,
    "missing_extra": 409,
    "not_found": 404,
    "forbidden": 403,
    "agent_unavailable": 409,
    "agent_not_installed": 409,
    "agent_not_logged_in": 409,
    "agent_disabled": 409,
    "agent_failed": 502,
    "agent_died": 502,
    "agent_protocol": 502,
    "agent_timeout": 504,
    "nobody_to_ask": 409,
    "turn_cancelled": 409,
    "turn_failed": 409,
    "run_elsewhere": 409,
    "lease_lost": 409,
    "conflict": 409,
    "apply_conflict": 409,
    "at_risk": 409,
    "stale_change": 409,
    "queue_full": 429,
    "too_many_readers": 429,
    "store": 503,
    "store_locked": 503,
    "store_damaged": 503,
    "store_full": 507,
    "store_too_new": 503,
    "store_on_network": 503,
    "store_unreachable": 503,
    "git": 500,
    "connection_lost": 503,
    "version_mismatch": 409,
}
"""The one table from a code of `coder_nb.errors` to the HTTP status; a code that is not here is a 500."""

REFUSALS: Mapping[int, tuple[str, str]] = {
    400: ("bad_request", "The request is not understood: `docs/protocol.md` describes the routes."),
    403: (
        "forbidden",
        "This server does not know who asks, or the request may come from another site: log in to Jupyter and reload "
        "the page, or send the token.",
    ),
    404: ("not_found", "There is nothing here for a page of this origin: check the address."),
    405: ("bad_request", "This route does not take that method: `docs/protocol.md` lists those that it takes."),
    500: ("error", UNEXPECTED),
}
"""What is said where the server itself refused, by status."""

LONGEST_MESSAGE = 1_000
"""How long a message to a person is at most."""
REQUEST_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")
"""What a permission's id may look like: it is the agent's own."""
KEY = re.compile(r"(?:[a-z0-9]{26}|server)\.[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}")
"""What a warm agent's key may look like: its chat and its name, or the number of a server."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks."""

    name: str
    kernel: bool
    """Whether it is a kernel of this server, which came with the connection file's token."""


@dataclass(frozen=True)
class Route:
    """One row of the table in `routes.py`.

    What the function's parameters are called says what it gets: ``runtime``, ``hosted``, ``caller``, ``body`` and
    ``query`` (decoded as annotated), or a part of the path. One that takes the runtime runs on the runtime's loop.
    """

    method: str
    path: str
    call: Callable[..., Awaitable[Any]]
    may: Action
    status: int = 200
    body_limit: int | None = None
    """Bytes of a body that are taken, where that is more than a prompt may have."""

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.call, eval_str=True)

    @property
    def answer(self) -> Any:
        """The type that the function returns."""
        found = self.signature.return_annotation
        return type(None) if found is None else found

    def kind_of(self, parameter: str) -> Any:
        """The type that the function wants a parameter to be; None where it does not take it."""
        found = self.signature.parameters.get(parameter)
        return None if found is None else found.annotation


def pattern(path: str) -> str:
    """A route's path as the regular expression that the server matches."""
    return "/coder-nb/api/v1/" + re.sub(r"{(\w+)}", r"(?P<\1>[^/]*)", path)


def checked_ids(ids: Mapping[str, str]) -> Mapping[str, str]:
    """The ids of a path; raises `NotFound` where one cannot be an id, before anything looks for it."""
    for name, value in ids.items():
        shape = {"request_id": REQUEST_ID, "key": KEY}.get(name)
        known = shape.fullmatch(value) if shape else is_id(value)
        if not known:
            word = "agent of the pool" if name == "key" else name.replace("_", " ").removesuffix(" id")
            raise NotFound(f"That names no {word}: look it up again, and give the whole of it.")
    return ids


def decoded(data: bytes, kind: Any, *, limit: int) -> Any:
    """A request's body as a value; raises `BadRequest` with the place where it is not one."""
    if len(data) > limit:
        raise PromptTooLong
    try:
        return codec.decode(data or b"{}", kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(
            f"The request's body is not what this route takes ({said}): `docs/protocol.md` says what is."
        ) from None


def converted(arguments: Mapping[str, list[bytes]], kind: Any) -> Any:
    """A request's query as a value; what is not known is ignored. Raises `InvalidOption`."""
    try:
        given = {name: values[-1].decode() for name, values in arguments.items() if values}
        return msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise InvalidOption(f"The address's query is not understood ({error}): check what follows the `?`.") from None


def readable(message: str) -> str:
    """A message that a person may be shown whole: of one that repeats much of what was sent, its begin and its end."""
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE // 2]} ... {message[-400:]}"


class Guard(JupyterHandler):
    """Identity and authorizer of Jupyter, with one door more: the connection file's token, for our routes only."""

    auth_resource = "coder"

    def initialize(
        self,
        *,
        hosted: HostedRuntime,
        token: str,
        body_limit: int,
        patience: float,
        routes: Mapping[str, Route] | None = None,
    ) -> None:
        self.hosted, self.kernel_token, self.body_limit, self.patience = hosted, token, body_limit, patience
        self.routes = routes or {}

    @property
    def from_kernel(self) -> bool:
        return connection.carries(self, self.kernel_token)

    @property
    def identity_provider(self) -> IdentityProvider:
        """Ours for the one request that carries our token, else the server's, whatever it is."""
        if self.from_kernel:
            return cast(IdentityProvider, self.settings["coder_nb_identity"])
        return super().identity_provider

    @property
    def authorizer(self) -> Authorizer:
        if self.from_kernel:
            return cast(Authorizer, self.settings["coder_nb_authorizer"])
        return super().authorizer

    @property
    def caller(self) -> Caller:
        user = self.current_user
        return Caller(name=user.display_name or user.username, kernel=self.from_kernel)

    async def permits(self, action: Action) -> bool:
        """Whether the caller may do this, by Jupyter's authorizer."""
        allowed = self.authorizer.is_authorized(self, self.current_user, action, self.auth_resource)
        return bool(await ensure_async(allowed))

    async def demand(self, action: Action) -> None:
        if self.current_user is None:
            raise Forbidden(REFUSALS[403][1])
        if not await self.permits(action):
            raise Forbidden(f"You may not {action} here: ask the administrator of this server for that right.")

    def refuse(self, status: int, code: str, message: str, details: object = None) -> None:
        """Answers with an error: a code, a sentence, and details where the error has some."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        more = {} if details is None else {"details": details}
        self.finish(msgspec.json.encode({"code": code, "message": readable(message), **more}))

    def refuse_with(self, error: CoderError, *, status: int | None = None) -> None:
        self.refuse(status or STATUS.get(error.code, 500), error.code, error.message, error.details)

    async def runtime_is_open(self) -> bool:
        """Whether there is a runtime to ask; answers with the cause where there is none."""
        try:
            await self.hosted.opened()
        except CoderError as error:
            self.refuse_with(error, status=503)
            return False
        return True

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """What the server refused, or what broke, as a sentence; whatever broke is in the log and not in the answer."""
        code, message = REFUSALS.get(status_code) or REFUSALS[400 if status_code < 500 else 500]
        self.refuse(status_code, code, message)


class RestHandler(Guard, APIHandler):
    """One address, and its rows of the table."""

    async def answer(self, **ids: str) -> None:
        """Authorize, parse, call, answer piece by piece."""
        route = self.routes.get(self.request.method or "")
        if route is None:
            self.set_header("Allow", ", ".join(sorted(self.routes)))
            raise web.HTTPError(405)
        try:
            await self.demand(route.may)
            arguments = self.arguments_for(route, ids)
            if route.kind_of("runtime") is not None and not await self.runtime_is_open():
                return
            body = await self.called(route, arguments)
        except CoderError as error:
            return self.refuse_with(error)
        self.set_status(route.status)
        if not await deliver(self, body, patience=self.patience):
            self.log.warning("coder-nb: %s", line("reader_stuck", {"chat": ids.get("chat_id")}))

    async def called(self, route: Route, arguments: Mapping[str, Any]) -> bytes:
        """What the route's function returns, as it is sent; nothing of None."""
        if route.kind_of("runtime") is None:
            value = await route.call(**arguments)
        else:
            value = await self.hosted.call(lambda runtime: _with(route, runtime, arguments))
        return b"" if value is None else codec.encode(value)

    def arguments_for(self, route: Route, ids: Mapping[str, str]) -> dict[str, Any]:
        """What the route's function wants of the request, by name."""
        arguments: dict[str, Any] = dict(checked_ids(ids))
        if (body := route.kind_of("body")) is not None:
            arguments["body"] = decoded(self.request.body, body, limit=route.body_limit or self.body_limit)
        if (query := route.kind_of("query")) is not None:
            arguments["query"] = converted(self.request.query_arguments, query)
        if route.kind_of("caller") is not None:
            arguments["caller"] = self.caller
        if route.kind_of("hosted") is not None:
            arguments["hosted"] = self.hosted
        return arguments

    def update_api_activity(self) -> None:
        """A page that only looks must not keep an idle server from being culled."""
        if self.request.method != "GET":
            super().update_api_activity()

    @web.authenticated
    async def get(self, **ids: str) -> None:
        await self.answer(**ids)

    @web.authenticated
    async def post(self, **ids: str) -> None:
        await self.answer(**ids)

    @web.authenticated
    async def delete(self, **ids: str) -> None:
        await self.answer(**ids)


async def _with(route: Route, runtime: Verbs, arguments: Mapping[str, Any]) -> Any:
    return await route.call(runtime=runtime, **arguments)
