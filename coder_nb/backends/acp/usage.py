"""Tokens and cost, from each of the places where agents put them; pure."""

from __future__ import annotations

from typing import Any

from coder_nb.backends.acp.state import State, as_count, model_name
from coder_nb.backends.events import AnyEvent, UsageReported
from coder_nb.core.entries import Tokens

_NANO = 1_000_000_000


def begin_turn(state: State) -> None:
    """A prompt is about to be sent."""
    state.reported = False
    state.speaking = ""


def end_turn(state: State, result: dict[str, Any] | None = None) -> list[UsageReported]:
    """What is left to report of usage when a turn has ended: with the answer to the prompt, or without one."""
    models = _by_model((result or {}).get("_meta"))
    if models and not state.reported:  # these have what the agent asked in the background too
        (model, tokens), *others = models
        first = _report(state, tokens, model=model)
        costs = first[0].cost_nanousd is not None
        return [*first, *(_without_cost(tokens, model, costs) for model, tokens in others)]
    usage = (result or {}).get("usage")
    known = state.reported or (state.repeats_usage and usage == state.last_usage)
    state.last_usage = usage or state.last_usage
    return _report(state, None if known or not isinstance(usage, dict) else tokens_of(usage))


def _without_cost(tokens: Tokens, model: str | None, reported: bool) -> UsageReported:
    """A further model's part: what the turn cost, if that was reported, stands beside the first one."""
    if not reported:
        return UsageReported(tokens=tokens, model=model)
    return UsageReported(tokens=tokens, model=model, cost_nanousd=0, cost_source="reported")


def _by_model(meta: Any) -> list[tuple[str | None, Tokens]]:
    """A turn's counts for each model, where the agent puts them beside its answer."""
    quota = meta.get("quota") if isinstance(meta, dict) else None
    listed = quota.get("model_usage") if isinstance(quota, dict) else None
    found: list[tuple[str | None, Tokens]] = []
    for one in listed if isinstance(listed, list) else ():
        counts = one.get("token_count") if isinstance(one, dict) else None
        named = {_ALSO.get(str(name), str(name)): n for name, n in counts.items()} if isinstance(counts, dict) else {}
        if (tokens := tokens_of(named)) is not None:
            model = one.get("model")
            found.append((model if isinstance(model, str) else None, tokens))
    return found


_ALSO = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "cachedInputTokens": "cachedReadTokens",
    "reasoningOutputTokens": "thoughtTokens",
}


def tokens_of(usage: dict[str, Any]) -> Tokens | None:
    """Counts in our sense; None where nothing was counted, as after a Stop.

    Agents differ in whether input includes what came from a cache, and output what was reasoning: the total tells.
    """
    counts = [as_count(usage.get(name)) for name in _COUNTS]
    if not any(counts):
        return None
    given, out, thought, read, written, total = counts
    fresh, said = given or 0, out or 0
    cached, thoughts = (read or 0) + (written or 0), thought or 0
    beside = cached if total is None else total - fresh - said
    if beside == cached + thoughts:
        said += thoughts
    elif beside == cached:
        pass  # what the protocol means
    elif beside == thoughts:
        fresh, said = fresh - cached, said + thoughts
    elif beside == 0:
        fresh -= cached
    return Tokens(
        input=None if given is None else max(0, fresh),
        output=None if out is None else said,
        reasoning=thought,
        cache_read=read,
        cache_write=written,
    )


_COUNTS = ("inputTokens", "outputTokens", "thoughtTokens", "cachedReadTokens", "cachedWriteTokens", "totalTokens")


def response_usage(state: State, meta: Any) -> list[UsageReported]:
    usage = meta.get("usage") if isinstance(meta, dict) else None
    tokens = tokens_of(usage) if isinstance(usage, dict) else None
    if tokens is None:
        return []
    state.reported = True
    return _report(state, tokens)


def _report(state: State, tokens: Tokens | None, *, model: str | None = None) -> list[UsageReported]:
    cost, state.cost_due = state.cost_due, None
    if tokens is None and not cost:
        return []
    return [
        UsageReported(
            tokens=tokens or Tokens(),
            model=model or model_name(state),
            cost_nanousd=cost,
            cost_source="unknown" if cost is None else "reported",
            context_used=state.context_used or None,
            context_size=state.context_size,
        )
    ]


def context_changed(state: State, said: dict[str, Any]) -> list[AnyEvent]:
    """Nothing yet: context and cost are reported with the tokens that they belong to."""
    state.context_used, state.context_size = as_count(said.get("used")), as_count(said.get("size"))
    cost = said.get("cost")
    if isinstance(cost, dict) and cost.get("currency", "USD") == "USD":
        total = round(float(cost["amount"]) * _NANO)
        state.has_cost = True
        if state.cost_total is not None and total >= state.cost_total:
            state.cost_due = (state.cost_due or 0) + total - state.cost_total
        state.cost_total = total
    return []
