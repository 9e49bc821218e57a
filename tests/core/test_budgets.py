"""What is said and done at a budget."""

from __future__ import annotations

import pytest

from coder_nb.core.budgets import Budgets, judge

CENT = 10_000_000


def budgets(*, stops: bool = False, **dollars: float) -> Budgets:
    return Budgets.of(**{"chat": 0.0, "user": 0.0, "day": 0.0} | dollars, stops=stops)


def test_no_budget_is_no_limit() -> None:
    assert judge(budgets(), {"chat": 10**15}, 10**12) is None


@pytest.mark.parametrize(("used", "last", "said"), [(99, 99, False), (100, 1, True), (150, 60, True), (151, 1, False)])
def test_a_warning_comes_once_when_the_limit_is_reached(used: int, last: int, said: bool) -> None:
    verdict = judge(budgets(chat=1.0), {"chat": used * CENT}, last * CENT)
    assert (verdict is not None) == said
    assert verdict is None or not verdict.stop


def test_a_turn_beyond_a_limit_that_stops_is_stopped_and_none_begins() -> None:
    limited = budgets(day=1.0, stops=True)
    for used, last in ((100, 1), (151, 1), (151, 0)):
        verdict = judge(limited, {"chat": 0, "day": used * CENT}, last * CENT)
        assert verdict is not None
        assert verdict.stop
    assert judge(limited, {"day": 99 * CENT}) is None
    assert judge(budgets(day=1.0), {"day": 151 * CENT}) is None, "what only warns stops no turn from beginning"


@pytest.mark.parametrize(
    ("scope", "words"),
    [("chat", "This chat has cost $1.50"), ("user", "All your chats have cost"), ("day", "Today's chats have cost")],
)
def test_the_sentence_names_the_figures_and_the_setting(scope: str, words: str) -> None:
    stopped = judge(budgets(**{scope: 1.0}, stops=True), {scope: 150 * CENT})  # type: ignore[dict-item]
    assert stopped is not None
    assert words in stopped.text
    assert stopped.text.endswith(f"No turn goes on beyond it: the setting `budget_{scope}` is the limit.")
