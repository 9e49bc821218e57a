"""Where histories are looked for, what is pruned, what may not be looked at, and readers of other packages."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from coder_nb.core.entries import Tokens
from coder_nb.core.rows import AnyRow, Problem, Usage
from coder_nb.readers import base
from coder_nb.readers.base import Note, Places, Reader, Sought, Source, readers
from coder_nb.readers.collect import collect
from coder_nb.readers.lines import BUFFER, Lines, millis

Write = Callable[..., Path]
HOME = Path("/home/ana")


@pytest.mark.parametrize(
    ("agent", "environ", "roots"),
    [
        ("claude", {}, ["~/.claude", "~/.config/claude"]),
        ("claude", {"XDG_CONFIG_HOME": "/cfg"}, ["~/.claude", "/cfg/claude", "~/.config/claude"]),
        ("claude", {"CLAUDE_CONFIG_DIR": "/a, ~/b,"}, ["/a", "~/b"]),
        ("codex", {}, ["~/.codex"]),
        ("codex", {"CODEX_HOME": "/c"}, ["/c"]),
        ("opencode", {}, ["~/.local/share/opencode"]),
        ("opencode", {"XDG_DATA_HOME": "/d"}, ["/d/opencode", "~/.local/share/opencode"]),
        ("opencode", {"OPENCODE_DATA_DIR": "/o"}, ["/o"]),
        ("qwen", {}, ["~/.qwen"]),
        ("qwen", {"QWEN_HOME": "/q", "QWEN_RUNTIME_DIR": "/r"}, ["/r", "/q", "~/.qwen"]),
        ("gemini", {}, ["~/.gemini"]),
        ("gemini", {"GEMINI_CLI_HOME": "/g"}, ["/g/.gemini", "~/.gemini"]),
        ("goose", {}, ["~/.local/share/goose"]),
        ("goose", {"GOOSE_PATH_ROOT": "/p"}, ["/p/data", "~/.local/share/goose"]),
    ],
)
def test_each_agent_is_looked_for_where_it_keeps_its_files(
    agent: str, environ: dict[str, str], roots: list[str]
) -> None:
    found = readers()[agent].roots(Places(HOME, environ))
    assert [str(root) for root in found] == [root.replace("~", str(HOME)) for root in roots]


def test_there_are_six_readers_of_agents_and_two_that_are_asked_for_by_name() -> None:
    usual = [name for name, reader in readers().items() if not getattr(reader, "on_request", False)]
    assert usual == ["claude", "codex", "opencode", "qwen", "gemini", "goose"]
    assert set(readers()) - set(usual) == {"agentsview", "inspect"}
    assert all(reader.agent == agent for agent, reader in readers().items())


class Foreign:
    """A reader of another package."""

    agent = "foreign"

    def roots(self, places: Places) -> Iterable[Path]:
        return [places.home / ".foreign"]

    def sources(self, root: Path, sought: Sought, note: Note) -> Iterable[Source]:
        return base.files(root, self.agent, note, suffixes=(".txt",))

    def read(self, source: Source, sought: Sought, note: Note) -> Iterator[AnyRow]:
        count = int(source.path.read_text())
        place = {"agent": self.agent, "session_id": "f", "file": str(source.path), "line": 1}
        yield Usage(**place, response_id=source.path.stem, tokens=Tokens(output=count))  # type: ignore[arg-type]


def test_other_packages_add_readers(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("foreign", f"{__name__}:Foreign", base.GROUP)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or sys.modules[Foreign.__module__])
    monkeypatch.setattr(base, "entry_points", lambda group: EntryPoints([point]).select(group=group))
    write(".foreign/a.txt", ["17"])
    reader: Reader = readers()["foreign"]
    found = collect(reader, reader.roots(Places(tmp_path)), Sought())
    assert [row.tokens.output for row in found.usage] == [17]


def test_no_history_at_all_is_no_problem(tmp_path: Path) -> None:
    for reader in readers().values():
        found = collect(reader, reader.roots(Places(tmp_path)), Sought())
        assert (found.files, found.problems) == ({}, [])


def test_a_root_that_two_names_lead_to_is_read_once(write: Write, tmp_path: Path) -> None:
    write(".foreign/a.txt", ["17"])
    (tmp_path / "link").symlink_to(tmp_path / ".foreign")
    found = collect(Foreign(), [tmp_path / ".foreign", tmp_path / "link"], Sought())
    assert (found.files["foreign"], found.copies.total()) == (1, 0)


def test_files_that_cannot_hold_what_is_sought_are_not_opened(write: Write, tmp_path: Path) -> None:
    old = write(".codex/sessions/2026/10/01/rollout-a-1.jsonl", ["{}"], mtime=1_000_000_000)
    new = write(".codex/sessions/2026/10/31/rollout-b-2.jsonl", ["{}"], mtime=1_800_000_000)
    codex, claude = readers()["codex"], readers()["claude"]
    opened = [source.path for source in codex.sources(tmp_path / ".codex", Sought(since=1_700_000_000_000), print)]
    assert opened == [new]
    opened = [source.path for source in codex.sources(tmp_path / ".codex", Sought(sessions=frozenset({"1"})), print)]
    assert opened == [old]
    mine = write(".claude/projects/-home-user-shop/s.jsonl", [])
    write(".claude/projects/-home-user-other/s.jsonl", [])
    opened = [
        source.path for source in claude.sources(tmp_path / ".claude", Sought(projects=("/home/user/shop",)), print)
    ]
    assert opened == [mine]


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_told_and_the_rest_is_read() -> None:
    reader = readers()["claude"]
    with TemporaryDirectory() as home:
        Path(home).chmod(0o755)  # the tests' own folders are closed to others
        open_, closed = (Path(home, "projects", name) for name in ("open", "closed"))
        for folder in (open_, closed):
            folder.mkdir(parents=True)
            for name in ("a.jsonl", "b.jsonl"):
                (folder / name).touch()
        (open_ / "b.jsonl").chmod(0)
        closed.chmod(0)
        with nobody():
            found = collect(reader, [Path(home)], Sought())
        closed.chmod(0o700)
    assert found.files["claude"] == 2
    told = [(problem.what, problem.file) for problem in found.problems]
    assert told == [("unreadable", str(closed)), ("unreadable", str(open_ / "b.jsonl"))]


@pytest.mark.parametrize("size", [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER])
def test_lines_are_whole_however_long_they_are(tmp_path: Path, size: int) -> None:
    lines = [b"a" * size, b"", b"b" * (BUFFER // 2), b"c"]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(lines))
    found = Lines("none", lambda line: line.removesuffix(b"\n"), print).of(Source(path, 0, 0))
    assert list(found) == list(enumerate(lines, 1))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-10-31T12:00:00.123Z", 1_793_448_000_123),
        ("2026-10-31T14:00:00.123+02:00", 1_793_448_000_123),
        ("2026-10-31 12:00:00", 1_793_448_000_000),
        (1_793_448_000, 1_793_448_000_000),
        (1_793_448_000_123, 1_793_448_000_123),
        (1_793_448_000.5, 1_793_448_000_500),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times_are_understood_as_agents_write_them(written: str | float | None, expected: int | None) -> None:
    assert millis(written) == expected


def test_a_problem_says_where_it_is(write: Write, tmp_path: Path) -> None:
    path = write(".claude/projects/x/s.jsonl", ['{"a":'])
    found = collect(readers()["claude"], [tmp_path / ".claude"], Sought())
    [problem] = found.problems
    assert problem == Problem(agent="claude", file=str(path), line=1, what="broken line", detail=problem.detail)
    assert problem.detail
