"""What there is to read about one warm agent."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from coder_nb.core.health import AgentLog, Happening

if TYPE_CHECKING:
    import pandas as pd


class Log:
    """What happened to an agent, and its last words; shows itself as text."""

    def __init__(self, value: AgentLog) -> None:
        self.value = value

    @property
    def stderr(self) -> str:
        """The end of what its process wrote to its standard error, secrets blanked out."""
        return self.value.stderr

    @property
    def frame(self) -> pd.DataFrame:
        """What happened to it here, one row each, the earliest first."""
        from coder_nb.analysis.frames import happenings_frame

        return happenings_frame(self.value.happenings)

    def __str__(self) -> str:
        happened = [_line(each) for each in self.value.happenings] or ["Nothing is known to have happened to it."]
        said = ["", "Its standard error ends so:", self.stderr.rstrip()] if self.stderr else []
        return "\n".join([*happened, *said])

    __repr__ = __str__


def _line(each: Happening) -> str:
    at = datetime.fromtimestamp(each.ts / 1000).isoformat(sep=" ", timespec="seconds")
    return f"{at}  {each.word} {each.text}".rstrip()
