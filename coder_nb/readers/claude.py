"""Claude Code: `projects/<folder>/<session>.jsonl`, and beneath it one file for each sub-agent.

A response is written as several lines, one for each of its blocks, whose counts may be partial until the last one; so
that of the lines with one id the one with the most tokens counts, at the time of the first. Forks copy the lines of
their parent, side questions replay them under new request ids: those are told apart where files meet, by their ids.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from sys import intern

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Usage
from coder_nb.readers.base import Note, Parser, Places, Sought, Source, Start, files, fresh
from coder_nb.readers.lines import Lines, millis, shared, stem, whole

_NOTHING = Raw(b"")


class CacheWrites(Struct, gc=False):
    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class ServerTools(Struct, gc=False):
    web_search_requests: int = 0


class Counts(Struct, gc=False):
    """`iterations` are steps that the sums do not hold: compactions, and advisors, which are other models."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheWrites | None = None
    server_tool_use: ServerTools | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    iterations: list[Iteration] | None = None

    @property
    def total(self) -> int:
        return (
            (self.output_tokens or 0)
            + (self.input_tokens or 0)
            + (self.cache_read_input_tokens or 0)
            + (self.cache_creation_input_tokens or 0)
        )


class Iteration(Counts, gc=False):
    type: str = "message"
    model: str | None = None


