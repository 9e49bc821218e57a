"""Tokens and a model's name → what it costs, offline, by the price list that genai-prices ships."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from coder_nb.core.entries import Tokens

_HOUR = 3_600_000
_PROBE = 1_000_000


class Rates(NamedTuple):
    """What one token of each kind costs, in billionths of a dollar."""

    input: float
    output: float
    cache_read: float
    cache_write: float
    cache_write_1h: float


class Price(NamedTuple):
    """The rates of a model, which for a request depend on its whole input."""

    above: tuple[int, ...]
    """Beyond each of these inputs the next rates hold."""
    rates: tuple[Rates, ...]

    def cost(self, tokens: Tokens) -> int:
        """The price, in billionths of a dollar, of tokens whose input and output are known."""
        given, read, write = tokens.input or 0, tokens.cache_read or 0, tokens.cache_write or 0
        rates, hour = self.rates[bisect_left(self.above, given + read + write)], tokens.cache_write_1h or 0
        return round(
            rates.input * given
            + rates.output * (tokens.output or 0)
            + rates.cache_read * read
            + rates.cache_write * (write - hour)
            + rates.cache_write_1h * hour
        )


def cost_nanousd(tokens: Tokens, model: str, *, ts: int | None = None) -> int | None:
    """The list price of one response in billionths of a dollar; None where tokens or price are not known.

    `model` may carry its provider, as in ``anthropic/claude-sonnet-5``. `ts` is when it was, in milliseconds, as
    prices change; None is now.
    """
    if tokens.input is None or tokens.output is None:
        return None
    price = price_of(model, ts=ts)
    return None if price is None else price.cost(tokens)


def price_of(model: str, *, ts: int | None = None) -> Price | None:
    """The price of a model at a time; None where the list has none."""
    if not changes(model):
        return _price(model, None)
    return _price(model, None if ts is None else ts // _HOUR)


@lru_cache(maxsize=1024)
def changes(model: str) -> bool:
    """Whether a model's price depends on the time."""
    from genai_prices import Usage, calc_price

    provider, _, name = model.rpartition("/")
    try:
        return isinstance(calc_price(Usage(input_tokens=1), name, provider_id=provider or None).model.prices, list)
    except LookupError:
        return False


@lru_cache(maxsize=4096)
def _price(model: str, hour: int | None) -> Price | None:
    """The rates, found by asking what a million tokens of each kind cost: the list alone knows what implies what."""
    from genai_prices import Usage, calc_price

    provider, _, name = model.rpartition("/")
    time = datetime.now(UTC) if hour is None else datetime.fromtimestamp(hour * _HOUR / 1000, UTC)

    def nano(count: int, **kinds: int) -> float:
        usage = Usage(input_tokens=count, **kinds)
        found = calc_price(usage, name, provider_id=provider or None, genai_request_timestamp=time)
        return float(found.total_price * 1_000_000_000 / count)

    try:
        listed = calc_price(Usage(input_tokens=1), name, provider_id=provider or None, genai_request_timestamp=time)
    except LookupError:
        return None
    tiers = [getattr(one, "tiers", ()) for one in vars(listed.model_price).values()]
    above = tuple(sorted({tier.start for some in tiers for tier in some}))
    rates = []
    for count in (*above, above[-1] + _PROBE) if above else (_PROBE,):
        given = nano(count)
        rates.append(
            Rates(
                input=given,
                output=nano(count, output_tokens=count) - given,
                cache_read=nano(count, cache_read_tokens=count),
                cache_write=nano(count, cache_write_tokens=count),
                cache_write_1h=nano(count, cache_write_tokens=count, cache_write_1h_tokens=count),
            )
        )
    return Price(above, tuple(rates))
