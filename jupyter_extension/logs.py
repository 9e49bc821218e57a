"""What the runtime logs, in the server's own log and as much of it as that takes."""

from __future__ import annotations

import logging

OURS = logging.getLogger("coder_nb")


class Forwarding(logging.Handler):
    """Hands what `coder_nb` logs to the server's log, from `start` until `stop`."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log
        self._level_before = OURS.level

    def start(self) -> None:
        self._level_before = OURS.level
        OURS.addHandler(self)
        OURS.setLevel(logging.INFO)

    def stop(self) -> None:
        """Nothing the second time."""
        if self in OURS.handlers:
            OURS.removeHandler(self)
            OURS.setLevel(self._level_before)

    def emit(self, record: logging.LogRecord) -> None:
        if self._log.isEnabledFor(record.levelno):
            self._log.handle(record)
