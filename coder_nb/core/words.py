"""The words of our log: what each event is called, what it means, what stands beside it. A line is `word name=value`.

Fields are ids, numbers, paths and words of ours, never what somebody wrote or what an agent said: nothing of a prompt
and nothing secret can be in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

Level = Literal["info", "warning", "error"]
Field = str | int | float | bool | None
LONGEST = 200
"""How much of a field is written."""


class Word(NamedTuple):
    """One kind of event."""

    meaning: str
    fields: tuple[str, ...] = ()
    level: Level = "info"


WORDS: Mapping[str, Word] = {
    "runtime_opened": Word("the runtime is there", ("runtime", "version")),
    "runtime_closed": Word("it has drained, and is gone", ("runtime",)),
    "left_behind": Word(
        "what a runtime had started was still there after it was killed, and was ended",
        ("runtime", "processes"),
        "warning",
    ),
    "prompt_accepted": Word("a prompt is in the inbox, and will not be lost", ("chat", "agent", "prompt", "bytes")),
    "turn_started": Word("a turn began", ("chat", "turn", "agent", "mode")),
    "turn_ended": Word("a turn has its end; `code` says why it failed", ("chat", "turn", "agent", "end", "code", "ms")),
    "agent_started": Word("an agent session is warm", ("chat", "agent", "pid", "resumed", "ms")),
    "agent_failed": Word("an agent session could not be opened", ("chat", "agent", "code"), "warning"),
    "agent_crashed": Word("an agent has ended by itself", ("chat", "agent", "pid"), "warning"),
    "agent_closed": Word(
        "an agent session was let go; `why` is idle, limit, dead, deaf or memory",
        ("chat", "agent", "why"),
    ),
    "server_started": Word("a server that chats share was started again", ("server", "agent", "pid")),
    "server_failed": Word("a server could not be started again", ("server", "agent", "code"), "warning"),
    "server_ended": Word(
        "a server has ended; `why` is crash, unused, deaf or memory",
        ("server", "agent", "pid", "why"),
        "warning",
    ),
    "limit_reached": Word("there is as much of something as there may be", ("chat", "agent", "limit"), "warning"),
    "reader_stuck": Word("a reader took nothing for too long, and was sent away", ("chat",), "warning"),
}
"""Every word, in the order in which the reference has them."""

_PLAIN = re.compile(r"[\w.:/@+~-]+")


def line(word: str, fields: Mapping[str, Field]) -> str:
    """One line of the log; what is None is left out. Raises `KeyError` for a word or a field that is not known."""
    known = WORDS[word].fields
    if strange := set(fields) - set(known):
        raise KeyError(f"{word} has no field {', '.join(sorted(strange))}")
    return " ".join([word, *(f"{name}={_written(fields[name])}" for name in known if fields.get(name) is not None)])


def _written(value: Field) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)[:LONGEST]
    return text if _PLAIN.fullmatch(text) else repr(text)
