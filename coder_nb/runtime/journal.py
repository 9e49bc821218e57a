"""What happened here, in stable words: a line of the log each, and of each agent session its latest."""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable

from coder_nb.core.health import Happening
from coder_nb.core.words import WORDS, Field, line

_log = logging.getLogger("coder_nb")
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
AGENTS = 256
"""Of how many agent sessions it is kept what happened."""
LINES = 100
"""How much is kept of each, the latest."""
BURIED = 32
"""Of how many that are gone the end of their standard error is kept."""


class Journal:
    """Writes what happened into the log, and remembers what is about an agent session; bounded."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._kept: OrderedDict[str, deque[Happening]] = OrderedDict()
        self._dead: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def note(self, word: str, **fields: Field) -> None:
        """Notes an event of `core.words.WORDS`; one with a chat and an agent, or with a server, is of that agent."""
        _log.log(_LEVELS[WORDS[word].level], "%s", line(word, fields))
        whose = {name: str(fields.pop(name)) for name in ("chat", "agent", "server") if fields.get(name)}
        key = whose.get("server") or (key_of(whose["chat"], whose["agent"]) if {"chat", "agent"} <= set(whose) else "")
        if key:
            happening = Happening(ts=self._now(), word=word, text=line(word, fields).removeprefix(word).strip())
            self._kept.setdefault(key, deque(maxlen=LINES)).append(happening)
            self._kept.move_to_end(key)
            if len(self._kept) > AGENTS:
                self._kept.popitem(last=False)

    def bury(self, key: str, stderr: str, cause: str = "") -> None:
        """Keeps the end of the standard error of an agent that is gone, and why it is."""
        self._dead[key] = (stderr, cause or "It ended by itself.")
        self._dead.move_to_end(key)
        if len(self._dead) > BURIED:
            self._dead.popitem(last=False)

    def of(self, key: str) -> tuple[Happening, ...]:
        """What happened to an agent, the earliest first."""
        return tuple(self._kept.get(key, ()))

    def last_words(self, key: str) -> str:
        """The end of its standard error, where it is gone."""
        return self._dead.get(key, ("", ""))[0]

    def take_cause(self, key: str) -> str:
        """Why it ended by itself, in sentences, told once: the next end has another cause. Empty where it did not."""
        stderr, cause = self._dead.get(key, ("", ""))
        if cause:
            self._dead[key] = (stderr, "")
        return cause


def key_of(chat: str, agent: str) -> str:
    """What an agent session is called in the pool's report."""
    return f"{chat}.{agent}"
