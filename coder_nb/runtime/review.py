"""Decisions about a session's changes: applied, committed, rejected or taken back, as a whole or hunk by hunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from coder_nb.core import parts
from coder_nb.core.changes import Change, ChangeStatus, as_it_is
from coder_nb.errors import ApplyConflict, Conflict, InvalidOption, NotFound, StaleChange
from coder_nb.runtime.context import Context
from coder_nb.runtime.tree import Tree
from coder_nb.store.base import Lease
from coder_nb.worktrees.decisions import Decisions
from coder_nb.worktrees.state import WorktreeState

Hunks = Mapping[str, Sequence[str]]
"""Chosen hunks by the id of their change; a change that is not named is decided as a whole."""
BRANCH = "branch:"


class Review:
    """What is decided about a session's changes. Each call gives those it was asked about and what else it touched."""

    def __init__(self, context: Context, tree: Tree, lease: Lease) -> None:
        self._context, self._tree, self._lease = context, tree, lease
        self._decisions = Decisions(context.worktrees)

    async def apply(self, change_ids: Sequence[str], hunks: Hunks, *, to: str, commit: str) -> tuple[Change, ...]:
        """Writes changes into the checkout, or commits them; the base moves, so they are not shown again."""
        branch = _branch(to)
        async with self._tree.standing(self._lease) as state:
            asked = await self._asked(change_ids, hunks, "applied")
            divided = [await self._divided(state, change, chosen, rejecting=False) for change, chosen in asked]
            wanted = [part for part, _, _ in divided]
            if branch or commit:
                told = await self._committed(state, wanted, branch, commit)
            else:
                told = await self._applied(state, wanted)
            landed = [part for part, _, _ in divided if told[part.id][0] == "applied"]
            touched = [change for one in divided for change in self._settled(one, told)]
            await self._context.store.changes.revise(self._lease, touched)
            if landed:
                moved = await self._context.worktrees.rebase_after_apply(state, landed)
                await self._tree.keep(self._lease, moved)
        return await self._answer(change_ids, touched)

    async def reject(self, change_ids: Sequence[str], hunks: Hunks) -> tuple[Change, ...]:
        """Restores the base's content in the worktree."""
        async with self._tree.standing(self._lease) as state:
            touched: list[Change] = []
            for change, chosen in await self._asked(change_ids, hunks, "rejected"):
                one = await self._divided(state, change, chosen, rejecting=True)
                part, rest, _ = one
                told: tuple[ChangeStatus, str] = ("rejected", "")
                try:
                    if rest is None:
                        await self._context.worktrees.reject(state, part)
                    else:
                        await self._decisions.put_back(state, part)
                except Conflict as conflict:
                    told = ("conflict", conflict.message)
                touched += self._settled(one, {part.id: told})
            await self._context.store.changes.revise(self._lease, touched)
        return await self._answer(change_ids, touched)

    async def revert(self, change_ids: Sequence[str]) -> tuple[Change, ...]:
        """Takes applied changes out of the checkout again; they are pending after that."""
        now = self._context.now()
        async with self._tree.standing(self._lease) as state:
            touched: dict[str, Change] = {}
            back: dict[str, Change] = {}
            for change in reversed([await self._own(change_id) for change_id in change_ids]):
                if change.status != "applied":
                    continue
                done, state = await self._decisions.revert(state, change)
                if done.status == "applied":
                    await self._tree.keep(self._lease, state)
                    back[change.path] = change
                    touched[change.id] = replace(change, status="reverted", note="", decided_at=now)
                else:
                    touched[change.id] = replace(change, note=done.note)
            fresh = await self._pending_again(state, back) if back else []
            changes = [*touched.values(), *fresh]
            await self._context.store.changes.revise(self._lease, changes)
        return await self._answer(change_ids, changes)

    async def _answer(self, change_ids: Sequence[str], touched: Sequence[Change]) -> tuple[Change, ...]:
        """What was asked about and what was touched beside it, as it is now."""
        now = {change.id: change for change in touched}
        for change_id in change_ids:
            if change_id not in now:
                now[change_id] = await self._own(change_id)
        return tuple(sorted(now.values(), key=lambda change: change.id not in change_ids))

    async def _asked(
        self, change_ids: Sequence[str], hunks: Hunks, wanted: ChangeStatus
    ) -> list[tuple[Change, frozenset[str]]]:
        """The changes that are still to be decided, each with the hunks to decide; empty for all of it.

        Deletions come first: a folder may have become a file.
        """
        if not set(hunks) <= set(change_ids):
            raise InvalidOption("`hunks` names a change that is not among those to decide: name it there, too.")
        found: list[tuple[Change, frozenset[str]]] = []
        for change in [await self._own(change_id) for change_id in dict.fromkeys(change_ids)]:
            if change.status == "superseded":
                raise StaleChange(f"{change.path} was changed again since this was shown: look again, then decide.")
            if change.id not in hunks:
                if change.status in ("pending", "conflict"):
                    found.append((change, frozenset()))
                continue
            open_ids = set(hunks[change.id]) - await self._decided_hunks(change, wanted)
            if open_ids:
                chosen = parts.choose(change, open_ids)
                found.append((change, frozenset() if parts.is_whole(change, chosen) else chosen))
        return sorted(found, key=lambda one: one[0].operation != "delete")

    async def _decided_hunks(self, change: Change, wanted: ChangeStatus) -> set[str]:
        """The hunks of a change that were decided before, just as they are to be now: once more is once."""
        changes = await self._context.store.changes.of_chat(change.chat_id)
        same = [c for c in changes if (c.path, c.turn_id, c.status) == (change.path, change.turn_id, wanted)]
        left = set() if change.status not in ("pending", "conflict") else {hunk.id for hunk in change.hunks}
        return {hunk.id for c in same for hunk in c.hunks} - left

    async def _divided(
        self, state: WorktreeState, change: Change, chosen: frozenset[str], *, rejecting: bool
    ) -> tuple[Change, Change | None, Change]:
        """What is decided, what is left to decide, and the whole of which they are parts."""
        if not chosen:
            return change, None, change
        part, rest = await self._decisions.divide(state, change, chosen, rejecting=rejecting)
        return replace(part, id=self._context.new_id()), rest, change

    def _settled(
        self, divided: tuple[Change, Change | None, Change], told: Mapping[str, tuple[ChangeStatus, str]]
    ) -> list[Change]:
        """A decided change, or its parts, as they are to be stored."""
        part, rest, whole = divided
        status, note = told[part.id]
        now = self._context.now()
        if rest is None or status == "conflict":
            return [replace(whole, status=status, note=note, decided_at=now)]
        return [replace(part, status=status, note=note, decided_at=now), replace(rest, status="pending", note="")]

    async def _applied(self, state: WorktreeState, changes: Sequence[Change]) -> dict[str, tuple[ChangeStatus, str]]:
        told: dict[str, tuple[ChangeStatus, str]] = {}
        for change in changes:
            done = await self._context.worktrees.apply(state, change)
            told[change.id] = (done.status, done.note)
        return told

    async def _committed(
        self, state: WorktreeState, changes: Sequence[Change], branch: str, message: str
    ) -> dict[str, tuple[ChangeStatus, str]]:
        """All in one commit, or, where one does not fit, none."""
        agents = ", ".join(dict.fromkeys(change.agent for change in changes if change.agent))
        said = message.strip() or f"Changes from {agents or 'an agent'}"
        try:
            commit = await self._decisions.commit(state, changes, to=branch, message=said)
        except ApplyConflict as conflict:
            return {change.id: ("conflict", conflict.message) for change in changes}
        where = f"Commit {commit[:10]} on the branch {branch}." if branch else f"Commit {commit[:10]}."
        return {change.id: ("applied", where) for change in changes}

    async def _pending_again(self, state: WorktreeState, back: Mapping[str, Change]) -> list[Change]:
        """What was reverted, and what was still pending in the same files, as one pending change a file."""
        store = self._context.store.changes
        paths = {path for change in back.values() for path in (change.path, change.old_path) if path}
        pending = {c.path: c for c in await store.pending(self._tree.session_id) if c.path in paths}
        fresh: list[Change] = []
        for delta in await self._decisions.pending(state, paths):
            was = back.get(delta.path) or back.get(delta.old_path or "") or next(iter(back.values()))
            known = pending.pop(delta.path, None)
            now = self._context.now()
            base = known or replace(was, id=self._context.new_id(), created_at=now)
            fresh.append(as_it_is(delta, replace(base, status="pending", decided_at=None)))
        gone = [replace(change, status="superseded") for change in pending.values()]
        return [*fresh, *gone]

    async def _own(self, change_id: str) -> Change:
        change = await self._context.store.changes.get(change_id)
        if change.session_id != self._tree.session_id:
            raise NotFound("This chat has no such change: look at `chat.changes` again.")
        return change


def _branch(to: str) -> str:
    name = to.removeprefix(BRANCH)
    if to and (name == to or not name):
        raise InvalidOption(f"`to` is {to!r}: give 'branch:' and the name of a branch, or leave it out.")
    return name
