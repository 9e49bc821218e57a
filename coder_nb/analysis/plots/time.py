"""A session as it went: turns, responses, tools and waiting, one below the other."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from coder_nb.analysis.plots import plot
from coder_nb.analysis.plots.plot import Plot
from coder_nb.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.plots.told import Told

LANES = ("turn", "model", "tool", "failed tool", "sub-agent")
SHORTEST = 0.5
"""Seconds that a thing is drawn with at least, so that it is seen."""


def timeline(history: Told, session_id: str | None = None, *, tz: str | tzinfo | None = None) -> Plot:
    """What happened when in a session, by default the last one: turns, models, tools, those that failed, sub-agents."""
    import pandas as pd

    if session_id is None:
        latest = history.sessions.dropna(subset=["started"]).sort_values("started")
        session_id = None if latest.empty else str(latest["session_id"].iloc[-1])
    found = pd.DataFrame(list(_spans(history, session_id)), columns=["lane", "start", "seconds", "name"])
    if session_id is not None and found.empty:
        raise NotFound(f"There is no session {session_id!r} in this history: its column `session_id` has them.")
    figure, (axis,) = plot.canvas(f"Session {plot.short(session_id or '–', 40)}", height=2.8)
    if found.empty:
        plot.nothing(axis)
        return Plot(figure, found, "No session to draw.")
    origin = found["start"].min()
    unit, word = _unit(float((found["start"] - origin).dt.total_seconds().add(found["seconds"]).max()))
    for number, lane in enumerate(LANES):
        rows = found[found["lane"] == lane]
        begun = (rows["start"] - origin).dt.total_seconds() / unit
        spans = list(zip(begun, rows["seconds"].clip(lower=SHORTEST) / unit, strict=True))
        axis.broken_barh(spans, (number - 0.36, 0.72), **plot.style(number))
    axis.set_yticks(range(len(LANES)), LANES)
    axis.set_ylim(len(LANES) - 0.5, -0.5)
    shown = origin.tz_convert("UTC" if tz is None else tz)
    axis.set_xlabel(f"{word} since {shown:%Y-%m-%d %H:%M} {shown.tzname()}", fontsize=9, color=plot.INK)
    turns, calls = int((found["lane"] == "turn").sum()), int(found["lane"].isin(["tool", "failed tool"]).sum())
    return Plot(figure, found, f"Session {session_id}: {turns} turns, {calls} calls of tools.")


def _spans(history: Told, session_id: str | None) -> Any:
    turns, usage, calls = (_of(frame, session_id) for frame in (history.turns, history.usage, history.tool_calls))
    for row in turns.dropna(subset=["started"]).itertuples():
        yield "turn", row.started, _seconds(row.seconds), row.agent
    for row in usage.dropna(subset=["time"]).itertuples():
        yield ("sub-agent" if plot.is_known(row.subagent) else "model"), row.time, _seconds(row.seconds), row.model
    for row in calls.dropna(subset=["time"]).itertuples():
        yield ("failed tool" if row.status == "failed" else "tool"), row.time, _seconds(row.seconds), row.tool


def _of(frame: pd.DataFrame, session_id: str | None) -> pd.DataFrame:
    return frame[frame["session_id"] == session_id]


def _seconds(value: Any) -> float:
    return float(value) if plot.is_known(value) else 0.0


def _unit(seconds: float) -> tuple[float, str]:
    if seconds > 3 * 3600:
        return 3600.0, "hours"
    return (60.0, "minutes") if seconds > 180 else (1.0, "seconds")
