"""Chats to files and back, and what of them is shown elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.place import make_repository

from coder_nb.client.chat import Chat
from coder_nb.client.home import Home
from coder_nb.client.session import Session
from coder_nb.client.sharing import SharedChat
from coder_nb.errors import BadRequest, InvalidOption, NotFound
from coder_nb.testing import scripted_agent
from coder_nb.widgets.screen import Notebook


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv("CODER_NB_CONNECTION_FILE", raising=False)
    home = Home(Notebook)
    home.configure(
        database=str(tmp_path / "store.sqlite"),
        agents={"scripted": scripted_agent.entry()},
        default_agent="scripted",
        permission_grace=0.1,
    )
    yield home
    home.close()


@pytest.fixture
def session(home: Home, tmp_path: Path) -> Session:
    link = home.link()
    return Session(link, link.run(link.verbs.open_session, str(make_repository(tmp_path / "repo"))))


@pytest.fixture
def chat(session: Session) -> Chat:
    session.run("write a.txt plums", mode="bypass", timeout=60, display=False)
    session.run("say <b>bold</b> & `<i>code</i>`; usage 10 5", timeout=60, display=False)
    return session.main


def test_a_chat_goes_to_a_file_and_comes_back(chat: Chat, session: Session, tmp_path: Path) -> None:
    file = chat.export(tmp_path / "chat.jsonl")
    copy = session.import_chat(file)
    assert [entry.kind for entry in copy.transcript] == [entry.kind for entry in chat.transcript]
    assert session.import_chat(file).id == copy.id


def test_the_ending_says_the_format_and_an_unknown_one_is_refused(chat: Chat, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"\.jsonl, \.md or \.html"):
        chat.export(tmp_path / "chat.docx")
    assert chat.export(tmp_path / "chat.txt", format="markdown").read_text().startswith("# ")
    assert not list(tmp_path.glob(".*"))


def test_a_file_that_is_there_is_not_written_over_unasked(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "chat.md").write_text("mine")
    with pytest.raises(InvalidOption, match="overwrite=True"):
        chat.export(tmp_path / "chat.md")
    assert (tmp_path / "chat.md").read_text() == "mine"
    chat.export(tmp_path / "chat.md", overwrite=True)
    assert "plums" in (tmp_path / "chat.md").read_text()


def test_a_place_that_cannot_be_written_is_named_and_nothing_is_left(chat: Chat, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot be written"):
        chat.export(tmp_path / "nowhere" / "chat.md")


def test_a_file_that_is_no_chat_is_refused_with_what_to_do(session: Session, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("hello")
    with pytest.raises(BadRequest, match=r"Give a \.jsonl file"):
        session.import_chat(tmp_path / "x.jsonl")
    with pytest.raises(BadRequest, match="check the path"):
        session.import_chat(tmp_path / "y.jsonl")


def test_markdown_stands_alone_and_an_agent_cannot_put_html_into_it(chat: Chat, tmp_path: Path) -> None:
    page = chat.export(tmp_path / "chat.md").read_text()
    assert "&lt;b>bold&lt;/b>" in page
    assert "`<i>code</i>`" in page
    assert "+plums" in page
    assert "10 tokens in, 5 tokens out" in page


def test_a_page_stands_alone_and_may_load_and_run_nothing(chat: Chat, tmp_path: Path) -> None:
    page = chat.export(tmp_path / "chat.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "default-src 'none'" in page
    assert "plums" in page
    for forbidden in ("<script", "src=", 'href="http', "<b>bold"):
        assert forbidden not in page


def test_secrets_are_hidden_unless_told_otherwise(chat: Chat, tmp_path: Path) -> None:
    chat.run("say sk-ant-api03-canarycanarycanary", timeout=60, display=False)
    for ending in ("jsonl", "md", "html"):
        assert "canarycanary" not in chat.export(tmp_path / f"chat.{ending}").read_text()
    assert "canarycanary" in chat.export(tmp_path / "whole.jsonl", redact=False).read_text()


def test_a_fork_is_a_chat_of_its_own(chat: Chat) -> None:
    first = chat.turns()["turn_id"].iloc[0]
    fork = chat.fork(first)
    assert len(fork.turns()) == 1
    assert fork.run("say on", timeout=60, display=False).done
    assert len(chat.turns()) == 2


def test_the_resource_is_attached_to_by_its_id_and_has_the_static_facts(chat: Chat, session: Session) -> None:
    from coder_nb.client.resource import attach

    resource = chat.resource
    assert resource.id == f"coder-session/{chat.id}"
    info = resource.session_info
    assert (info.agent, info.path, info.session_id) == ("scripted", session.path, session.id)
    assert info.native_id
    link = chat._link
    assert link.run(attach, link.verbs, resource.id).id == chat.id
    assert len(resource.transcript) == len(chat.transcript)


def test_the_names_of_what_a_resource_holds_are_no_names_of_anything_else_on_it() -> None:
    from coder_nb.client.resource import Resource

    named = [name for name in dir(Resource) if not name.startswith("_")]
    assert named == ["id", "session_info", "transcript"]
    assert not any(hasattr(base, name) for base in Resource.__mro__[1:] for name in named)


def test_a_shared_chat_is_looked_at_and_gone_when_it_is_revoked(chat: Chat, home: Home) -> None:
    share = chat.share()
    assert share.link.startswith("coder-nb/shared#")
    seen = SharedChat(home.link(), f"https://hub.example/user/bob/{share.link}")
    assert "plums" in str(seen.transcript)
    assert "plums" in seen._repr_mimebundle_()["text/html"]
    assert not share.revoked
    assert share.revoke()
    assert [known.revoked for known in chat.shares()] == [True]
    with pytest.raises(NotFound):
        _ = seen.transcript


def test_no_file_of_an_export_is_for_everybody_to_write(chat: Chat, tmp_path: Path) -> None:
    assert not chat.export(tmp_path / "chat.jsonl").stat().st_mode & stat.S_IWOTH


def test_every_kind_of_entry_has_its_markdown() -> None:
    from coder_nb.client.markdown import DRAWN
    from coder_nb.core.entries import Body

    assert set(DRAWN) == set(Body.__subclasses__())
