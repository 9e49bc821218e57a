"""The columns of the frames over what agents left on disk, and their costs; named as those of the store's frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from coder_nb.analysis.columns import Column, usd
from coder_nb.analysis.frames import frame
from coder_nb.core.tools import kind_of, normal_name
from coder_nb.errors import InvalidOption
from coder_nb.prices import Price, changes, price_of

if TYPE_CHECKING:
    import pandas as pd


def _seconds(name: str) -> Any:
    def seconds(row: Any) -> float | None:
        millis = getattr(row, name)
        return None if millis is None else millis / 1000

    return seconds


def _prices(rows: list[Any]) -> list[Price | None]:
    """The price of each row's model; None where it is not known, or the tokens are not, or a cost was reported."""
    known: dict[tuple[str | None, str | None], Price | None] = {(None, None): None}
    found: list[Price | None] = []
    for row in rows:
        tokens, model = row.tokens, (row.provider, row.model)
        if row.cost_nanousd is not None or tokens.input is None or tokens.output is None:
            found.append(None)
        elif model in known:
            found.append(known[model])
        else:
            found.append(_price(row, known))
    return found


def _price(row: Any, known: dict[tuple[str | None, str | None], Price | None]) -> Price | None:
    """The price of a row's model, kept where it is the same at all times."""
    if row.model is None:
        return None
    name = row.model if row.provider is None else f"{row.provider}/{row.model}"
    price = price_of(name, ts=row.ts)
    if not changes(name):
        known[row.provider, row.model] = price
    return price


def _costs_usd(rows: list[Any]) -> list[float | None]:
    """As reported, else by the list, else not known."""
    return [
        price.cost(row.tokens) / 1e9 if price is not None else usd(row.cost_nanousd)
        for row, price in zip(rows, _prices(rows), strict=True)
    ]


def _cost_sources(rows: list[Any]) -> list[str]:
    return [
        "computed" if price is not None else "unknown" if row.cost_nanousd is None else "reported"
        for row, price in zip(rows, _prices(rows), strict=True)
    ]


