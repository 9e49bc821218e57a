"""What would be lost with a worktree, and which worktrees may go: values and pure rules."""

from __future__ import annotations

from typing import Literal

import msgspec

from coder_nb.core.entries import Value

LISTED = 100
"""At most so many paths of a kind are listed in a report."""
Standing = Literal["owned", "left", "to take", "taken"]


class Risk(Value):
    """What would be lost with a session's worktree. Whatever could not be found out counts as at risk (law 15)."""

    session_id: str
    worktree: str | None = None
    """The folder that was looked at; None where the session has none."""
    at_risk: bool = False
    dirty: tuple[str, ...] = ()
    """Tracked files that were changed and not staged."""
    staged: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    """Also folders of unknown origin that were set aside beside the worktree."""
    ignored: tuple[str, ...] = ()
    """Files in folders of the setting `copy_ignored` that are not as they are in the checkout."""
    submodules: tuple[str, ...] = ()
    """Repositories inside the worktree that would go with it."""
    detached: int = 0
    """Commits that no branch, tag or remote has."""
    unmerged: int = 0
    """Commits that no other branch has."""
    unpushed: int = 0
    """Commits that no remote has, where there is one."""
    pending: int = 0
    """Changes that were neither applied nor rejected."""
    error: str = ""
    """Why it could not be found out."""

    @property
    def words(self) -> str:
        """What is at risk, as one line; empty where nothing is."""
        counts = (
            (self.pending, "pending change", "pending changes"),
            (len(self.dirty), "changed file", "changed files"),
            (len(self.staged), "staged file", "staged files"),
            (len(self.untracked), "untracked file", "untracked files"),
            (len(self.ignored), "copied file that differs", "copied files that differ"),
            (len(self.submodules), "repository inside", "repositories inside"),
            (self.detached, "commit on no branch", "commits on no branch"),
            (self.unmerged, "unmerged commit", "unmerged commits"),
            (self.unpushed, "unpushed commit", "unpushed commits"),
        )
        known = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
        return "; ".join([*([", ".join(known)] if known else []), *([self.error] if self.error else [])])


def weighed(risk: Risk) -> Risk:
    """The report with its verdict, its lists cut to what a person reads."""
    lists = {name: getattr(risk, name)[:LISTED] for name in ("dirty", "staged", "untracked", "ignored", "submodules")}
    return msgspec.structs.replace(risk, **lists, at_risk=bool(risk.words))


class WorktreeInfo(Value):
    """A worktree's folder on this machine, and whether it may go."""

    path: str
    session_id: str | None = None
    """The session that it was made for; the session may be gone."""
    checkout: str = ""
    """The directory that it is a worktree of."""
    base_commit: str = ""
    standing: Standing = "owned"
    why: str = ""
    idle_s: float | None = None
    """Since when nothing in it was written, in seconds."""
    risk: Risk | None = None
    """None where it was not looked at, as its session is there."""


class Folder(Value):
    """What is known of one folder under the worktrees' root when it is decided whether it may go."""

    path: str
    owner: str = ""
    """The session it belongs to, in words; empty where none is left."""
    foreign: bool = False
    """Whether another store has made it."""
    link: bool = False
    """Whether it is a symbolic link, or leads through one."""
    touched_at: float | None = None
    """When something in it was written last, in seconds since the epoch; None where that cannot be told."""
    risk: Risk | None = None
    """None where it was not looked at yet."""


def may_take(folder: Folder, *, now: float, grace: float) -> tuple[bool, str]:
    """Whether an orphaned folder may be removed, and why or why not. Whoever is in doubt leaves it."""
    if folder.link:
        return False, "It is a symbolic link: what it leads to is not touched."
    if folder.foreign:
        return False, "Another store has made it."
    if folder.owner:
        return False, f"It belongs to {folder.owner}."
    if folder.touched_at is None:
        return False, "It cannot be told when it was written last."
    if now - folder.touched_at < grace:
        return False, f"It was written to less than {grace / 60:.0f} minutes ago."
    if folder.risk is None:
        return False, "It was not looked at what would be lost."
    if folder.risk.at_risk:
        return False, f"At risk: {folder.risk.words}."
    return True, "Its session is gone, and everything in it is elsewhere too."
