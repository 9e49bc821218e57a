"""The columns of the frames that the store and the agents' own files give alike: one declaration of each.

The keys by which frames join are columns like all others: `session_id` in every frame, `chat_id` and `turn_id` where
the store has them, and `response_id`, `call_id`, `change_id` for a row itself.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from coder_nb.analysis.columns import Column, derived, usd
from coder_nb.analysis.costs import Costs, costs
from coder_nb.core.tools import kind_of, normal_name


def _seconds(name: str) -> Any:
    def seconds(row: Any) -> float | None:
        millis = getattr(row, name)
        return None if millis is None else millis / 1000

    return seconds


def _costs(known: dict[str, Any]) -> Costs:
    """All that is told of costs, worked out once."""
    if "costs" not in known:
        known["costs"] = costs(known)
    found: Costs = known["costs"]
    return found


def _sum(*names: str) -> Any:
    """What is known of some columns, added up; NA where nothing is."""

    def total(known: dict[str, Any]) -> Any:
        import pandas as pd

        parts = pd.DataFrame({name: known[name] for name in names}, copy=False)
        return parts.sum(axis=1, min_count=1).astype("Int64").array

    return total


def _rate(known: dict[str, Any]) -> Any:
    import pandas as pd

    seconds = pd.Series(known["seconds"])
    return (pd.Series(known["output_tokens"]) / seconds.where(seconds > 0)).astype("Float64").array


def _tool(row: Any) -> str:
    return row.name or normal_name(row.original_name)


def _server(row: Any) -> str | None:
    """``mcp__server__tool`` is what most agents call a tool of a server."""
    parts = row.original_name.split("__")
    return parts[1] if len(parts) > 2 and parts[0] == "mcp" else None


def _native(row: Any) -> str | None:
    return row.native_id or (None if row.source == "pool" else row.session_id)


KEYS = (
    Column("session_id", "category", attrgetter("session_id"), "the session; on disk only, the agent's own id of it"),
    Column("chat_id", "category", lambda row: row.chat_id or row.session_id, "the chat; what is on disk only is one"),
    Column("native_id", "category", _native, "the agent's id of the conversation"),
    Column("turn_id", "category", attrgetter("turn_id"), "the turn, where it was taken here"),
)

ORIGIN = (
    Column("project", "category", attrgetter("project"), "the working directory of the session"),
    Column("branch", "category", attrgetter("branch"), "the git branch, where the agent notes it"),
    Column("subagent", "category", attrgetter("subagent"), "the agent's id of the sub-agent; NA for the main one"),
    Column("source", "category", attrgetter("source"), "pool: seen by us; import: read from the agent's own files"),
    Column("source_file", "category", lambda row: row.file or None, "the file that says so"),
    Column("source_line", "int", attrgetter("line"), "its line, from 1; in a database the row, in a chat the position"),
    Column("agent_version", "category", attrgetter("version"), "the agent's version, where it notes it"),
)

USAGE = (
    *KEYS,
    Column("response_id", "string", attrgetter("response_id"), "what makes it this response, wherever it is written"),
    Column("request_id", "string", attrgetter("request_id"), "the provider's id of the request"),
    Column("time", "time", attrgetter("ts"), "when it began, as far as the agent tells"),
    Column("agent", "category", attrgetter("agent"), "who used it"),
    Column("model", "category", attrgetter("model"), "the model, as the agent names it"),
    Column("provider", "category", attrgetter("provider"), "who serves it, where the agent tells"),
    Column("input_tokens", "int", attrgetter("tokens.input"), "fresh input"),
    Column("output_tokens", "int", attrgetter("tokens.output"), "all output, reasoning included"),
    Column("reasoning_tokens", "int", attrgetter("tokens.reasoning"), "the part of the output that was reasoning"),
    Column("cache_read_tokens", "int", attrgetter("tokens.cache_read"), "input read from a cache"),
    Column("cache_write_tokens", "int", attrgetter("tokens.cache_write"), "input written to a cache"),
    Column("cache_write_1h_tokens", "int", attrgetter("tokens.cache_write_1h"), "the part of it kept for an hour"),
    derived(
        "context_tokens",
        "int",
        _sum("input_tokens", "cache_read_tokens", "cache_write_tokens"),
        "all that the model was given: input, cached or not",
    ),
    derived("total_tokens", "int", _sum("context_tokens", "output_tokens"), "all that it was given and gave"),
    Column("web_searches", "int", attrgetter("web_searches"), "searches that the provider made"),
    Column("service_tier", "category", attrgetter("service_tier"), "the provider's tier"),
    Column("speed", "category", attrgetter("speed"), "standard or fast"),
    Column("geo", "category", attrgetter("geo"), "where it had to be computed"),
    Column(
        "reported_cost_usd",
        "float",
        lambda row: usd(row.cost_nanousd) if row.cost_source == "reported" else None,
        "what the agent says it cost",
    ),
    derived("cost_usd", "float", lambda known: _costs(known).usd, "what it cost, in US dollars"),
    derived(
        "cost_source", "category", lambda known: _costs(known).source, "reported by the agent, computed, or unknown"
    ),
    derived("price", "category", lambda known: _costs(known).price, "by which price it was computed"),
    Column("seconds", "float", _seconds("duration_ms"), "how long it took"),
    Column("first_token_seconds", "float", _seconds("ttft_ms"), "how long until its first token"),
    derived("output_per_second", "float", _rate, "tokens of output in a second"),
    Column("subagent_type", "category", attrgetter("subagent_type"), "what kind of sub-agent"),
    Column("hidden", "bool", attrgetter("hidden"), "True where it is no part of the conversation: a memory, a title"),
    Column("complete", "bool", attrgetter("complete"), "False where the final count was never written"),
    Column("counted", "bool", attrgetter("counted"), "False where it must not be summed: replayed, resumed, imported"),
    Column("per", "category", attrgetter("per"), "response; report, of one or more; session, a session's sums"),
    Column("copies", "int", attrgetter("copies"), "in how many places it was written; it is counted once"),
    *ORIGIN,
)

TOOL_CALLS = (
    *KEYS,
    Column("call_id", "string", attrgetter("call_id"), "the call"),
    Column("message_id", "string", attrgetter("message_id"), "the message that asked for it"),
    Column("time", "time", attrgetter("ts"), "when it was made"),
    Column("agent", "category", attrgetter("agent"), "who made it"),
    Column("model", "category", attrgetter("model"), "the model that asked for it"),
    Column("tool", "category", _tool, "the normal name, the same for every agent"),
    Column("original_name", "category", attrgetter("original_name"), "the agent's own name for it"),
    Column("kind", "category", lambda row: kind_of(_tool(row)), "the kind of deed"),
    Column("server", "category", _server, "the MCP server that has it"),
    Column("command", "category", attrgetter("command"), "the first word of a command"),
    Column("status", "category", attrgetter("status"), "pending, in_progress, completed, failed, cancelled"),
    Column("exit_code", "int", attrgetter("exit_code"), "of a command"),
    Column("path", "string", attrgetter("path"), "the file that it names"),
    Column("ended", "time", attrgetter("ended"), "when its result was written"),
    Column("seconds", "float", _seconds("duration_ms"), "how long it took, waiting for a permission included"),
    Column("output_chars", "int", attrgetter("output_chars"), "how long its output is"),
    Column("additions", "int", attrgetter("lines_added"), "lines that an edit says it adds"),
    Column("deletions", "int", attrgetter("lines_removed"), "lines that an edit says it removes"),
    Column("input", "string", attrgetter("input"), "what it was called with, as JSON; of history with text=True"),
    Column("output", "string", attrgetter("output"), "what it gave; of history with text=True"),
    *ORIGIN,
)

MESSAGES = (
    *KEYS,
    Column("message_id", "string", attrgetter("message_id"), "the message; its parts share it"),
    Column("time", "time", attrgetter("ts"), "when it was written"),
    Column("agent", "category", attrgetter("agent"), "whose conversation it is"),
    Column("role", "category", attrgetter("role"), "user, assistant or system"),
    Column("kind", "category", attrgetter("kind"), "text, reasoning or compaction"),
    Column("model", "category", attrgetter("model"), "the model that said it"),
    Column("chars", "int", attrgetter("chars"), "how long it is"),
    Column("sidechain", "bool", attrgetter("sidechain"), "whether it was said beside the main conversation"),
    Column("text", "string", attrgetter("text"), "what it says; of history with text=True"),
    *ORIGIN,
)

PERMISSIONS = (
    *KEYS,
    Column("entry_id", "string", attrgetter("entry_id"), "the entry that asks"),
    Column("call_id", "string", attrgetter("call_id"), "the call that it is about"),
    Column("time", "time", attrgetter("ts"), "when it was asked"),
    Column("agent", "category", attrgetter("agent"), "who asked"),
    Column("tool", "category", attrgetter("tool"), "the normal name of the tool"),
    Column("title", "string", attrgetter("title"), "what the agent calls it"),
    Column("status", "category", attrgetter("status"), "pending, allowed, denied or expired"),
    Column("by", "category", attrgetter("by"), "who answered: a user, callback, stdin, rule, mode, nobody"),
    Column("seconds", "float", _seconds("waited_ms"), "how long it waited for the answer"),
    *ORIGIN,
)

FILE_CHANGES = (
    *KEYS,
    Column("change_id", "string", attrgetter("change_id"), "the change; on disk only, the call that made it"),
    Column("time", "time", attrgetter("ts"), "when it was made"),
    Column("agent", "category", attrgetter("agent"), "who made it"),
    Column("path", "string", attrgetter("path"), "the file, as git or the agent names it"),
    Column("old_path", "string", attrgetter("old_path"), "what a renamed file was called"),
    Column("operation", "category", attrgetter("operation"), "create, edit, delete or rename"),
    Column("status", "category", attrgetter("status"), "how it stands in its review; NA on disk only"),
    Column("additions", "int", attrgetter("additions"), "lines added"),
    Column("deletions", "int", attrgetter("deletions"), "lines deleted"),
    Column("binary", "bool", attrgetter("binary"), "whether it is no text"),
    Column("decided", "time", attrgetter("decided"), "when it was applied or rejected"),
    *ORIGIN,
)

QUALITY = (
    Column("agent", "category", attrgetter("agent"), "whose file it is"),
    Column("source_file", "string", attrgetter("file"), "the file"),
    Column("source_line", "int", attrgetter("line"), "the line; NA where it is about the whole file"),
    Column("what", "category", attrgetter("what"), "unreadable, torn line, broken line, mended line ..."),
    Column("detail", "string", attrgetter("detail"), "the reason, for a person"),
)