def _alone(get_all: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    return lambda row: get_all([row])[0]


ORIGIN = (
    Column("project", "category", attrgetter("project"), "the working directory of the session"),
    Column("branch", "category", attrgetter("branch"), "the git branch, where the agent notes it"),
    Column("subagent", "category", attrgetter("subagent"), "the agent's id of the sub-agent; NA for the main one"),
    Column("source", "category", lambda row: "import", "import: read from the agent's own files"),
    Column("source_file", "category", attrgetter("file"), "the file that says so"),
    Column("source_line", "int", attrgetter("line"), "its line, from 1; in a database the row"),
    Column("agent_version", "category", attrgetter("version"), "the agent's version, where it notes it"),
)

USAGE = (
    Column("session_id", "category", attrgetter("session_id"), "the agent's id of the conversation"),
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
    Column("cost_usd", "float", _alone(_costs_usd), "what it cost, in US dollars", _costs_usd),
    Column(
        "cost_source", "category", _alone(_cost_sources), "reported by the agent, computed, or unknown", _cost_sources
    ),
    Column("web_searches", "int", attrgetter("web_searches"), "searches that the provider made"),
    Column("service_tier", "category", attrgetter("service_tier"), "the provider's tier"),
    Column("speed", "category", attrgetter("speed"), "standard or fast"),
    Column("seconds", "float", _seconds("duration_ms"), "how long it took"),
    Column("first_token_seconds", "float", _seconds("ttft_ms"), "how long until its first token"),
    Column("subagent_type", "category", attrgetter("subagent_type"), "what kind of sub-agent"),
    Column("hidden", "bool", attrgetter("hidden"), "True where it is no part of the conversation: a memory, a title"),
    Column("complete", "bool", attrgetter("complete"), "False where the final count was never written"),
    Column("per", "category", attrgetter("per"), "response, or session where the agent keeps no more than its sums"),
    Column("copies", "int", attrgetter("copies"), "in how many places it was written; it is counted once"),
    *ORIGIN,
)

TOOL_CALLS = (
    Column("session_id", "category", attrgetter("session_id"), "the agent's id of the conversation"),
    Column("call_id", "string", attrgetter("call_id"), "the call"),
    Column("time", "time", attrgetter("ts"), "when it was made"),
    Column("agent", "category", attrgetter("agent"), "who made it"),
    Column("model", "category", attrgetter("model"), "the model that asked for it"),
    Column("tool", "category", lambda row: normal_name(row.original_name), "the normal name, the same for every agent"),
    Column("original_name", "category", attrgetter("original_name"), "the agent's own name for it"),
    Column("kind", "category", lambda row: kind_of(normal_name(row.original_name)), "the kind of deed"),
    Column("status", "category", attrgetter("status"), "pending, in_progress, completed, failed, cancelled"),
    Column("exit_code", "int", attrgetter("exit_code"), "of a command"),
    Column("path", "string", attrgetter("path"), "the file that it names"),
    Column("ended", "time", attrgetter("ended"), "when its result was written"),
    Column("seconds", "float", _seconds("duration_ms"), "how long it took, waiting for a permission included"),
    Column("output_chars", "int", attrgetter("output_chars"), "how long its output is"),
    Column("input", "string", attrgetter("input"), "what it was called with, as JSON; only with text=True"),
    Column("output", "string", attrgetter("output"), "what it gave; only with text=True"),
    *ORIGIN,
)

MESSAGES = (
    Column("session_id", "category", attrgetter("session_id"), "the agent's id of the conversation"),
    Column("message_id", "string", attrgetter("message_id"), "the agent's id of the message"),
    Column("time", "time", attrgetter("ts"), "when it was written"),
    Column("agent", "category", attrgetter("agent"), "whose conversation it is"),
    Column("role", "category", attrgetter("role"), "user, assistant or system"),
    Column("kind", "category", attrgetter("kind"), "text, reasoning or compaction"),
    Column("model", "category", attrgetter("model"), "the model that said it"),
    Column("chars", "int", attrgetter("chars"), "how long it is"),
    Column("text", "string", attrgetter("text"), "what it says; only with text=True"),
    *ORIGIN,
)


class Summed(NamedTuple):
    """A session with what is counted of it."""

    session: Any
    usage: Sequence[Any]
    calls: Sequence[Any]
    messages: Sequence[Any]


def summed(
    sessions: Iterable[Any], usage: Iterable[Any], calls: Iterable[Any], messages: Iterable[Any]
) -> list[Summed]:
    """Sessions with their rows; what a sub-agent that has no session of its own did is its parent's."""
    of: list[dict[tuple[str, str], list[Any]]] = [defaultdict(list) for _ in range(3)]
    for found, rows in zip(of, (usage, calls, messages), strict=True):
        for row in rows:
            found[row.agent, row.session_id].append(row)
    keys = ((row, (row.agent, row.session_id)) for row in sessions)
    return [Summed(row, *(found.get(key, ()) for found in of)) for row, key in keys]


def _prompts(row: Summed) -> int:
    return _number(row.messages, lambda one: one.role == "user" and not one.sidechain)


def _number(rows: Sequence[Any], fits: Callable[[Any], bool]) -> int:
    return sum(map(fits, rows))


def _sum(*names: str) -> Callable[[Summed], int | None]:
    def total(row: Summed) -> int | None:
        known = [value for one in row.usage for name in names if (value := getattr(one.tokens, name)) is not None]
        return sum(known) if known else None

    return total


def _cost(row: Summed) -> float | None:
    """The sum, where all of it is known: a part of it would be too little."""
    costs = _costs_usd(list(row.usage))
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known and len(known) == len(costs) else None


SESSIONS = (
    Column("session_id", "string", attrgetter("session.session_id"), "the agent's id of the conversation"),
    Column("agent", "category", attrgetter("session.agent"), "whose it is"),
    Column("title", "string", attrgetter("session.title"), "its title, or the beginning of its first prompt"),
    Column("project", "category", attrgetter("session.project"), "its working directory"),
    Column("branch", "category", attrgetter("session.branch"), "the git branch, where the agent notes it"),
    Column("started", "time", attrgetter("session.ts"), "when it began"),
    Column("ended", "time", attrgetter("session.ended"), "when it was last written to"),
    Column("prompts", "int", _prompts, "how often it was asked"),
    Column("responses", "int", lambda row: _number(row.usage, lambda one: one.per == "response"), "of a model"),
    Column("tool_calls", "int", lambda row: len(row.calls), "calls of tools, those of sub-agents included"),
    Column(
        "failed_calls", "int", lambda row: _number(row.calls, lambda one: one.status == "failed"), "those that failed"
    ),
    Column("input_tokens", "int", _sum("input"), "fresh input, sub-agents included"),
    Column("output_tokens", "int", _sum("output"), "all output, reasoning included"),
    Column("cache_read_tokens", "int", _sum("cache_read"), "input read from a cache"),
    Column("cache_write_tokens", "int", _sum("cache_write"), "input written to a cache"),
    Column("cost_usd", "float", _cost, "what it cost; NA where that of a response is not known"),
    Column("parent_session_id", "string", attrgetter("session.parent_id"), "the session that it came from"),
    Column("relation", "category", attrgetter("session.relation"), "subagent or fork, where it came from another one"),
    Column("agent_version", "category", attrgetter("session.version"), "the agent's version, where it notes it"),
    Column("source", "category", lambda row: "import", "import: read from the agent's own files"),
    Column("source_file", "string", attrgetter("session.file"), "the file that has it"),
)

QUALITY = (
    Column("agent", "category", attrgetter("agent"), "whose file it is"),
    Column("source_file", "string", attrgetter("file"), "the file"),
    Column("source_line", "int", attrgetter("line"), "the line; NA where it is about the whole file"),
    Column("what", "category", attrgetter("what"), "unreadable, torn line, broken line, mended line ..."),
    Column("detail", "string", attrgetter("detail"), "the reason, for a person"),
)

NOT_RECORDED: dict[str, str] = {
    "opencode": "the calls that make titles",
    "goose": "the calls that name sessions and tools; the cache; when each call was",
    "qwen": "some of the calls that keep its memory",
    "claude": "titles and other calls of its own; the searches of its web tool",
}
"""What an agent's files do not hold, so that it is seen: recorded is not observed."""


def _count(fits: Callable[[Any], bool]) -> Callable[[Any], int]:
    return lambda found: _number(found.usage, fits)


COVERAGE = (
    Column("agent", "string", attrgetter("agent"), "the agent"),
    Column("files", "int", attrgetter("files"), "how many files were read"),
    Column("bytes", "int", attrgetter("bytes"), "how large they are"),
    Column("responses", "int", _count(lambda row: row.per == "response"), "with their own counts"),
    Column("sums", "int", _count(lambda row: row.per == "session"), "sums of whole sessions"),
    Column("incomplete", "int", _count(lambda row: not row.complete), "without a final count"),
    Column("copies", "int", attrgetter("copies"), "records of responses and calls that were copies, and not counted"),
    Column("problems", "int", lambda found: len(found.problems), "rows of `quality`"),
    Column("not_recorded", "string", lambda found: NOT_RECORDED.get(found.agent), "what it uses and never writes"),
)


def history_frame(rows: Iterable[Any], table: Sequence[Column], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of a reader by a table of columns, or by some of them, in the order given.

    Raises `InvalidOption` where there is no such column.
    """
    if columns is None:
        return frame(rows, table)
    by_name = {column.name: column for column in table}
    for name in columns:
        if name not in by_name:
            raise InvalidOption(f"There is no column {name!r}: the columns are {', '.join(by_name)}.")
    return frame(rows, [by_name[name] for name in columns])
