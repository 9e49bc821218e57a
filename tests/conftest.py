"""What every test may use."""

from __future__ import annotations

import signal

import pytest

# A shell that starts the tests in the background has them ignore interrupts, and some tests send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the product does."""
    return "asyncio"
