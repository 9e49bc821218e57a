"""What every test may use."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import pytest
from support.postgres import PostgresServer, postgres_server

# A shell that starts the tests in the background has them ignore interrupts, and some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine, and nothing of the law.
hypothesis.settings.register_profile("coder-nb", deadline=None)
hypothesis.settings.load_profile("coder-nb")


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the product does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole run, started by the first test that asks for it."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty database of this test's own."""
    return postgres.database()
