"""What usage costs: kinds of cache, whole requests, modes, searches, prices of one's own, and another model's."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from coder_nb.analysis.costs import as_if, reprice
from coder_nb.analysis.frames import frame
from coder_nb.analysis.tables import USAGE
from coder_nb.core.entries import Tokens
from coder_nb.core.rows import Usage
from coder_nb.errors import InvalidOption

NOON = 1_793_448_000_000
OPUS, SONNET = "claude-opus-4-6", "claude-sonnet-4-5"


def usage(tokens: Tokens, model: str | None = SONNET, **more: Any) -> pd.DataFrame:
    row = Usage(agent="claude", session_id="s", response_id="r", ts=NOON, tokens=tokens, model=model, **more)
    return frame([row], USAGE)


def cost(made: pd.DataFrame) -> float | None:
    value = made["cost_usd"].iloc[0]
    return None if pd.isna(value) else round(float(value), 9)


def test_each_kind_of_cache_has_its_price() -> None:
    tokens = Tokens(input=1000, output=100, cache_read=10_000, cache_write=3000, cache_write_1h=1000)
    expected = (1000 * 3 + 100 * 15 + 10_000 * 0.3 + 2000 * 3.75 + 1000 * 6) / 1e6
    assert cost(usage(tokens)) == pytest.approx(expected)


def test_beyond_a_threshold_the_whole_request_has_the_other_price_and_says_so() -> None:
    below = usage(Tokens(input=200_000, output=1000), "gemini-2.5-pro")
    above = usage(Tokens(input=150_000, output=1000, cache_read=50_001), "gemini-2.5-pro")
    assert cost(below) == pytest.approx((200_000 * 1.25 + 1000 * 10) / 1e6)
    assert above["price"].item().endswith("google/gemini-2.5-pro above 200000")
    assert (cost(above) or 0) > (150_000 * 2.5 + 1000 * 15) / 1e6


@pytest.mark.parametrize(
    ("model", "mode", "times"),
    [
        (OPUS, {"speed": "fast"}, 6.0),
        ("claude-opus-4-8", {"speed": "fast"}, 2.0),
        (OPUS, {"speed": "standard"}, 1.0),
        (OPUS, {"geo": "us"}, 1.1),
        (OPUS, {"geo": "not_available"}, 1.0),
        (SONNET, {"geo": "us"}, 1.0),
        (SONNET, {"service_tier": "batch"}, 0.5),
        (SONNET, {"service_tier": "standard"}, 1.0),
        (OPUS, {"geo": "us", "speed": "fast"}, 6.6),
    ],
)
def test_modes_change_the_price(model: str, mode: dict[str, str], times: float) -> None:
    tokens = Tokens(input=1_000, output=1_000)
    assert cost(usage(tokens, model, **mode)) == pytest.approx((cost(usage(tokens, model)) or 0) * times)


def test_a_fast_mode_of_unknown_price_costs_an_unknown_amount() -> None:
    made = usage(Tokens(input=1000, output=100), SONNET, speed="fast")
    assert (cost(made), made["cost_source"].item()) == (None, "unknown")


def test_searches_of_the_provider_cost_a_cent_each() -> None:
    tokens = Tokens(input=1000, output=100)
    assert cost(usage(tokens, web_searches=3)) == pytest.approx((cost(usage(tokens)) or 0) + 0.03)


def test_what_was_reported_comes_before_what_is_computed_before_what_is_unknown() -> None:
    tokens = Tokens(input=1000, output=100)
    reported = usage(tokens, cost_nanousd=7_000_000)
    assert (cost(reported), reported["cost_source"].item()) == (0.007, "reported")
    assert reported["price"].isna().item()
    computed = reprice(reported, reported=False)
    assert (cost(computed), computed["cost_source"].item()) == (0.0045, "computed")
    assert cost(reprice(computed)) == 0.007
    assert usage(tokens, "a-model-of-my-own")["cost_source"].item() == "unknown"
    assert usage(Tokens(output=100))["cost_source"].item() == "unknown"


def test_prices_of_ones_own_come_before_the_list_and_say_so() -> None:
    tokens = Tokens(input=1000, output=100, cache_read=500)
    made = reprice(usage(tokens, "mine"), prices={"mine": {"input": 2, "output": 4, "cache_read": 1}})
    assert cost(made) == pytest.approx((1000 * 2 + 100 * 4 + 500) / 1e6)
    assert (made["cost_source"].item(), made["price"].item()) == ("computed", "override: mine")
    assert cost(reprice(usage(tokens), prices={SONNET: {"input": 0, "output": 0}})) == 0
    with pytest.raises(InvalidOption, match="needs input and output"):
        reprice(usage(tokens, "mine"), prices={"mine": {"inptu": 2}})


def test_as_if_prices_the_same_tokens_by_another_model_and_leaves_the_frame_alone() -> None:
    first = usage(Tokens(input=1000, output=100), cost_nanousd=1)
    other = as_if(first, "claude-haiku-4-5")
    assert cost(other) == pytest.approx((1000 * 1 + 100 * 5) / 1e6)
    assert (other["model"].item(), cost(first)) == (SONNET, 1e-9)
    with pytest.raises(InvalidOption, match="no price of 'nobody'"):
        as_if(first, "nobody")


def test_a_frame_that_lacks_what_its_cost_depends_on_says_which() -> None:
    with pytest.raises(InvalidOption, match="'output_tokens'"):
        reprice(usage(Tokens(input=1, output=1)).drop(columns="output_tokens"))


def test_no_rows_cost_nothing_and_have_the_same_columns() -> None:
    empty = frame([], USAGE)
    assert list(reprice(empty)) == list(empty)
    assert reprice(empty)["cost_usd"].sum() == 0
