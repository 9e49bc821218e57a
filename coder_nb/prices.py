"""Tokens and a model's name → what it costs, offline, by the price list that genai-prices ships.

What that list does not tell, a faster mode, a region, a batch, a search of the provider's, is in the tables below.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from coder_nb.core.entries import Tokens
from coder_nb.errors import InvalidOption

_HOUR = 3_600_000
_PROBE = 1_000_000
SEARCH = 10_000_000
"""What a web search of the provider costs, in billionths of a dollar: ten dollars for a thousand."""
_OPUS = r"claude-opus-(4[-.][6-9]|[5-9])"
_FAST = ((r"claude-opus-4[-.][67]", 6.0), (_OPUS, 2.0))
"""How many times as much a model costs in its fast mode; the first that fits."""
_AT_HOME = rf"{_OPUS}|claude-(sonnet|haiku|fable|mythos)-([5-9]|4[-.][6-9])"
"""The models that cost a tenth more where they are kept to the United States."""
_TIERS = {"batch": 0.5, "flex": 0.5}

Given = Mapping[str, Mapping[str, float]]
"""Prices of one's own: dollars for a million tokens by kind (``input``, ``output``, ``cache_read``, ``cache_write``,
``cache_write_1h``), by model."""


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
    name: str = ""
    """Where it is from: the list's own name of the model, or ``override``."""

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


def cost_nanousd(tokens: Tokens, model: str, *, ts: int | None = None, given: Given | None = None) -> int | None:
    """The price of one response in billionths of a dollar; None where tokens or price are not known.

    `model` may carry its provider, as in ``anthropic/claude-sonnet-5``. `ts` is when it was, in milliseconds, as
    prices change; None is now. Prices that are `given` come before the list's.
    """
    if tokens.input is None or tokens.output is None:
        return None
    price = price_of(model, ts=ts, given=given)
    return None if price is None else price.cost(tokens)


def factor(model: str, *, speed: str | None = None, tier: str | None = None, geo: str | None = None) -> float | None:
    """How many times the list price a request costs by its mode; None where that is not known."""
    name, times = model.rpartition("/")[2], _TIERS.get(tier or "", 1.0)
    if speed == "fast":
        fast = next((found for pattern, found in _FAST if re.match(pattern, name)), None)
        if fast is None:
            return None
        times *= fast
    return times * 1.1 if geo == "us" and re.match(_AT_HOME, name) else times


def price_of(model: str, *, ts: int | None = None, given: Given | None = None) -> Price | None:
    """The price of a model at a time: one that is given, else the list's; None where there is none."""
    own = given and (given.get(model) or given.get(model.rpartition("/")[2]))
    if own:
        return _own(model, own)
    if not changes(model):
        return _price(model, None)
    return _price(model, None if ts is None else ts // _HOUR)


def _own(model: str, given: Mapping[str, float]) -> Price:
    """A price of one's own; what it leaves out of the cache costs what input costs, and an hour what it costs else."""
    unknown = set(given) - set(Rates._fields)
    if unknown or not {"input", "output"} <= set(given):
        raise InvalidOption(
            f"The price of {model!r} needs input and output, and may have cache_read, cache_write and cache_write_1h, "
            f"in dollars for a million tokens; it has {', '.join(given)}."
        )
    usual = {"cache_read": given["input"], "cache_write": given["input"]} | dict(given)
    usual.setdefault("cache_write_1h", usual["cache_write"])
    return Price((), (Rates(**{kind: usual[kind] * 1000 for kind in Rates._fields}),), f"override: {model}")


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
    return Price(above, tuple(rates), f"{_list()}: {listed.provider.id}/{listed.model.id}")


@lru_cache(maxsize=1)
def _list() -> str:
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"
