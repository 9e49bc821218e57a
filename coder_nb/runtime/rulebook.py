"""The users' rules as turns ask them: what is answered without asking anyone, and which rules are made."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from coder_nb.core import offering, permissions, rules
from coder_nb.core.deeds import Deed, deed_of
from coder_nb.core.entries import Permission
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.rules import SCOPES, Always, AnyCovers, Does, Place, Rule, Scope, Verdict
from coder_nb.core.sessions import SessionInfo
from coder_nb.errors import Conflict, InvalidOption
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.store.base import Store

_replace = msgspec.structs.replace


class Rulebook:
    """All rules of the store, and what the administrator says of them. They are read anew for each permission."""

    def __init__(self, settings: Settings, store: Store) -> None:
        """Raises `InvalidOption` where the setting `forbidden_commands` cannot be understood."""
        self._store = store
        self.administrator = offering.forbidding(settings.forbidden_commands)
        limit = settings.most_lasting_rule
        self.scopes: tuple[Scope, ...] = () if limit == "none" else SCOPES[: SCOPES.index(limit) + 1]
        """Where a user's rule may hold."""

    async def holding(self, session: SessionInfo) -> tuple[Rule, ...]:
        """The rules in force in a session; those that reach further than the administrator lets them are not."""
        found = await self._store.rules.holding(session.owner, session_id=session.id, path=session.path)
        return tuple(rule for rule in found if rule.does == "deny" or rule.scope in self.scopes)

    async def make(
        self,
        owner: str,
        session: SessionInfo | None,
        covers: AnyCovers,
        *,
        does: Does,
        scope: Scope,
        by: str,
        now: int,
        entry_id: str | None = None,
    ) -> Rule:
        """Makes a rule; raises `InvalidOption` for one that may not be made."""
        if scope not in self.scopes and (does == "allow" or not self.scopes):
            allowed = f"at most {rules.WHERE[self.scopes[-1]]}" if self.scopes else "nowhere"
            raise InvalidOption(f"The administrator lets rules of yours hold {allowed}: choose that, or allow it once.")
        if scope != "everywhere" and session is None:
            raise InvalidOption("A rule for a session or a project needs the session: make it there.")
        rule = Rule(
            id=new_id(),
            does=does,
            scope=scope,
            covers=covers,
            session_id=session.id if session and scope == "session" else None,
            path=session.path if session and scope == "project" else "",
            by=by,
            created_at=now,
            entry_id=entry_id,
        )
        offering.check(rule)
        return await self._store.rules.add(owner, rule)


class Desk:
    """The rulebook as it is asked in one turn: of one session, in one mode, where its agent works."""

    def __init__(self, book: Rulebook, session: SessionInfo, mode: PermissionMode, cwd: Path) -> None:
        self.mode = mode
        self._book, self._session = book, session
        self._known: tuple[Rule, ...] = ()
        root = os.path.realpath(cwd)
        self._place = Place(_slashes(root), lambda path: _slashes(os.path.realpath(os.path.join(root, path))))

    async def look(self) -> None:
        """Reads the rules as they are now; before each permission is recorded, so that it is recorded whole."""
        self._known = await self._book.holding(self._session)

    def judge(self, asked: Permission) -> Verdict:
        """What is answered without asking anyone, by the rules as they were looked at last."""
        administrator = self._book.administrator
        return rules.verdict(self.mode, _deed(asked), self._known, self._place, administrator=administrator)

    async def agents_mode(self) -> PermissionMode:
        """The mode that the agent itself is put into: where something is forbidden it must ask, and we answer."""
        await self.look()
        if self._book.administrator or any(rule.does == "deny" for rule in self._known):
            return permissions.clamp(self.mode, "ask")
        return self.mode

    def offered(self, asked: Permission) -> Permission:
        """A permission as people are asked it: with the rules that may be made."""
        offers = offering.offers(_deed(asked), self._place) if self._book.scopes else ()
        return _replace(
            asked,
            offers=tuple(offer for offer, _ in offers),
            scopes=self._book.scopes if offers else (),
        )

    async def make(self, asked: Permission, always: Always, *, does: Does, by: str, now: int, entry_id: str) -> Rule:
        """Makes the rule that was chosen with an answer; raises `Conflict` where it would not say what was shown.

        What files it is about is told by where they lead, and that may have changed since.
        """
        shown = next(offer for offer in asked.offers if offer.id == always.offer)
        covers = dict(offering.offers(_deed(asked), self._place)).get(shown)
        if covers is None:
            raise Conflict(
                f"The rule that was shown ({shown.text}) is not what would be made now, as the files lie elsewhere "
                "since then: answer for this once."
            )
        return await self._book.make(
            self._session.owner,
            self._session,
            covers,
            does=does,
            scope=always.scope,
            by=by,
            now=now,
            entry_id=entry_id,
        )


def _deed(asked: Permission) -> Deed:
    deed = deed_of(asked)
    # How the shells of Windows read a line is not known here.
    return deed._replace(line=None) if os.name == "nt" and deed.line is not None else deed


def _slashes(path: str) -> str:
    return path.replace(os.sep, "/")
