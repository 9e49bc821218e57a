"""What a person at a terminal is asked, and what is made of the answer."""

from __future__ import annotations

import pytest

from coder_nb.client.permission import Permission, question, take_answer
from coder_nb.core import entries as core

OPTIONS = (
    core.PermissionOption(id="once", label="Allow", kind="allow_once"),
    core.PermissionOption(id="always", label="Always", kind="allow_always"),
    core.PermissionOption(id="no", label="Reject", kind="reject_once"),
)


def asked(title: str, command: str = "") -> Permission:
    given = {"command": command} if command else None
    return Permission(core.Permission(request_id="r", title=title, input=given, options=OPTIONS))


@pytest.mark.parametrize("hidden", ["\x1b[8m", "\r", "\x9b8m", "\u202e", "\u200b", "\U000e0041", "\ud800"])
def test_nothing_can_hide_in_what_a_person_is_asked(hidden: str) -> None:
    for said in (question(asked(f"List{hidden} files")), question(asked("Run", f"ls{hidden} -a"))):
        assert hidden not in said
        assert f"[U+{ord(hidden[0]):04X}]" in said


@pytest.mark.parametrize(
    ("typed", "answer"), [("y", "once"), (" YES ", "once"), ("a", "always"), ("", "no"), ("n", "no"), ("yay", "no")]
)
def test_everything_but_a_clear_yes_is_a_no(typed: str, answer: str) -> None:
    permission = asked("Write a.txt")
    take_answer(permission, typed)
    assert permission.answer == answer
