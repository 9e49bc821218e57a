"""What was used since the last result; pure but for `State`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claude_agent_sdk import ResultMessage

from coder_nb.backends.claude.state import State
from coder_nb.backends.events import UsageReported
from coder_nb.core.entries import Tokens


def since_last(state: State, said: ResultMessage) -> Iterator[UsageReported]:
    """One report for each model that was used since the last result, sub-agents included."""
    used = state.used.pop(said.uuid or "", None)
    for model, figures in (_differences(state, said) if used is None else used).items():
        if not any(figures.get(name) for name in _COUNTS):
            continue
        is_main = model == state.model or len(said.model_usage or {}) == 1
        cost = _cost(figures)
        yield UsageReported(
            tokens=Tokens(
                input=figures.get("inputTokens"),
                output=figures.get("outputTokens"),
                reasoning=figures.get("thinkingTokens"),
                cache_read=figures.get("cacheReadInputTokens"),
                cache_write=figures.get("cacheCreationInputTokens"),
                cache_write_1h=figures.get("cacheCreationEphemeral1hInputTokens"),
            ),
            model=model,
            cost_nanousd=cost,
            cost_source="unknown" if cost is None else "reported",
            context_used=state.context_used if is_main else None,
            context_size=figures.get("contextWindow") or None if is_main else None,
        )


def context(usage: Mapping[str, Any]) -> int | None:
    """How much of its context a request has filled."""
    parts = (usage.get(name) for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
    return sum(part for part in parts if isinstance(part, int)) or None


_COUNTS = (
    "inputTokens",
    "outputTokens",
    "thinkingTokens",
    "cacheReadInputTokens",
    "cacheCreationInputTokens",
    "cacheCreationEphemeral1hInputTokens",
)


def _differences(state: State, said: ResultMessage) -> dict[str, Mapping[str, Any]]:
    """By the totals, which Claude counts from the start of its process, and at times from an earlier one's."""
    found: dict[str, Mapping[str, Any]] = {}
    for model, total in (said.model_usage or {}).items():
        before, now = state.totals.get(model, {}), {**total}
        state.totals[model] = now
        grown = {name: max(0, now[name] - before.get(name, 0)) for name in (*_COUNTS, "costUSD") if name in now}
        found[model] = {**now, **grown}
    return found


def _cost(figures: Mapping[str, Any]) -> int | None:
    """In billionths of a dollar; None where Claude does not know the model's price and has made one up."""
    cost = figures.get("costUSD")
    if cost is None or figures.get("costBasis") == "unknown":
        return None
    return max(0, int(round(cost * 1e9)))
