"""What a person asks of the frames: sums by day, block, model, project, tool, and what they say of the work. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from coder_nb.errors import InvalidOption

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 5
"""Hours of the block by which subscriptions are metered."""
TIMES = {"hour": "h", "day": "D", "week": "W", "month": "M", "year": "Y"}
GROUPS = (
    "agent",
    "model",
    "provider",
    "project",
    "branch",
    "session_id",
    "chat_id",
    "turn_id",
    "subagent",
    "subagent_type",
)
"""Columns of the usage frame to sum by; `session`, `chat` and `turn` name their ids."""
SHORT = {"session": "session_id", "chat": "chat_id", "turn": "turn_id"}
TOKENS = (
    "input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "total_tokens",
)


def by(usage: pd.DataFrame, keys: Sequence[str], tz: str | tzinfo | None = None) -> pd.DataFrame:
    """Sums of a usage frame, one row for each combination of the keys that there is, in their order.

    The keys are columns, or ``hour``, ``day``, ``week`` (from Monday), ``month`` and ``year`` in `tz` (UTC), or
    ``block``. A sum is NA where nothing of it is known; `unpriced` says of how many responses the cost is not. What is
    not counted is left out.
    """
    import pandas as pd

    counted = usage[usage["counted"].astype("boolean").fillna(True)]
    groups = {key: _group(counted, key, tz) for key in keys}
    if not groups:
        groups = {"all": pd.Series("all", index=counted.index)}
    grouped = counted.groupby(list(groups.values()), observed=True, dropna=False, sort=True)
    sums = grouped[list(TOKENS)].sum(min_count=1)
    sums.insert(0, "responses", grouped.size().astype("Int64"))
    sums.insert(1, "sessions", grouped["session_id"].nunique().astype("Int64"))
    sums["cost_usd"] = grouped["cost_usd"].sum(min_count=1).astype("Float64")
    sums["unpriced"] = (grouped.size() - grouped["cost_usd"].count()).astype("Int64")
    sums["cache_hit_ratio"] = cache_hit_ratio(sums)
    sums.index.names = list(groups)
    return sums


def cache_hit_ratio(sums: pd.DataFrame) -> pd.Series[Any]:
    """The part of all input that was read from a cache; NA where no cache is told of."""
    given = sums[["input_tokens", "cache_read_tokens", "cache_write_tokens"]].sum(axis=1, min_count=1)
    ratio = sums["cache_read_tokens"] / given.where(given > 0)
    made: pd.Series[Any] = ratio.astype("Float64")
    return made


def _group(frame: pd.DataFrame, key: str, tz: str | tzinfo | None) -> pd.Series[Any]:
    if key == "block":
        return blocks(frame["time"]).rename(key)
    if key in TIMES:
        local = frame["time"].dt.tz_convert(_zone(tz)).dt.tz_localize(None)
        periods: pd.Series[Any] = local.dt.to_period(TIMES[key]).rename(key)
        return periods
    name = SHORT.get(key, key)
    if name not in GROUPS or name not in frame:
        known = ", ".join([*TIMES, "block", *SHORT, *(one for one in GROUPS if one not in SHORT.values())])
        raise InvalidOption(f"{key!r} is nothing to sum by: there are {known}.")
    found: pd.Series[Any] = frame[name]
    return found


def blocks(times: pd.Series[Any]) -> pd.Series[Any]:
    """The block that each time lies in, by the full hour in which it began: five hours from the first use after it."""
    import numpy as np
    import pandas as pd

    known = times.dropna().sort_values(kind="stable")
    utc = known.dt.tz_convert("UTC").dt.tz_localize(None)
    moments = utc.to_numpy(dtype="datetime64[ms]")
    starts = utc.dt.floor("h").to_numpy(dtype="datetime64[ms]").copy()
    place, length = 0, np.timedelta64(BLOCK, "h")
    while place < len(starts):
        end = int(moments.searchsorted(starts[place] + length))
        starts[place:end] = starts[place]
        place = end
    return pd.Series(starts, index=known.index).dt.tz_localize("UTC").reindex(times.index)


def by_tool(calls: pd.DataFrame) -> pd.DataFrame:
    """Tools: how often each was called and failed, how long it took, how much it gave back; the most used first."""
    grouped = calls.groupby("tool", observed=True)
    ended = calls["status"].isin(["completed", "failed"])
    found = grouped.agg(
        calls=("call_id", "size"), sessions=("session_id", "nunique"), output_chars=("output_chars", "sum")
    )
    found["failures"] = (calls["status"] == "failed").groupby(calls["tool"], observed=True).sum()
    ends = ended.groupby(calls["tool"], observed=True).sum()
    found["failure_rate"] = (found["failures"] / ends.where(ends > 0)).astype("Float64")
    found["seconds"] = grouped["seconds"].sum(min_count=1).astype("Float64")
    found["median_seconds"] = grouped["seconds"].median().astype("Float64")
    whole = ["calls", "sessions", "output_chars", "failures"]
    found[whole] = found[whole].astype("Int64")
    return found.sort_values("calls", ascending=False, kind="stable")


MEASURES: dict[str, str] = {
    "turns": "prompts, and turns that agents began by themselves",
    "cost_usd": "what it cost, as far as is known",
    "cost_per_turn_usd": "the same for each turn",
    "cost_per_changed_line_usd": "the same for each line added or deleted",
    "changed_lines": "lines added and deleted",
    "cache_hit_ratio": "the part of all input that was read from a cache",
    "first_token_seconds": "how long until the first token, in the middle",
    "model_seconds": "time in which models answered",
    "tool_seconds": "time in which tools ran",
    "permission_seconds": "time in which a person was waited for",
    "failed_call_rate": "the part of tool calls that failed",
    "retries": "calls of a tool that had failed just before",
    "one_shot_rate": "of the turns with edits, those in which each file was edited once and nothing failed",
}
"""What `measures` gives, and what it means."""


def measures(usage: pd.DataFrame, turns: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """How the work went, one row, or one for each agent, model, project or branch: see `MEASURES`."""
    import pandas as pd

    if by is None:
        return pd.DataFrame([_measured(usage, turns)], index=pd.Index(["all"])).convert_dtypes()
    if by not in ("agent", "model", "project", "branch"):
        raise InvalidOption(f"{by!r} is nothing to measure by: there are agent, model, project and branch.")
    of_turn = turns if by in turns else turns.assign(**{by: _main(turns, by)})
    every = pd.concat([usage[by].astype("string"), of_turn[by].astype("string")])
    names = list(every.dropna().unique())
    rows = [_measured(usage[usage[by] == name], of_turn[of_turn[by] == name]) for name in names]
    return pd.DataFrame(rows, index=pd.Index(names, name=by), columns=list(MEASURES)).convert_dtypes()


def _main(turns: pd.DataFrame, by: str) -> Any:
    """The model of a turn: the first that answered in it."""
    return turns["models"].str.split(", ").str[0] if by == "model" and "models" in turns else None


def _measured(usage: pd.DataFrame, turns: pd.DataFrame) -> dict[str, Any]:
    import pandas as pd

    def total(frame: pd.DataFrame, *names: str) -> Any:
        return frame[list(names)].sum(min_count=1).sum(min_count=1)

    counted = usage[usage["counted"].astype("boolean").fillna(True)]
    cost, lines = total(counted, "cost_usd"), total(turns, "additions", "deletions")
    given = total(counted, "input_tokens", "cache_read_tokens", "cache_write_tokens")
    edited = turns["one_shot"].dropna()
    calls = total(turns, "tool_calls")
    return {
        "turns": len(turns),
        "cost_usd": cost,
        "cost_per_turn_usd": _ratio(cost, len(turns)),
        "cost_per_changed_line_usd": _ratio(cost, lines),
        "changed_lines": lines,
        "cache_hit_ratio": _ratio(total(counted, "cache_read_tokens"), given),
        "first_token_seconds": counted["first_token_seconds"].median() if len(counted) else pd.NA,
        "model_seconds": total(turns, "model_seconds"),
        "tool_seconds": total(turns, "tool_seconds"),
        "permission_seconds": total(turns, "permission_seconds"),
        "failed_call_rate": _ratio(total(turns, "failed_calls"), calls),
        "retries": total(turns, "retries"),
        "one_shot_rate": _ratio(edited.sum(), len(edited)),
    }


def _ratio(part: Any, whole: Any) -> Any:
    import pandas as pd

    return pd.NA if pd.isna(part) or pd.isna(whole) or not whole else part / whole


def search(
    messages: pd.DataFrame, calls: pd.DataFrame, pattern: str, *, regex: bool, case: bool, around: int
) -> pd.DataFrame:
    """Where a text stands in what was said and in what tools were given and gave, the latest first."""
    import re

    import pandas as pd

    try:
        sought = re.compile(pattern if regex else re.escape(pattern), 0 if case else re.IGNORECASE)
    except re.error as error:
        raise InvalidOption(
            f"{pattern!r} is no regular expression ({error}): correct it, or leave `regex` out."
        ) from error
    parts = [
        _hits(messages, "text", messages["role"].astype("string"), sought, around),
        _hits(calls, "input", calls["tool"].astype("string") + " input", sought, around),
        _hits(calls, "output", calls["tool"].astype("string") + " output", sought, around),
    ]
    found = [part for part in parts if len(part)] or [parts[0]]
    return pd.concat(found).sort_values("time", ascending=False, kind="stable").reset_index(drop=True)


def _hits(frame: pd.DataFrame, column: str, where: pd.Series[Any], sought: Any, around: int) -> pd.DataFrame:
    text = frame[column].fillna("")
    hit = text.map(lambda one: sought.search(one) is not None).astype(bool)
    kept = frame.loc[hit, ["time", "agent", "session_id", "chat_id", "turn_id", "project"]].astype(
        {name: "string" for name in ("agent", "session_id", "chat_id", "turn_id", "project")}
    )
    kept.insert(2, "where", where[hit].astype("string"))
    kept["snippet"] = text[hit].map(_snippet(sought, around)).astype("string")
    return kept


def _snippet(sought: Any, around: int) -> Callable[[str], str]:
    def cut(text: str) -> str:
        found = sought.search(text)
        start, end = max(0, found.start() - around), found.end() + around
        shown = " ".join(text[start:end].split())
        return f"{'… ' if start else ''}{shown}{' …' if end < len(text) else ''}"

    return cut


def _zone(tz: str | tzinfo | None) -> Any:
    return "UTC" if tz is None else tz
