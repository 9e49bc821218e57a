"""What is compared: tools and their failures, agents, and the growth of a context."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coder_nb.analysis import views
from coder_nb.analysis.plots import plot
from coder_nb.analysis.plots.plot import Plot
from coder_nb.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.plots.told import Told

SIDE_BY_SIDE = {
    "cost_per_turn_usd": ("Cost of a turn", "${:,.3f}"),
    "cost_per_changed_line_usd": ("Cost of a changed line", "${:,.4f}"),
    "failed_call_rate": ("Tool calls that failed", "{:.0%}"),
    "one_shot_rate": ("Edits right at once", "{:.0%}"),
    "cache_hit_ratio": ("Input from a cache", "{:.0%}"),
    "first_token_seconds": ("To the first token", "{:.1f} s"),
}


def tools(history: Told) -> Plot:
    """How often each tool was called, and which part of it failed; the most used first."""
    found = views.by_tool(history.tool_calls).head(14)
    figure, (axis,) = plot.canvas("Calls of tools", height=1.4 + 0.34 * max(1, len(found)))
    worst = found["failure_rate"].astype("float64").fillna(0)
    text = f"Calls of tools: {int(found['calls'].sum()):,} in all, of which {int(found['failures'].sum()):,} failed."
    if found.empty:
        plot.nothing(axis)
        return Plot(figure, found, text)
    failed = found["failures"].astype("float64")
    rest = found["calls"].astype("float64") - failed
    places = range(len(found))
    axis.barh(places, rest, height=0.7, label="worked, or not known", **plot.style(0))
    axis.barh(places, failed, left=rest, height=0.7, label="failed", **(plot.style(5) | {"hatch": "xxx"}))
    for place, (calls, rate) in enumerate(zip(found["calls"], worst, strict=True)):
        share = f", {rate:.0%} failed" if rate else ""
        axis.annotate(f" {int(calls):,}{share}", (float(calls), place), va="center", fontsize=9, color=plot.INK)
    axis.set_yticks(places, [plot.short(name) for name in found.index])
    axis.invert_yaxis()
    axis.margins(x=0.22)
    axis.xaxis.set_major_locator(plot.whole_numbers())
    plot.legend_below(axis)
    return Plot(figure, found, text)


def agents(history: Told, *, by: str = "agent") -> Plot:
    """Agents (or models, projects, branches) side by side: what a turn and a changed line cost, failures, speed."""
    found = views.measures(history.usage, history.turns, by)
    figure, axes = plot.canvas(f"Compared by {by}", rows=2, columns=3, height=2.2 + 0.5 * max(1, len(found)))
    for axis, (name, (title, shown)) in zip(axes, SIDE_BY_SIDE.items(), strict=True):
        axis.set_title(title, fontsize=10, color=plot.INK, loc="left")
        values = found[name].astype("Float64") if len(found) else found[name]
        if not len(found) or values.isna().all():
            plot.nothing(axis)
            axis.texts[0].set_text("Not told.")
            continue
        for place, value in enumerate(values):
            known = plot.is_known(value)
            axis.barh(place, float(value) if known else 0, height=0.65, **plot.style(place))
            said = shown.format(float(value)) if known else "not told"
            axis.annotate(f" {said}", (float(value) if known else 0, place), va="center", fontsize=9, color=plot.INK)
        axis.set_yticks(range(len(found)), [plot.short(name, 18) for name in found.index])
        axis.set_xticks([])
        axis.invert_yaxis()
        axis.margins(x=0.45)
    return Plot(figure, found, f"{len(found)} compared by {by}: {', '.join(map(str, found.index))}.")


def context(history: Told, session_id: str | None = None) -> Plot:
    """How much the model was given at each response of a session, by default the one with the largest context."""
    usage = history.usage
    main = usage[usage["subagent"].isna()]
    if session_id is None:
        session_id = _largest(main)
    found = main[main["session_id"] == session_id].sort_values("time", kind="stable")
    if session_id is not None and found.empty:
        raise NotFound(f"There is no session {session_id!r} in this history: its column `session_id` has them.")
    given = found["context_tokens"].astype("float64").reset_index(drop=True)
    figure, (axis,) = plot.canvas(f"What the model was given, session {plot.short(session_id or '–', 36)}")
    most = plot.counted(given.max() if len(given) else 0)
    text = f"Context of {session_id}: {len(given)} responses, at most {most} tokens."
    if given.dropna().empty:
        plot.nothing(axis)
        return Plot(figure, found, text)
    cached = found["cache_read_tokens"].astype("float64").fillna(0).reset_index(drop=True)
    axis.fill_between(given.index + 1, given, step="mid", label="given", alpha=0.9, **plot.style(4))
    axis.fill_between(cached.index + 1, cached, step="mid", label="of it from a cache", **plot.style(0))
    falls = given.index[given.diff() < -0.4 * given.shift()]
    for place in falls:
        axis.axvline(place + 1, color=plot.INK, linewidth=1, linestyle=":")
        axis.annotate("summed up, or cleared", (place + 1, given.max()), rotation=90, fontsize=8, va="top", ha="right")
    axis.set_xlabel("response", fontsize=9, color=plot.INK)
    axis.xaxis.set_major_locator(plot.whole_numbers())
    axis.yaxis.set_major_formatter(lambda value, _: plot.counted(value))
    plot.legend(axis)
    return Plot(figure, found, text)


def _largest(usage: pd.DataFrame) -> str | None:
    known = usage["context_tokens"].dropna()
    return None if known.empty else str(usage["session_id"][usage["context_tokens"] == known.max()].iloc[0])
