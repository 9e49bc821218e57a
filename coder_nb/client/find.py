"""Which runtime this process uses: that of the Jupyter server it belongs to, where there is one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from coder_nb import __version__
from coder_nb.core.stream import PROTOCOL
from coder_nb.errors import VersionMismatch

VARIABLE = "CODER_NB_CONNECTION_FILE"
"""Names the file by which a server's kernels find it: a path, never the secret itself."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What the connection file says: where the server is, and a token that is good for our API only."""

    url: str
    token: str
    pid: int
    protocol: int
    runtime_id: str = ""
    certificate: str = ""
    """The server's certificate, to be trusted as it is: a path, where it speaks https."""
    version: str = ""

    def __repr__(self) -> str:
        return f"Server(url={self.url!r}, pid={self.pid}, protocol={self.protocol})"

    @property
    def api(self) -> str:
        """The address under which the routes lie."""
        return f"{self.url.rstrip('/')}/coder-nb/api/v{PROTOCOL}/"


def find_server(environ: Mapping[str, str] | None = None) -> Server | None:
    """The server that this process belongs to; None where there is none, or where it has died.

    Raises `VersionMismatch` where it speaks another protocol.
    """
    path = (os.environ if environ is None else environ).get(VARIABLE)
    if not path:
        return None
    try:
        server = msgspec.json.decode(Path(path).read_bytes(), type=Server)
    except (OSError, msgspec.MsgspecError):
        return None
    if not alive(server.pid):
        return None
    check_protocol(server.protocol, server.version)
    return server


def check_protocol(protocol: int, version: str) -> None:
    """Raises `VersionMismatch`, naming both sides and the cure, where the other side's protocol is not ours."""
    if protocol == PROTOCOL:
        return
    theirs = f"coder-nb {version} with protocol {protocol}" if version else f"protocol {protocol}"
    behind = "server's" if protocol < PROTOCOL else "kernel's"
    raise VersionMismatch(
        f"The Jupyter server speaks {theirs}, this kernel coder-nb {__version__} with protocol {PROTOCOL}: "
        f"run `pip install -U coder-nb` in the {behind} environment and restart it."
    )


def alive(pid: int) -> bool:
    """Whether a process of that id runs on this machine."""
    import psutil

    return bool(psutil.pid_exists(pid))
