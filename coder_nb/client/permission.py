"""A permission as a Python callback, or a person at a terminal, answers it."""

from __future__ import annotations

from typing import Any

from coder_nb.client.text import revealed
from coder_nb.core import entries as core
from coder_nb.core.entries import FileDiff, PermissionOption
from coder_nb.core.permissions import option_for

UNDECIDED = "undecided"


class Permission:
    """What the agent asks to do; `allow()` or `deny()` decides it, and whoever does neither has denied it."""

    def __init__(self, body: core.Permission) -> None:
        self._body = body
        self._answer: str | None = UNDECIDED

    @property
    def title(self) -> str:
        """What the agent says that it wants to do."""
        return self._body.title

    @property
    def tool(self) -> str:
        """The normal name of the tool: ``terminal``, ``file_edit`` ..."""
        return self._body.tool

    @property
    def kind(self) -> str:
        """The kind of deed: ``read``, ``edit``, ``execute`` ..."""
        return self._body.tool_kind

    @property
    def input(self) -> Any:
        """What the tool would be called with."""
        return self._body.input

    @property
    def diffs(self) -> tuple[FileDiff, ...]:
        """What it would do to files, where the agent says so."""
        return self._body.diffs

    @property
    def options(self) -> tuple[PermissionOption, ...]:
        """The answers that the agent offers."""
        return self._body.options

    @property
    def answer(self) -> str | None:
        """The id of the option chosen; None is a plain refusal."""
        return self._refusal() if self._answer == UNDECIDED else self._answer

    @property
    def decided(self) -> bool:
        return self._answer != UNDECIDED

    def allow(self, *, always: bool = False) -> None:
        """Lets it happen, this time or always. Where the agent offers no such answer, it is refused."""
        option = option_for(self.options, allow=True, always=always)
        self._answer = option.id if option is not None else None

    def deny(self) -> None:
        """Refuses it; the agent is told and goes on."""
        self._answer = self._refusal()

    def _refusal(self) -> str | None:
        option = option_for(self.options, allow=False)
        return option.id if option is not None else None

    def __repr__(self) -> str:
        return f"<Permission: {self.title or self.tool}>"


def question(permission: Permission) -> str:
    """What a person at a terminal is asked."""
    about = permission.title or permission.tool
    shown = permission.input
    if isinstance(shown, dict) and isinstance(shown.get("command"), str) and shown["command"] not in about:
        about = f"{about}: {shown['command']}"
    return f"The agent wants to: {revealed(about)}\nAllow it? [y]es, [a]lways, [N]o: "


def take_answer(permission: Permission, typed: str) -> None:
    """Decides by what was typed; everything but a clear yes is a no."""
    word = typed.strip().lower()
    if word in ("y", "yes", "a", "always"):
        permission.allow(always=word.startswith("a"))
    else:
        permission.deny()
