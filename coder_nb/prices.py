"""Tokens and a model's name → what it costs, offline, by the price list that genai-prices ships."""

from __future__ import annotations

from coder_nb.core.entries import Tokens


def cost_nanousd(tokens: Tokens, model: str) -> int | None:
    """The list price of one response in billionths of a dollar; None where tokens or price are not known.

    `model` may carry its provider, as in ``anthropic/claude-sonnet-5``.
    """
    if tokens.input is None or tokens.output is None:
        return None
    from genai_prices import Usage, calc_price

    provider, _, name = model.rpartition("/")
    read, write = tokens.cache_read or 0, tokens.cache_write or 0
    usage = Usage(
        input_tokens=tokens.input + read + write,  # the list counts the cache as a part of the input
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=tokens.output,
    )
    try:
        price = calc_price(usage, name, provider_id=provider or None)
    except LookupError:
        return None
    return round(price.total_price * 1_000_000_000)
