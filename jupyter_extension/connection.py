"""The connection file, by which this server's kernels find it, and the callers who come with its token.

The token opens our routes and nothing else. A kernel learns the file's path from its environment, never the token:
what agents and notebooks print cannot give it away.
"""

from __future__ import annotations

import hmac
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from jupyter_core.paths import secure_write
from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import IdentityProvider, User
from tornado.web import RequestHandler

from coder_nb import __version__
from coder_nb.core.stream import PROTOCOL
from coder_nb.store.owner import user

VARIABLE = "CODER_NB_CONNECTION_FILE"
"""The variable that tells kernels where the file is."""
KERNEL = "kernel"
"""The name of a caller who comes with the token."""

_ANY_ADDRESS = {"": "localhost", "*": "localhost", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says."""

    url: str
    """The server's address with its base URL, as a process on this machine reaches it."""
    token: str
    pid: int
    runtime_id: str = ""
    """Empty while the runtime cannot open."""
    certificate: str = ""
    """The server's certificate, where it speaks https: a kernel may have to be told to trust it."""
    protocol: int = PROTOCOL
    version: str = __version__

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r}, pid={self.pid})"


def file_path(runtime_dir: str) -> Path:
    """Where this process's connection file is."""
    return Path(runtime_dir) / f"coder-nb-{os.getpid()}.json"


def write(path: Path, connection: Connection) -> None:
    """Writes the file for its owner's eyes only; whoever reads meanwhile sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    with secure_write(str(fresh), binary=True) as file:
        file.write(msgspec.json.encode(connection))
    fresh.replace(path)


def remove(path: Path) -> None:
    """Removes the file; it may be gone already."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def local_url(*, scheme: str, ip: str, port: int, base_url: str) -> str:
    """The address at which a process on this machine reaches a server that listens on an address."""
    host = _ANY_ADDRESS.get(ip) or (f"[{ip}]" if ":" in ip else ip)
    return f"{scheme}://{host}:{port}{base_url}"


class KernelIdentity(IdentityProvider):
    """Who a caller with the token is: whoever runs this server, as nobody else can read the token.

    Their requests name no cookie, so that no other site can have made them.
    """

    def get_user(self, handler: RequestHandler) -> User:
        handler._token_authenticated = True  # type: ignore[attr-defined]  # Jupyter's mark: no XSRF, no origin check
        name = user()
        return User(username=KERNEL, name=name, display_name=name)


class KernelAuthorizer(Authorizer):
    """A caller with the token may do all that our routes offer."""

    def is_authorized(self, handler: Any, user: User, action: str, resource: str) -> bool:
        return resource == "coder"


def carries(handler: RequestHandler, token: str) -> bool:
    """Whether a request comes with our token, in the one header where it is taken."""
    given = handler.request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given, f"Bearer {token}".encode())
