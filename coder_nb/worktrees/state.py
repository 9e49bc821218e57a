"""What is known of a repository, of a session's worktree, and of a change that was brought into the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from coder_nb.core.entries import Value
from coder_nb.core.sessions import Isolation

MAKING = ".making"
"""What is put behind the name of a session's folder while its worktree is made aside."""
LARGE = 100 * 1024 * 1024
"""Untracked files of the user's beyond this size are left out: git would keep a copy of each of their versions."""


class Repository(Value):
    """The git repository in which a session's directory lies."""

    path: str
    """The real path of the directory itself."""
    toplevel: str
    """The root of the checkout."""
    common_dir: str
    """Where git keeps the objects and refs that all worktrees of the repository share."""
    shadow: str = ""
    """Where the folder has no repository: the one outside of it that stands for it."""

    @property
    def root(self) -> Path:
        return Path(self.toplevel)

    @property
    def subdirectory(self) -> str:
        """The directory relative to the root; ``.`` where it is the root."""
        return Path(self.path).relative_to(self.toplevel).as_posix()


class WorktreeState(Value):
    """A session's worktree as it stands. It is made anew by `Worktrees.ensure`, as git holds all of it."""

    session_id: str
    repository: str
    """The root of the user's checkout."""
    path: str
    """The root of the worktree."""
    cwd: str
    """Where agents work: the same subdirectory as the session's, inside the worktree."""
    base_commit: str
    """What the user saw when the worktree was made or last followed the checkout."""
    branch: str | None = None
    """Always None: worktrees are on a detached HEAD, so that no branch of the user's list is ours."""
    files_left_out: tuple[str, ...] = ()
    """Untracked files of the checkout that agents are not given: secrets, very large and unreadable ones,
    repositories inside the repository."""
    stale: bool = False
    """Whether the checkout has moved on while changes are pending, so that the worktree could not follow."""
    isolation: Isolation = "worktree"
    """``none``: the agents work in the checkout itself, which is the `path` then."""
    shadow: str = ""
    """As `Repository.shadow`."""
    large: int = LARGE
    """The size beyond which files of the checkout are left out."""

    @property
    def checkout(self) -> Path:
        return Path(self.repository)

    @property
    def root(self) -> Path:
        return Path(self.path)


class Applied(Value):
    """What became of one change that was to be brought into the checkout."""

    path: str
    status: Literal["applied", "conflict"]
    note: str = ""
    """Why nothing was written, and what to do about it."""


def ref(session_id: str, *names: str) -> str:
    """A private ref of a session: kept by `git gc`, not carried by a plain `git push`."""
    return "/".join(("refs/coder-nb", session_id, *names))
