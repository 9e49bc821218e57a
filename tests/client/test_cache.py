"""What was read and is kept on disk: never wrong, whoever else is at it and whatever became of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from support.claude_lines import answer, user

import coder_nb as cnb
from coder_nb.analysis import cache as disk
from coder_nb.client import cache, recent
from coder_nb.core.rows import Session
from coder_nb.errors import MissingExtra
from coder_nb.readers.shelf import Read, Shelf

FRAMES = ("usage", "tool_calls", "messages", "sessions", "quality")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / ".claude" / "projects" / "-home-user-shop"
    folder.mkdir(parents=True)
    for number in range(3):
        more = {"sessionId": f"s{number}"}
        lines = [
            user("Go", **more),
            answer(f"m{number}", "r", 5 + number, **more),
            answer(f"n{number}", "r", 7, **more),
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"s{number}.jsonl").write_text(text + '{"torn' * (number == 2))
    return tmp_path / "home"


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Shelf]]:
    """Begins as a new process would, over the same disk."""
    monkeypatch.setattr(cache, "WORTH", 1)
    monkeypatch.setenv("CODER_NB_DATABASE", str(tmp_path / "data" / "store.sqlite"))
    disks: list[cache.Disk] = []

    def begin() -> Shelf:
        for one in disks:
            one.close()
        disks.append(cache.Disk(cache.folder()))
        shelf = Shelf(disks[-1])
        monkeypatch.setattr(recent, "shelf", lambda: shelf)
        recent._recent.clear()
        return shelf

    yield begin
    for one in disks:
        one.close()
    recent._recent.clear()


def frames(home: Path) -> dict[str, pd.DataFrame]:
    history = cnb.history(agent="claude", roots=home)
    return {name: getattr(history, name) for name in FRAMES}


def test_another_process_reads_nothing_that_was_read(home: Path, process: Callable[[], Shelf]) -> None:
    process()
    first = frames(home)
    shelf = process()
    again = frames(home)
    assert shelf.parsed == 0
    for name in FRAMES:
        pd.testing.assert_frame_equal(first[name], again[name])
    path = next(home.rglob("s1.jsonl"))
    path.write_text(path.read_text() + json.dumps(answer("new", "r", 3, sessionId="s1")) + "\n")
    shelf = process()
    assert len(frames(home)["usage"]) == 7
    assert 0 < shelf.parsed <= 2 * path.stat().st_size


def test_rows_hold_what_many_of_them_tell_once_whether_read_or_kept(home: Path, process: Callable[[], Shelf]) -> None:
    for _ in range(2):
        shelf = process()
        frames(home)
        for read in shelf.known.values():
            for name in ("agent", "session_id", "file", "project", "branch", "version"):
                assert len({id(getattr(row, name)) for row in read.rows if not isinstance(row, Session)}) == 1, name


@pytest.mark.parametrize("damage", ["empty", "text", "half", "bit", "version"])
def test_a_damaged_cache_is_made_again(home: Path, process: Callable[[], Shelf], damage: str) -> None:
    process()
    expected = frames(home)
    process()
    path = cache.folder() / disk.NAME
    data = bytearray(path.read_bytes())
    if damage == "bit":
        for place in range(40, len(data) - 8, 97):
            data[place] ^= 4
    path.write_bytes(
        {"empty": b"", "text": b"no parquet", "half": bytes(data[: len(data) // 2])}.get(damage, bytes(data))
    )
    if damage == "version":
        disk.save(cache.folder(), "another version", [])
    shelf = process()
    found = frames(home)
    for name in FRAMES:
        pd.testing.assert_frame_equal(expected[name], found[name])
    assert shelf.parsed > 0
    assert process()
    assert disk.load(cache.folder(), cache.version())


def test_a_row_whose_bytes_have_changed_is_not_believed(tmp_path: Path) -> None:
    key, saved = ("claude", str(tmp_path), "usage"), disk.Saved((1, 2, 3), b"rows")
    assert disk.save(tmp_path, "1", [(key, saved)])
    assert disk.load(tmp_path, "1") == {key: saved}
    assert disk.load(tmp_path, "2") == {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "_digest", lambda *_: b"x")
        assert disk.load(tmp_path, "1") == {}


def test_processes_that_write_at_the_same_time_lose_nothing_that_is_whole(home: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom coder_nb.analysis import cache\n"
        "folder, name = Path(sys.argv[1]), sys.argv[2]\n"
        "for n in range(20):\n"
        "    cache.save(folder, '1', [(('claude', str(folder), f'{name} {n}'), cache.Saved((n, n, n), b'x' * 1000))])\n"
        "    found = cache.load(folder, '1')\n"
        "    assert all(one.rows == b'x' * 1000 for one in found.values())\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(name)]) for name in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    assert disk.load(tmp_path, "1")
    assert not list(tmp_path.glob("*.draft"))


def test_a_process_that_ends_waits_for_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, order = threading.Event(), threading.Event(), list[str]()

    def save(*_: object) -> bool:
        begun.set()
        assert go.wait(30)
        order.append("written")
        return True

    monkeypatch.setattr(disk, "save", save)
    kept = cache.Disk(tmp_path)
    kept.give(("claude", str(tmp_path), frozenset({"usage"})), Read((1, 2, 3), (), ()), cache.WORTH)
    writer = threading.Thread(target=kept.write)
    ender = threading.Thread(target=lambda: (kept.close(), order.append("ended")))
    writer.start()
    assert begun.wait(30)
    ender.start()
    go.set()
    writer.join(30)
    ender.join(30)
    assert order == ["written", "ended"]


def test_little_is_not_written(home: Path, process: Callable[[], Shelf], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WORTH", 1_000_000)
    process()
    frames(home)
    process()
    assert not cache.folder().exists()


def test_what_is_kept_is_there_when_the_agent_has_deleted_it(home: Path, process: Callable[[], Shelf]) -> None:
    process()
    kept = cnb.history(agent="claude", roots=home, keep=True)
    expected = kept.usage
    assert set(expected["source_file"]) == {str(path) for path in home.rglob("*.jsonl")}
    for path in home.rglob("*.jsonl"):
        path.unlink()
    process()
    assert len(cnb.history(agent="claude", roots=home).usage) == 0
    found = cnb.history(agent="claude", roots=home, keep=True, text=True)
    assert found.usage["output_tokens"].tolist() == expected["output_tokens"].tolist()
    assert set(found.sessions["session_id"]) == {"s0", "s1", "s2"}
    assert found.messages["text"].notna().all()
    assert set(found.usage["session_id"]) == {"s0", "s1", "s2"}


def test_what_is_kept_and_still_there_is_read_once_and_copied_once(home: Path, process: Callable[[], Shelf]) -> None:
    process()
    history = cnb.history(agent="claude", roots=home, keep=True)
    assert history.coverage()[["files", "copies"]].iloc[0].tolist() == [3, 0]
    copies = {path: path.stat().st_ino for path in (cache.folder() / "kept").rglob("*.zst")}
    assert len(copies) == 3
    assert len(history.refresh().usage) == 6
    assert {path: path.stat().st_ino for path in copies} == copies


def test_keeping_names_what_it_needs(home: Path, process: Callable[[], Shelf], monkeypatch: pytest.MonkeyPatch) -> None:
    process()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r'keep=True needs pyarrow.*pip install "coder-nb\[analysis\]"'):
        cnb.history(agent="claude", roots=home, keep=True).coverage()
