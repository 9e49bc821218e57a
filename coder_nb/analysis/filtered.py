"""A part of a history, with the same frames."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.plots.told import Told


class Filtered:
    """What of a history is of some agents, of a project, and from a day to a day, both included."""

    def __init__(
        self, history: Told, agents: Collection[str], project: str | None, since: date | None, until: date | None
    ) -> None:
        self._history = history
        self._agents, self._project, self._since, self._until = list(agents), project, since, until
        self._usage: pd.DataFrame | None = None

    @property
    def usage(self) -> pd.DataFrame:
        if self._usage is None:
            self._usage = self._part(self._history.usage, "time")
        return self._usage

    @property
    def turns(self) -> pd.DataFrame:
        return self._part(self._history.turns, "started")

    @property
    def sessions(self) -> pd.DataFrame:
        return self._part(self._history.sessions, "started")

    @property
    def tool_calls(self) -> pd.DataFrame:
        return self._part(self._history.tool_calls, "time")

    @property
    def messages(self) -> pd.DataFrame:
        return self._part(self._history.messages, "time")

    def _part(self, frame: pd.DataFrame, time: str) -> pd.DataFrame:
        import pandas as pd

        kept = frame["agent"].isin(self._agents)
        if self._project is not None:
            kept &= frame["project"] == self._project
        if self._since is not None:
            kept &= frame[time] >= pd.Timestamp(self._since, tz="UTC")
        if self._until is not None:
            kept &= frame[time] < pd.Timestamp(self._until, tz="UTC") + pd.Timedelta(days=1)
        return frame[kept.fillna(False).astype(bool)]


def bounds(usage: pd.DataFrame) -> tuple[date | None, date | None]:
    """The first and the last day of a frame, in UTC."""
    times = usage["time"].dropna()
    return (None, None) if times.empty else (times.min().date(), times.max().date())
