"""What a person at a terminal is asked, and what is made of the answer."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from coder_nb.client.permission import Permission, question, take_answer
from coder_nb.core import entries as core
from coder_nb.core.rules import Always
from coder_nb.errors import InvalidOption

OPTIONS = (
    core.PermissionOption(id="once", label="Allow", kind="allow_once"),
    core.PermissionOption(id="no", label="Reject", kind="reject_once"),
)


OFFERS = (
    core.Offer(id="commands", label="ls …", text="commands that begin with `ls`"),
    core.Offer(id="line", label="this command", text="exactly `ls -a`"),
)


def asked(title: str, command: str = "", offers: tuple[core.Offer, ...] = OFFERS) -> Permission:
    given = {"command": command} if command else None
    body = core.Permission(request_id="r", title=title, input=given, options=OPTIONS, offers=offers)
    return Permission(replace(body, scopes=("session", "project")))


@pytest.mark.parametrize("hidden", ["\x1b[8m", "\r", "\x9b8m", "\u202e", "\u200b", "\U000e0041", "\ud800"])
def test_nothing_can_hide_in_what_a_person_is_asked(hidden: str) -> None:
    for said in (question(asked(f"List{hidden} files")), question(asked("Run", f"ls{hidden} -a"))):
        assert hidden not in said
        assert f"[U+{ord(hidden[0]):04X}]" in said


@pytest.mark.parametrize(
    ("typed", "answer"), [("y", "once"), (" YES ", "once"), ("a", "once"), ("", "no"), ("n", "no"), ("yay", "no")]
)
def test_everything_but_a_clear_yes_is_a_no(typed: str, answer: str) -> None:
    permission = asked("Write a.txt")
    take_answer(permission, typed)
    assert permission.answer == answer
    assert permission.always == (Always("commands") if typed == "a" else None)


def test_always_says_what_it_covers_and_is_asked_where_a_rule_can_be_made() -> None:
    assert "[a]lways (commands that begin with `ls`, in this session)" in question(asked("ls -a"))
    without = asked("Do it", offers=())
    assert "always" not in question(without)
    take_answer(without, "a")
    assert without.answer == "no"


def test_a_callback_chooses_the_rule_and_where_it_holds() -> None:
    permission = asked("ls -a")
    permission.allow(always=True)
    assert (permission.answer, permission.always) == ("once", Always("commands", "session"))
    permission.allow(always="line", scope="project")
    assert permission.always == Always("line", "project")
    permission.deny(always=True)
    assert (permission.answer, permission.always) == ("no", Always("commands", "session"))
    permission.allow()
    assert permission.always is None
    for wrong in ({"always": "tool"}, {"always": True, "scope": "everywhere"}):
        with pytest.raises(InvalidOption, match="choose one of"):
            permission.allow(**wrong)  # type: ignore[arg-type]
    alone = asked("Do it", offers=())
    alone.allow(always=True)
    assert (alone.answer, alone.always) == ("once", None)
