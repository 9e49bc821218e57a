"""A permission as a Python callback, or a person at a terminal, answers it."""

from __future__ import annotations

from typing import Any

from coder_nb.client.text import revealed
from coder_nb.core import entries as core
from coder_nb.core.entries import FileDiff, Offer, PermissionOption
from coder_nb.core.permissions import option_for
from coder_nb.core.rules import WHERE, Always, Scope
from coder_nb.errors import InvalidOption

UNDECIDED = "undecided"


class Permission:
    """What the agent asks to do; `allow()` or `deny()` decides it, and whoever does neither has denied it."""

    def __init__(self, body: core.Permission) -> None:
        self._body = body
        self._answer: str | None = UNDECIDED
        self._always: Always | None = None

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
    def offers(self) -> tuple[Offer, ...]:
        """The rules that can be made with the answer: their `id`, and in `text` all that each would cover."""
        return self._body.offers

    @property
    def always(self) -> Always | None:
        """The rule that is made with the answer; None for an answer that counts once."""
        return self._always

    @property
    def answer(self) -> str | None:
        """The id of the option chosen; None is a plain refusal."""
        return self._refusal() if self._answer == UNDECIDED else self._answer

    @property
    def decided(self) -> bool:
        return self._answer != UNDECIDED

    def allow(self, *, always: bool | str = False, scope: Scope = "session") -> None:
        """Lets it happen, this time or always: by the first rule that is offered, or the one with an id.

        A rule holds in the ``session``, in all of the ``project``, or ``everywhere``, until it is revoked; where none
        can be made, it is allowed this time. Raises `InvalidOption` for a rule that is not offered.
        """
        chosen = self._rule(always, scope)
        option = option_for(self.options, allow=True)
        self._answer, self._always = (option.id, chosen) if option is not None else (None, None)

    def deny(self, *, always: bool | str = False, scope: Scope = "session") -> None:
        """Refuses it, this time or always, as `allow` allows it; the agent is told and goes on."""
        self._always = self._rule(always, scope)
        self._answer = self._refusal()

    def _rule(self, always: bool | str, scope: Scope) -> Always | None:
        if always is False or (always is True and not self.offers):
            return None
        offered = [offer.id for offer in self.offers]
        chosen = offered[0] if always is True else str(always)
        if chosen not in offered or scope not in self._body.scopes:
            raise InvalidOption(
                f"No rule {chosen!r} ({scope}) can be made of this: choose one of {', '.join(offered) or 'none'} "
                f"in one of {', '.join(self._body.scopes) or 'none'}."
            )
        return Always(chosen, scope)

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
    always = f" [a]lways ({revealed(permission.offers[0].text)}, {WHERE['session']})," if permission.offers else ""
    return f"The agent wants to: {revealed(about)}\nAllow it? [y]es,{always} [N]o: "


def take_answer(permission: Permission, typed: str) -> None:
    """Decides by what was typed; everything but a clear yes is a no."""
    word = typed.strip().lower()
    if word in ("y", "yes") or (word in ("a", "always") and permission.offers):
        permission.allow(always=word.startswith("a"))
    else:
        permission.deny()
