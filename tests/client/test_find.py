from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from coder_nb.client.find import VARIABLE, find_server
from coder_nb.core.stream import PROTOCOL
from coder_nb.errors import VersionMismatch


def write(path: Path, **fields: object) -> dict[str, str]:
    server = {"url": "http://127.0.0.1:1/", "token": "secret", "pid": os.getpid(), "protocol": PROTOCOL, "new": 1}
    path.write_bytes(msgspec.json.encode({**server, **fields}))
    return {VARIABLE: str(path)}


def test_the_connection_file_says_where_the_server_is(tmp_path: Path) -> None:
    found = find_server(write(tmp_path / "server.json", url="http://127.0.0.1:8888/user/me/"))
    assert found is not None
    assert found.api == "http://127.0.0.1:8888/user/me/coder-nb/api/v1/"
    assert "secret" not in repr(found)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"url": 1}'])
def test_a_missing_or_damaged_file_is_no_server(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "server.json"
    if content is not None:
        path.write_bytes(content)
    assert find_server({VARIABLE: str(path)}) is None
    assert find_server({}) is None


def test_the_file_of_a_dead_server_is_no_server(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert find_server(write(tmp_path / "server.json", pid=dead.pid)) is None


@pytest.mark.parametrize(("theirs", "behind"), [(PROTOCOL + 1, "kernel's"), (0, "server's")])
def test_another_protocol_names_both_sides_and_the_one_to_upgrade(tmp_path: Path, theirs: int, behind: str) -> None:
    with pytest.raises(VersionMismatch, match=f"protocol {theirs}.*protocol {PROTOCOL}.*in the {behind} environment"):
        find_server(write(tmp_path / "server.json", protocol=theirs))
