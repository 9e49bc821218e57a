"""`cnb.history()`: what it takes, what its frames have in common."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import coder_nb as cnb
from coder_nb.analysis import summing, tables
from coder_nb.errors import InvalidOption, UnknownAgent

DTYPES = {
    "string": "string",
    "category": "category",
    "int": "Int64",
    "float": "Float64",
    "bool": "boolean",
    "time": "datetime64[ms, UTC]",
}
TABLES = {
    "usage": tables.USAGE,
    "tool_calls": tables.TOOL_CALLS,
    "messages": tables.MESSAGES,
    "sessions": summing.SESSIONS,
    "turns": summing.TURNS,
    "file_changes": tables.FILE_CHANGES,
    "permissions": tables.PERMISSIONS,
    "quality": tables.QUALITY,
}


def line(day: str, message: str, **more: Any) -> str:
    said = {"id": message, "model": "claude-sonnet-4-5", "stop_reason": "end_turn", "content": []}
    said["usage"] = {"input_tokens": 100, "output_tokens": 10}
    known = {"type": "assistant", "timestamp": f"{day}T12:00:00Z", "sessionId": "s1", "cwd": "/home/user/shop"}
    return json.dumps(known | {"requestId": message, "message": said} | more)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two months of two sessions in two projects."""
    one, two = (tmp_path / ".claude" / "projects" / name for name in ("-home-user-shop", "-home-user-site"))
    one.mkdir(parents=True)
    two.mkdir()
    (one / "s1.jsonl").write_text(line("2026-09-30", "a") + "\n" + line("2026-10-01", "b") + "\n")
    other = {"sessionId": "s2", "cwd": "/home/user/site"}
    (two / "s2.jsonl").write_text(line("2026-10-31", "c", **other) + "\n" + line("2026-11-01", "d", **other) + "\n")
    return tmp_path


def ids(**options: Any) -> str:
    return "".join(sorted(cnb.history(**options).usage["response_id"]))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "abcd"),
        ({"since": "2026-10"}, "bcd"),
        ({"since": "2026-10", "until": "2026-11"}, "bc"),
        ({"since": "2026-10-01T12:00:00", "until": date(2026, 10, 31)}, "b"),
        ({"since": datetime(2026, 10, 1, 12, 0, 1, tzinfo=UTC)}, "cd"),
        ({"since": "2026-10-01T14:00:01", "until": "2026-11", "tz": "Europe/Berlin"}, "c"),
        ({"until": "2026"}, ""),
        ({"project": "shop"}, "ab"),
        ({"project": "/home/user"}, "abcd"),
        ({"project": Path("/home/user/site")}, "cd"),
        ({"session": "s2"}, "cd"),
        ({"session": ["s1", "s2"], "since": "2026-11"}, "d"),
        ({"session": "s3"}, ""),
        ({"agent": "claude"}, "abcd"),
        ({"agent": ["codex", "goose"]}, ""),
    ],
)
def test_filters_leave_what_is_asked_for(home: Path, options: dict[str, Any], expected: str) -> None:
    assert ids(roots=home, **options) == expected


def test_roots_are_homes_or_folders_by_agent(home: Path, tmp_path: Path) -> None:
    assert ids(roots=[home, str(home)]) == "abcd"
    assert ids(roots={"claude": home / ".claude"}) == "abcd"
    assert ids(roots={"claude": [home / ".claude" / "projects"], "codex": home}) == "abcd"
    assert ids(roots={"codex": home / ".claude"}) == ""


@pytest.mark.parametrize("name", TABLES)
def test_columns_and_dtypes_are_those_of_the_table_however_many_rows_there_are(home: Path, name: str) -> None:
    expected = {column.name: DTYPES[column.kind] for column in TABLES[name]}
    assert len(expected) == len(TABLES[name]), "a name appears twice"
    for options in ({}, {"agent": "goose"}):
        frame = getattr(cnb.history(roots=home, **options), name)
        assert {column: str(dtype) for column, dtype in frame.dtypes.items()} == expected


def test_some_columns_are_given_in_the_order_asked_for(home: Path) -> None:
    usage = cnb.history(roots=home, columns=["model", "time", "output_tokens"]).usage
    assert list(usage) == ["model", "time", "output_tokens"]
    assert usage["output_tokens"].sum() == 40


def test_what_is_read_once_stays_until_it_is_refreshed(home: Path) -> None:
    history = cnb.history(roots=home)
    assert len(history.usage) == 4
    with (home / ".claude/projects/-home-user-site/s2.jsonl").open("a") as file:
        file.write(line("2026-11-02", "e") + "\n")
    assert len(history.usage) == 4
    assert len(history.refresh().usage) == 5


def test_coverage_says_what_was_read_and_what_agents_never_write(home: Path) -> None:
    coverage = cnb.history(roots=home).coverage().set_index("agent")
    assert coverage.loc["claude", ["files", "responses", "problems"]].tolist() == [2, 4, 0]
    assert coverage.loc["codex", ["files", "responses"]].tolist() == [0, 0]
    assert pd.notna(coverage.loc["goose", "not_recorded"])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"agent": "clod"}, UnknownAgent, "there is that of claude, codex"),
        ({"since": "yesterday"}, InvalidOption, "since='yesterday'"),
        ({"until": "2026-13"}, InvalidOption, "until='2026-13'"),
        ({"since": "2026", "tz": "Atlantis"}, InvalidOption, "tz='Atlantis'"),
    ],
)
def test_what_is_not_understood_is_said_with_its_cure(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        cnb.history(**options)


def test_a_column_that_there_is_not_names_those_there_are(home: Path) -> None:
    with pytest.raises(InvalidOption, match="the columns are session_id, chat_id"):
        cnb.history(roots=home, columns=["tokens"]).usage


def test_it_says_what_it_has() -> None:
    assert ".file_changes, .permissions, .quality, .coverage()" in repr(cnb.history(agent="claude"))


def test_asking_for_a_history_reads_nothing_and_loads_no_pandas(home: Path) -> None:
    code = "import sys, coder_nb; coder_nb.history(); print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_project_is_found_by_the_link_that_leads_to_it(home: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    folder = home / ".claude" / "projects"
    for name, path in (("e", real), ("f", link)):
        coded = str(path).replace("/", "-").replace("_", "-")
        (folder / coded).mkdir()
        (folder / coded / f"{name}.jsonl").write_text(line("2026-11-03", name, sessionId=name, cwd=str(path)) + "\n")
    assert ids(roots=home, project=link) == "ef"
    assert ids(roots=home, project=real) == "e"


def test_a_second_search_reads_nothing_again_until_the_history_is_refreshed(home: Path) -> None:
    found = cnb.history(roots=home)
    whole = found.with_text()
    assert found.with_text() is whole
    assert found.refresh().with_text() is not whole
