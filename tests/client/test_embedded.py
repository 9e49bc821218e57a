"""The client on a real runtime in this process: real store, real git, the scripted agent in its own process."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from coder_nb.client.chat import Chat
from coder_nb.client.home import Home
from coder_nb.client.permission import Permission
from coder_nb.client.session import Session
from coder_nb.errors import BadPath, Conflict, InvalidOption, NobodyToAsk, NotARepository, TurnCancelled, TurnFailed
from coder_nb.testing import scripted_agent

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv("CODER_NB_CONNECTION_FILE", raising=False)
    home = Home(lambda: None)
    home.configure(
        database=str(tmp_path / "store.sqlite"),
        agents={"scripted": scripted_agent.entry()},
        default_agent="scripted",
        permission_grace=0.1,
    )
    yield home
    home.close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    subprocess.run([*GIT, "init", "-q", str(path)], check=True)
    (path / "a.txt").write_text("one\n")
    subprocess.run([*GIT, "-C", str(path), "add", "."], check=True)
    subprocess.run([*GIT, "-C", str(path), "commit", "-qm", "start"], check=True)
    return path


@pytest.fixture
def chat(home: Home, repository: Path) -> Chat:
    link = home.link()
    return Session(link, link.run(link.verbs.open_session, str(repository))).main


def test_a_prompt_runs_in_the_worktree_and_is_applied_to_the_checkout(chat: Chat, repository: Path) -> None:
    turn = chat.run("write a.txt two", mode="accept_edits", timeout=60)
    assert (repository / "a.txt").read_text() == "one\n"
    assert "+two" in turn.changes.diff
    turn.changes.apply()
    assert (repository / "a.txt").read_text().startswith("two")
    assert [change.status for change in chat.changes] == ["applied"]


def test_the_second_turn_finds_the_same_process(chat: Chat) -> None:
    first, second = chat.run("pid", timeout=60), chat.run("pid", timeout=60)
    assert first.text == second.text


def test_an_interrupt_stops_the_turn_and_the_agent_lives(chat: Chat) -> None:
    pid = chat.run("pid", timeout=60).text
    turn = chat.prompt("hang")
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        turn.wait()
    with pytest.raises(TurnCancelled):
        turn.wait(60)
    assert chat.run("pid", timeout=60).text == pid


def test_a_permission_is_answered_by_the_callback(chat: Chat, repository: Path) -> None:
    seen: list[str] = []

    def decide(permission: Permission) -> bool:
        seen.append(permission.kind)
        return False

    turn = chat.run("write a.txt two", mode="ask", on_permission=decide, timeout=60)
    assert len(seen) == 1
    assert len(turn.changes) == 0
    assert [e.body.by for e in turn.transcript if e.kind == "permission"] == ["callback"]  # type: ignore[union-attr]


def test_a_permission_is_asked_at_the_terminal(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coder_nb.client.turn.stdin_allowed", lambda: True)
    monkeypatch.setattr("coder_nb.client.prompting.stdin_allowed", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: "yes")
    turn = chat.run("write a.txt two", mode="ask", timeout=60)
    assert [change.path for change in turn.changes] == ["a.txt"]


def test_where_nobody_can_be_asked_the_wait_says_what_to_do(chat: Chat) -> None:
    with pytest.raises(NobodyToAsk, match="on_permission="):
        chat.run("write a.txt two", mode="ask", timeout=60)


def test_an_agent_that_dies_fails_its_turn_and_the_next_one_works(chat: Chat) -> None:
    with pytest.raises(TurnFailed):
        chat.run("die 3", timeout=60)
    assert chat.run("say hello", timeout=60).text == "hello"


def test_the_same_directory_gives_the_same_session_and_transcript(home: Home, chat: Chat, repository: Path) -> None:
    chat.run("say hello", timeout=60)
    home.close()
    link = home.link()
    again = Session(link, link.run(link.verbs.open_session, str(repository)))
    assert again.main.id == chat.id
    assert "hello" in str(again.transcript)


def test_a_path_that_cannot_be_worked_on_is_said_to_be(home: Home, tmp_path: Path) -> None:
    link = home.link()
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "bare")], check=True)
    with pytest.raises(BadPath):
        link.run(link.verbs.open_session, str(tmp_path / "missing"))
    with pytest.raises(NotARepository, match="give a checkout of it"):
        link.run(link.verbs.open_session, str(tmp_path / "bare"))


@pytest.mark.parametrize("name", ["entry_limit", "git_timeout", "lease_ttl", "poll_interval", "sweep"])
def test_a_setting_by_which_nothing_would_work_is_refused(home: Home, name: str) -> None:
    with pytest.raises(InvalidOption, match=name):
        home.configure(**{name: 0})


def test_settings_come_before_the_first_use_and_are_checked(home: Home) -> None:
    with pytest.raises(InvalidOption, match="'colour' is no setting"):
        home.configure(colour="red")
    with pytest.raises(InvalidOption, match="not understood"):
        home.configure(max_live="many")
    home.link()
    with pytest.raises(Conflict, match="restart the kernel"):
        home.configure(max_live=3)
