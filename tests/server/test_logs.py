"""What the runtime logs is in the server's log, for as long as the server lives."""

from __future__ import annotations

import logging
from typing import Any

RUNTIME = logging.getLogger("coder_nb")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


async def test_the_words_of_the_runtime_are_in_the_servers_log_once_until_it_stops(server: Any) -> None:
    kept, log = Kept(), server.extension.log
    before = log.level
    log.addHandler(kept)
    try:
        log.setLevel(logging.INFO)
        RUNTIME.info("turn_started chat=c")
        logging.getLogger("coder_nb.runtime").warning("trouble")
        log.setLevel(logging.WARNING)
        RUNTIME.info("turn_ended chat=c")
        await server.extension.stop_extension()
        RUNTIME.warning("nobody hears this")
    finally:
        log.removeHandler(kept)
        log.setLevel(before)
    assert [line for line in kept.said if line in ("turn_started chat=c", "trouble", "nobody hears this")] == [
        "turn_started chat=c",
        "trouble",
    ]
    assert "turn_ended chat=c" not in kept.said
    assert not any(type(handler).__name__ == "Forwarding" for handler in RUNTIME.handlers)
