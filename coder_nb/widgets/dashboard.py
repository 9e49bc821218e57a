"""A history to look around in: filters above, plots and tables below."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets

from coder_nb.analysis.filtered import Filtered, bounds
from coder_nb.client.cell import has_viewer
from coder_nb.errors import MissingExtra
from coder_nb.widgets.base import WIDGET_MIME
from coder_nb.widgets.mimebundle import CHAT_MIME

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.plots.told import Told

EVERY = "all projects"
PERIODS = ("day", "week", "month", "hour", "block")
GROUPS = ("model", "agent", "project")
ROWS = 200
"""How many sessions are listed, the latest."""
_TABLE = """<style>
table.cnb-table { border-collapse: collapse; font-size: 90%; font-variant-numeric: tabular-nums; }
table.cnb-table th, table.cnb-table td { padding: 2px 10px 2px 0; text-align: left; white-space: nowrap; }
table.cnb-table td { max-width: 26em; overflow: hidden; text-overflow: ellipsis; }
</style>"""


class Dashboard(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Cost, tokens, tools, agents and sessions of a history, for whatever the filters leave."""

    def __init__(self, history: Told, **kwargs: Any) -> None:
        self._history = history
        usage = history.usage
        agents = sorted(usage["agent"].dropna().astype(str).unique())
        projects = sorted(usage["project"].dropna().astype(str).unique())
        first, last = bounds(usage)
        self.agents = ipywidgets.SelectMultiple(
            options=agents, value=agents, rows=min(4, max(2, len(agents))), description="Agents"
        )
        self.project = ipywidgets.Dropdown(options=[EVERY, *projects], value=EVERY, description="Project")
        self.since = ipywidgets.DatePicker(value=first, description="From")
        self.until = ipywidgets.DatePicker(value=last, description="To")
        self.period = ipywidgets.Dropdown(options=PERIODS, value="day", description="By")
        self.group = ipywidgets.Dropdown(options=GROUPS, value="model", description="Of")
        self._pages = [ipywidgets.HTML() for _ in PAGES]
        self.tabs = ipywidgets.Tab(self._pages, titles=list(PAGES))
        self.summary = ipywidgets.HTML()
        for control in (self.agents, self.project, self.since, self.until, self.period, self.group):
            control.observe(self._changed, "value")
        self.tabs.observe(lambda _: self._draw(), "selected_index")
        filters = ipywidgets.HBox(
            [
                ipywidgets.VBox([self.agents]),
                ipywidgets.VBox([self.project, self.period, self.group]),
                ipywidgets.VBox([self.since, self.until]),
            ],
            layout=ipywidgets.Layout(flex_flow="row wrap"),
        )
        super().__init__([filters, self.summary, self.tabs], **kwargs)
        self._changed(None)

    @property
    def shown(self) -> Filtered:
        """What the filters leave, with the frames of a history."""
        project = None if self.project.value == EVERY else self.project.value
        return Filtered(self._history, self.agents.value, project, self.since.value, self.until.value)

    def _changed(self, _: object) -> None:
        """Draws what is looked at, and forgets the rest until it is."""
        self._left = self.shown
        self.summary.value = _summary(self._left.usage)
        for page in self._pages:
            page.value = ""
        self._draw()

    def _draw(self) -> None:
        number = self.tabs.selected_index or 0
        page = self._pages[number]
        if not page.value:
            page.value = "<p>Drawing …</p>"
            page.value = self._page(list(PAGES)[number])

    def _page(self, name: str) -> str:
        try:
            return PAGES[name](self._left, self.period.value, self.group.value)
        except MissingExtra as error:
            return f"<p>{error.message}</p>"

    def static(self) -> str:
        """All pages as they are now, one below the other, without anything to click."""
        parts = [f"<h3>{name}</h3>{self._page(name)}" for name in PAGES]
        return f"<div>{self.summary.value}{''.join(parts)}</div>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        html = self.static()
        data: dict[str, Any] = {CHAT_MIME: {"version": 1, "html": html}, "text/html": html, "text/plain": repr(self)}
        if has_viewer():
            data[WIDGET_MIME] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return data, {}

    def __repr__(self) -> str:
        return f"<Dashboard of {len(self._left.usage):,} responses>"


def _summary(usage: pd.DataFrame) -> str:
    counted = usage[usage["counted"].astype("boolean").fillna(True)]
    cost, unknown = counted["cost_usd"].sum(min_count=1), int(counted["cost_usd"].isna().sum())
    money = "cost not known" if unknown == len(counted) else f"${cost:,.2f}"
    rest = f" (the cost of {unknown:,} is not known)" if unknown else ""
    return f"<p><b>{money}</b> for {len(counted):,} responses in {counted['session_id'].nunique():,} sessions{rest}</p>"


def _picture(drawn: Any) -> str:
    return str(drawn._repr_mimebundle_()["text/html"])


def _cost(shown: Filtered, period: str, group: str) -> str:
    from coder_nb.analysis import plots

    return _picture(plots.cost(shown, by=period, of=group))


def _tokens(shown: Filtered, period: str, group: str) -> str:
    from coder_nb.analysis import plots

    return _picture(plots.tokens(shown, of=group))


def _tools(shown: Filtered, period: str, group: str) -> str:
    from coder_nb.analysis import plots

    return _picture(plots.tools(shown))


def _compared(shown: Filtered, period: str, group: str) -> str:
    from coder_nb.analysis import plots

    return _picture(plots.agents(shown, by=group))


def _sessions(shown: Filtered, period: str, group: str) -> str:
    names = ["started", "agent", "project", "prompts", "tool_calls", "cost_usd", "title", "session_id"]
    rows = shown.sessions.sort_values("started", ascending=False, na_position="last")[names].head(ROWS)
    rows = rows.assign(started=rows["started"].dt.strftime("%Y-%m-%d %H:%M"))
    plain = rows.astype(object).where(rows.notna(), "")
    cost = {"cost_usd": lambda value: f"{value:,.4f}" if value != "" else ""}
    table = plain.to_html(index=False, border=0, classes="cnb-table", escape=True, formatters=cost)
    return f'{_TABLE}<div style="overflow: auto; max-height: 30em">{table}</div>'


PAGES: dict[str, Callable[[Filtered, str, str], str]] = {
    "Cost": _cost,
    "Tokens": _tokens,
    "Tools": _tools,
    "Compared": _compared,
    "Sessions": _sessions,
}
"""The tabs, and what draws each."""
