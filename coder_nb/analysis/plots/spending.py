"""What was spent: cost over time, and tokens by what they are."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from coder_nb.analysis import views
from coder_nb.analysis.plots import plot
from coder_nb.analysis.plots.plot import Plot

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from coder_nb.analysis.plots.told import Told

KINDS = {
    "input_tokens": "fresh input",
    "cache_write_tokens": "written to a cache",
    "cache_read_tokens": "read from a cache",
    "output_tokens": "output",
}


def cost(history: Told, *, by: str = "day", of: str = "model", tz: str | tzinfo | None = None) -> Plot:
    """Cost over time, a bar for each ``hour``, ``day``, ``week``, ``month`` or ``block``, by model, agent or project.

    The line is the sum so far. What has no known price is not in it, and is said below.
    """
    import pandas as pd

    sums = views.by(history.usage, [by, of], tz)
    wide = sums["cost_usd"].astype("float64").unstack(of, fill_value=0).fillna(0.0)
    wide.columns = wide.columns.astype("string").fillna("not named")
    wide = plot.few(_every(wide))
    figure, (axis,) = plot.canvas(f"Cost by {by} and {of}, in US dollars")
    total = float(wide.sum().sum()) if len(wide) else 0.0
    text = f"Cost by {by} and {of}: ${total:,.2f} in all over {len(wide)} {by}s."
    if wide.empty:
        plot.nothing(axis)
        return Plot(figure, wide, text)
    bottom = pd.Series(0.0, index=wide.index)
    labels = _names(wide.index)
    for number, name in enumerate(wide.columns):
        axis.bar(range(len(wide)), wide[name], bottom=bottom, label=plot.short(name), width=0.8, **plot.style(number))
        bottom = bottom + wide[name]
    step = 1 + len(labels) * max(map(len, labels), default=1) // 75
    axis.set_xticks(range(0, len(labels), step), labels[::step])
    axis.yaxis.set_major_formatter(lambda value, _: f"${plot.counted(value)}")
    if len(wide) > 1:
        _so_far(axis, wide.sum(axis=1).cumsum())
    unpriced = int(sums["unpriced"].sum())
    if unpriced:
        text += f" The cost of {unpriced:,} responses is not known."
        axis.set_xlabel(f"The cost of {unpriced:,} responses is not known and not in it.", fontsize=9, color=plot.INK)
    plot.legend(axis, bbox_to_anchor=(1.12, 1))
    return Plot(figure, wide, text)


def _so_far(axis: Axes, sums: pd.Series[Any]) -> None:
    """The sum so far, on a scale of its own."""
    so_far = axis.twinx()
    so_far.plot(range(len(sums)), sums, color=plot.INK, linewidth=1.2, linestyle="--")
    so_far.spines[["top", "left", "bottom"]].set_visible(False)
    so_far.set_ylim(bottom=0)
    so_far.tick_params(colors=plot.INK, labelsize=9)
    so_far.yaxis.set_major_formatter(lambda value, _: f"${plot.counted(value)}")
    so_far.set_ylabel("so far (dashed)", fontsize=9, color=plot.INK)


def tokens(history: Told, *, of: str = "model") -> Plot:
    """Tokens by model, agent or project: fresh input, written to and read from a cache, output."""
    sums = views.by(history.usage, [of])
    sums = sums.sort_values("total_tokens", ascending=False, na_position="last").head(12)
    figure, (axis,) = plot.canvas(f"Tokens by {of}", height=1.4 + 0.42 * max(1, len(sums)))
    text = f"Tokens by {of}: {plot.counted(float(sums['total_tokens'].sum()))} in all."
    if sums.empty:
        plot.nothing(axis)
        return Plot(figure, sums, text)
    left = sums["total_tokens"].astype("float64") * 0
    for number, (column, name) in enumerate(KINDS.items()):
        values = sums[column].astype("float64").fillna(0)
        axis.barh(range(len(sums)), values, left=left, label=name, height=0.7, **plot.style(number))
        left = left + values
    for place, (whole, ratio) in enumerate(zip(left, sums["cache_hit_ratio"], strict=True)):
        hits = f", {ratio:.0%} from a cache" if plot.is_known(ratio) else ""
        axis.annotate(f" {plot.counted(whole)}{hits}", (whole, place), va="center", fontsize=9, color=plot.INK)
    axis.set_yticks(range(len(sums)), [plot.short(name) for name in sums.index])
    axis.invert_yaxis()
    axis.margins(x=0.25)
    axis.xaxis.set_major_formatter(lambda value, _: plot.counted(value))
    plot.legend_below(axis)
    return Plot(figure, sums, text)


def _every(wide: Any) -> Any:
    """The same with the periods in which nothing was used, so that time is even."""
    import pandas as pd

    if not isinstance(wide.index, pd.PeriodIndex) or len(wide) < 2:
        return wide
    every = pd.period_range(wide.index.min(), wide.index.max(), freq=wide.index.freq)
    return wide.reindex(every, fill_value=0.0) if len(every) <= 400 else wide


def _names(index: Any) -> list[str]:
    """Short names of periods, one below the other where that says more: the year is said where it changes."""
    texts = [str(one).split("/")[0][:16] for one in index]
    years = [text[:4] for text in texts]
    plain = [text[5:] or text for text in texts]
    changes = [place == 0 or years[place] != years[place - 1] for place in range(len(texts))]
    return [
        f"{name}\n{year}" if new and name != year else name
        for name, year, new in zip(plain, years, changes, strict=True)
    ]