class Answer(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: Counts | None = None


class Line(Struct, gc=False):
    """As much of a line as tells usage."""

    type: str = ""
    timestamp: str | None = None
    sessionId: str | None = None
    requestId: str | None = None
    cwd: str | None = None
    version: str | None = None
    gitBranch: str | None = None
    agentId: str | None = None
    attributionAgent: str | None = None
    uuid: str | None = None
    isSidechain: bool = False
    costUSD: float | None = None
    message: Answer | None = None
    toolUseResult: Raw = _NOTHING
    sourceToolAssistantUUID: str | None = None


class Searched(Struct):
    """What a tool's result tells of searches, which are billed and stand nowhere else."""

    searchCount: int | None = None


class Meta(Struct):
    """What stands beside a sub-agent's file."""

    agentType: str | None = None


_line = msgspec.json.Decoder(Line).decode
_searched = msgspec.json.Decoder(Searched).decode
_SEARCHES = b'"searchCount"'


class Claude:
    """Reads the history of Claude Code."""

    agent = "claude"

    def roots(self, places: Places) -> Iterable[Path]:
        return places.named("CLAUDE_CONFIG_DIR") or [places.home / ".claude", *places.xdg("CONFIG", "claude")]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        projects = root / "projects" if (root / "projects").is_dir() else root
        for folder in _folders(projects, sought):
            for source in files(folder, self.agent, note, suffixes=(".jsonl", ".jsonl.zst")):
                if fresh(source, sought) and not source.path.name.startswith("journal.jsonl"):
                    yield source

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        yield from whole(self.parser(source, sought, note), source)

    def parser(self, source: Source, sought: Sought, note: Note) -> Parser:
        if sought.what != {"usage"}:
            from coder_nb.readers.claude_talk import Talk  # which knows this module

            return Talk(source, sought.text, note)
        return UsageAlone(source, note)


def _folders(projects: Path, sought: Sought) -> Iterable[Path]:
    """The folders of projects: a path with hyphens for all but letters and digits, cut where it is long.

    A fork lies in its parent's folder, which tells what it has copied; so that the folder of a session is read whole.
    """
    by_path = any("/" in project or "\\" in project for project in sought.projects)
    if not sought.sessions and not by_path:
        return [projects]
    coded = tuple(re.sub(r"[^a-zA-Z0-9]", "-", project)[:180] for project in sought.projects) if by_path else ("",)
    try:
        folders = [folder for folder in projects.iterdir() if folder.name.startswith(coded)]
    except OSError:
        return [projects]  # which notes it
    if not sought.sessions:
        return folders
    names = {f"{session}.jsonl" for session in sought.sessions}
    return [folder for folder in folders if any((folder / name).exists() for name in names)]


class _Response:
    """The lines of one response so far."""

    __slots__ = ("copies", "line", "number", "searches", "total", "ts")

    def __init__(self, line: Line, number: int) -> None:
        self.line, self.number, self.ts, self.copies = line, number, line.timestamp, 1
        self.searches: dict[str | None, int] = {}
        self.total: int | None = None

    def add(self, line: Line) -> None:
        """Takes another line, whose counts are taken for later ones unless they are smaller."""
        if self.total is None:
            self.total = _total(self.line)
        self.copies += 1
        total = _total(line)
        if total >= self.total:
            self.line, self.total = line, total


def _total(line: Line) -> int:
    return line.message.usage.total if line.message and line.message.usage else 0


class Responses:
    """The responses of one file."""

    def __init__(self, source: Source) -> None:
        self._path, self._file = source.path, str(source.path)
        self._found: dict[tuple[str | None, str | None], _Response] = {}
        self._by_line: dict[str | None, _Response] = {}
        self.project: str | None = None

    def add(self, number: int, line: Line) -> None:
        """Takes a line that has usage."""
        answer = line.message
        if line.type != "assistant" or answer is None or answer.model == "<synthetic>":
            return
        key = (answer.id, line.requestId) if answer.id else (line.uuid or str(number), "")
        known = self._found.get(key)
        if known is None:
            known = self._found[key] = _Response(line, number)
        else:
            known.add(line)
        self._by_line[line.uuid] = known

    def searched(self, line: Line) -> None:
        """Takes a line with what a tool gave, which may tell how often it has searched the web."""
        response = self._by_line.get(line.sourceToolAssistantUUID)
        if response is None or _SEARCHES not in bytes(line.toolUseResult):
            return
        with contextlib.suppress(msgspec.MsgspecError):  # one that failed is a text
            response.searches[line.uuid] = _searched(line.toolUseResult).searchCount or 0

    def rows(self) -> Iterator[Usage]:
        types: dict[str, str | None] = {}
        for (name, _), response in self._found.items():
            line = response.line
            if line.agentId and line.agentId not in types:
                types[line.agentId] = line.attributionAgent or _beside(self._path)
            row = self._row(str(name), response, types.get(line.agentId or ""))
            yield row
            usage = line.message.usage if line.message else None
            for number, step in enumerate((usage and usage.iterations) or ()):
                if step.type != "message":
                    yield _step(row, step, number)

    def _row(self, name: str, response: _Response, subagent_type: str | None) -> Usage:
        line, answer = response.line, response.line.message
        assert answer is not None
        assert answer.usage is not None  # `add` takes no other
        usage = answer.usage
        return Usage(
            agent="claude",
            session_id=intern(line.sessionId or stem(self._path)),
            file=self._file,
            line=response.number,
            ts=millis(response.ts),
            project=self.project,
            branch=shared(line.gitBranch) or None,
            version=shared(line.version),
            subagent=shared(line.agentId),
            response_id=name,
            request_id=line.requestId,
            tokens=_tokens(usage),
            model=shared(answer.model),
            cost_nanousd=None if line.costUSD is None else round(line.costUSD * 1e9),
            web_searches=_searches(usage, response),
            service_tier=shared(usage.service_tier),
            speed=shared(usage.speed),
            geo=shared(usage.inference_geo),
            subagent_type=subagent_type,
            sidechain=line.isSidechain,
            complete=answer.stop_reason is not None,
            copies=response.copies,
        )


def _searches(usage: Counts, response: _Response) -> int | None:
    """What the provider did within the response, and what its tools had done apart from it."""
    within = usage.server_tool_use.web_search_requests if usage.server_tool_use else None
    return within if not response.searches else (within or 0) + sum(response.searches.values())


def _tokens(usage: Counts) -> Tokens:
    writes = usage.cache_creation
    return Tokens(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_write=usage.cache_creation_input_tokens,
        cache_write_1h=writes.ephemeral_1h_input_tokens if writes else None,
    )


def _step(row: Usage, step: Iteration, number: int) -> Usage:
    """A step that the response's sums do not hold, as a response of its own."""
    name, model = f"{row.response_id}/{number}", step.model or row.model
    return replace(row, response_id=name, tokens=_tokens(step), model=model, cost_nanousd=None, hidden=True)


def _beside(path: Path) -> str | None:
    """The type of a sub-agent, which some versions write beside its file."""
    try:
        return msgspec.json.decode(path.with_name(f"{stem(path)}.meta.json").read_bytes(), type=Meta).agentType
    except (OSError, msgspec.MsgspecError):
        return None


class UsageAlone:
    """What a file has told of its usage. Once the project is known, lines without any need not be read."""

    def __init__(self, source: Source, note: Note) -> None:
        self._lines = Lines("claude", _line, note)
        self._found = Responses(source)

    def feed(self, source: Source, start: Start) -> Start:
        found, lines = self._found, self._lines
        for number, line in lines.of(source, start):
            if line.message is None:
                continue
            if found.project is None and line.cwd is not None:
                found.project, lines.markers = line.cwd, (b'"usage"', _SEARCHES)
            if line.message.usage is not None:
                found.add(number, line)
            elif line.toolUseResult:
                found.searched(line)
        return lines.end

    def rows(self) -> Iterator[Usage]:
        return self._found.rows()
