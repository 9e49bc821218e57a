"""The connection file and the address in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from coder_nb.client.find import VARIABLE, Server, find_server
from jupyter_extension import connection
from jupyter_extension.connection import Connection

GIVEN = Connection(url="http://localhost:8888/", token="secret", pid=os.getpid(), runtime_id="r")


@pytest.mark.parametrize(
    ("ip", "base_url", "expected"),
    [
        ("localhost", "/", "http://localhost:8888/"),
        ("127.0.0.1", "/user/alice/", "http://127.0.0.1:8888/user/alice/"),
        ("", "/", "http://localhost:8888/"),
        ("*", "/", "http://localhost:8888/"),
        ("0.0.0.0", "/", "http://127.0.0.1:8888/"),
        ("::", "/", "http://[::1]:8888/"),
        ("::1", "/", "http://[::1]:8888/"),
        ("10.0.0.5", "/", "http://10.0.0.5:8888/"),
    ],
)
def test_the_address_is_one_that_this_machine_reaches(ip: str, base_url: str, expected: str) -> None:
    assert connection.local_url(scheme="http", ip=ip, port=8888, base_url=base_url) == expected


def test_the_file_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    path = tmp_path / "run" / "c.json"
    connection.write(path, GIVEN)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert msgspec.json.decode(path.read_bytes(), type=Connection) == GIVEN
    connection.write(path, GIVEN)
    assert os.listdir(path.parent) == ["c.json"]
    connection.remove(path)
    connection.remove(path)
    assert os.listdir(path.parent) == []


def test_the_client_reads_what_the_server_writes(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    connection.write(path, GIVEN)
    found = find_server({VARIABLE: str(path)})
    assert found == Server(
        url=GIVEN.url, token="secret", pid=GIVEN.pid, protocol=1, runtime_id="r", version=GIVEN.version
    )
    assert connection.VARIABLE == VARIABLE


def test_what_is_printed_of_it_hides_the_token() -> None:
    assert "secret" not in repr(GIVEN)
