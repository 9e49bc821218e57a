"""A PostgreSQL of the tests' own: a real server, started by whoever asks for it first, gone with the run."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DEADLINE = 60.0
_SETTINGS = {
    "fsync": "on",
    "recovery_init_sync_method": "syncfs",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "max_connections": "100",
    "autovacuum_naptime": "10s",
}


class PostgresServer:
    """A server on a loopback port, as an unprivileged user, with its data in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Use `postgres_server`."""
        self.folder = folder
        self.user, self.password = "tester", secrets.token_hex(12)
        self.port = _free_port()
        self._programs = programs()
        self._account = _account()
        self.uid = self._account.pw_uid
        self._process: subprocess.Popen[bytes] | None = None
        # What dies with its parent dies with the thread that started it: this one lives as long as the server.
        self._parent = ThreadPoolExecutor(max_workers=1)
        self._made = 0

    def make(self) -> None:
        """Makes the data directory."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        for path in (self.folder, secret):
            os.chown(path, self._account.pw_uid, self._account.pw_gid)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        self._run("initdb", "-D", self.folder / "data", "-U", self.user, "--pwfile", secret, *options)

    def start(self) -> None:
        """Starts the server, and returns when it takes connections."""
        settings = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = self._parent.submit(
                subprocess.Popen,
                [self._programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self._as_account(),
                preexec_fn=_die_with_the_parent,
            ).result()  # fmt: skip
        end = time.monotonic() + _DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ends it at once, as a crash of its machine would: nothing is written first, the next start recovers."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_DEADLINE)
            self._process = None

    def database(self, *, template: str = "template0", tablespace: str = "pg_default") -> str:
        """The URL of a new database."""
        self._made += 1
        name = f"test_{self._made}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} TABLESPACE {tablespace}")
        return self.url(name)

    def url(self, name: str, *, user: str | None = None, password: str | None = None) -> str:
        """The URL of a database, for the server's owner unless another user is named."""
        return f"postgresql://{user or self.user}:{password or self.password}@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, *, url: str | None = None) -> str:
        """What psql says to a statement, rows as lines of values with ``|`` between them."""
        words = ("psql", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-qtA", "-d", url or self.url("postgres"))
        return self._run(*words, "-c", statement).strip()

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except AssertionError:
            return False
        return True

    def _run(self, program: str, *words: object) -> str:
        command = [str(self._programs / program), *map(str, words)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, timeout=_DEADLINE, **self._as_account()
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def _as_account(self) -> Mapping[str, Any]:
        """PostgreSQL refuses root."""
        env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        if os.geteuid() != 0:
            return {"env": env}
        return {"env": env, "user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}


def programs() -> Path:
    """The folder of PostgreSQL's programs; that there is none is a failure, with its cure."""
    found = shutil.which("postgres")
    folders = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    )
    if not folders:
        raise AssertionError("There is no PostgreSQL here: `apt-get install postgresql` (scripts/test does so).")
    return folders[-1]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs, and is gone at the end with all its data."""
    # Not below pytest's folders: those are for this user only, and the server is another one.
    folder = Path(tempfile.mkdtemp(prefix="coder-nb-postgres-"))
    server = PostgresServer(folder)
    try:
        server.make()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _version(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


def _account() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _die_with_the_parent() -> None:
    """Also where the tests are killed, the server ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG
