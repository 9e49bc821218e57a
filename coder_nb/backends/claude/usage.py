"""What a turn has used: Claude tells what its process has used in all; pure but for `State`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claude_agent_sdk import ModelUsage, ResultMessage

from coder_nb.backends.base import UsageReported
from coder_nb.backends.claude.state import State
from coder_nb.core.entries import Tokens


def since_last(state: State, said: ResultMessage) -> Iterator[UsageReported]:
    """One report for each model that was used since the last result, sub-agents included."""
    for model, total in (said.model_usage or {}).items():
        before = state.totals.get(model)
        state.totals[model] = total
        tokens = _difference(total, before)
        if not any(tokens.values()):
            continue
        is_main = model == state.model or len(said.model_usage or {}) == 1
        cost = _cost(total, before)
        yield UsageReported(
            tokens=Tokens(
                input=tokens["inputTokens"],
                output=tokens["outputTokens"],
                reasoning=tokens["thinkingTokens"] if "thinkingTokens" in total else None,
                cache_read=tokens["cacheReadInputTokens"],
                cache_write=tokens["cacheCreationInputTokens"],
                cache_write_1h=tokens["cacheCreationEphemeral1hInputTokens"]
                if "cacheCreationEphemeral1hInputTokens" in total
                else None,
            ),
            model=model,
            cost_nanousd=cost,
            cost_source="unknown" if cost is None else "reported",
            context_used=state.context_used if is_main else None,
            context_size=total.get("contextWindow") or None if is_main else None,
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


def _difference(total: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, int]:
    return {name: max(0, int(total.get(name) or 0) - int((before or {}).get(name) or 0)) for name in _COUNTS}


def _cost(total: ModelUsage, before: ModelUsage | None) -> int | None:
    """In billionths of a dollar; None where Claude does not know the model's price and has made one up."""
    basis: Mapping[str, Any] = {**total}
    if basis.get("costBasis") == "unknown" or total.get("costUSD") is None:
        return None
    earlier = before["costUSD"] if before else 0.0
    return max(0, round((total["costUSD"] - earlier) * 1e9))
