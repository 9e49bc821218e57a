"""The dashboard: what the filters leave is what is shown, live and in a saved notebook."""

from __future__ import annotations

from datetime import date

import pytest
from support.rows import DAY, MONDAY, Given, called, used

from coder_nb.core.rows import Session
from coder_nb.widgets import Dashboard


@pytest.fixture
def dashboard() -> Dashboard:
    rows = [
        used(1, project="/home/user/plums"),
        used(2, MONDAY + 3 * DAY, project="/home/user/apples", agent="qwen", model="qwen3", session_id="s2", cost=3),
        called(1, "Bash", "failed", project="/home/user/plums"),
    ]
    sessions = [
        Session(
            agent="claude", session_id="s1", file="f", line=1, ts=MONDAY, project="/home/user/plums", title="<b>P</b>"
        ),
        Session(agent="qwen", session_id="s2", file="f", line=2, ts=MONDAY + 3 * DAY, project="/home/user/apples"),
    ]
    return Dashboard(Given(*sessions, *rows))


def test_all_of_it_is_shown_at_first(dashboard: Dashboard) -> None:
    assert "$4.00" in dashboard.summary.value
    assert dashboard.agents.value == ("claude", "qwen")
    assert (dashboard.since.value, dashboard.until.value) == (date(2026, 1, 5), date(2026, 1, 8))
    assert 'alt="Cost by day and model: $4.00' in dashboard.tabs.children[0].value


def test_what_is_chosen_is_what_is_shown(dashboard: Dashboard) -> None:
    dashboard.agents.value = ("claude",)
    assert "$1.00" in dashboard.summary.value
    dashboard.agents.value = ("claude", "qwen")
    dashboard.project.value = "/home/user/apples"
    assert "$3.00" in dashboard.summary.value
    dashboard.project.value = "all projects"
    dashboard.until.value = date(2026, 1, 5)
    assert "$1.00" in dashboard.summary.value
    dashboard.group.value = "agent"
    assert "Cost by day and agent: $1.00" in dashboard.tabs.children[0].value


def test_only_the_page_that_is_looked_at_is_drawn(dashboard: Dashboard) -> None:
    assert [bool(page.value) for page in dashboard.tabs.children] == [True, False, False, False, False]
    dashboard.tabs.selected_index = 2
    assert "100% failed" in dashboard.tabs.children[2].value or "1 failed" in dashboard.tabs.children[2].value
    dashboard.period.value = "week"
    assert [bool(page.value) for page in dashboard.tabs.children] == [False, False, True, False, False]


def test_sessions_are_listed_the_latest_first_and_their_titles_are_no_html(dashboard: Dashboard) -> None:
    dashboard.tabs.selected_index = 4
    table = dashboard.tabs.children[4].value
    assert table.index("apples") < table.index("plums")
    assert "<b>P</b>" not in table
    assert "&lt;b&gt;P&lt;/b&gt;" in table


def test_what_a_saved_notebook_keeps_is_html_without_a_script_and_never_an_error(dashboard: Dashboard) -> None:
    data, _ = dashboard._repr_mimebundle_()
    for name in ("Cost", "Tokens", "Tools", "Compared", "Sessions"):
        assert f"<h3>{name}</h3>" in data["text/html"]
    assert "<script" not in data["text/html"]
    assert data["application/vnd.coder-nb.chat.v1+json"]["html"] == data["text/html"]
    assert data["text/plain"] == "<Dashboard of 2 responses>"


def test_a_dashboard_of_nothing_says_so() -> None:
    empty = Dashboard(Given())
    assert "0 responses" in empty.summary.value
    assert "Cost by day and model: $0.00" in empty.tabs.children[0].value
