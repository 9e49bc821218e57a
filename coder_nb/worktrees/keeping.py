"""The ways out for work that nobody has applied: the repository's stash, or a branch of its own."""

from __future__ import annotations

from coder_nb.errors import Conflict
from coder_nb.worktrees.git import git, run
from coder_nb.worktrees.snapshot import branch_ref, of_worktree, resolve, sieve_of, snapshot
from coder_nb.worktrees.state import WorktreeState


async def stash(state: WorktreeState, title: str, *, timeout: float) -> None:
    """Stash all uncommitted work, untracked files too; `git stash` shows it in the checkout as well."""
    _check(state)
    push = ("stash", "push", "--quiet", "--include-untracked", "--message", title)
    # it calls `git clean` with a pathspec that must not be taken literally
    env = await _identity(state, timeout=timeout) | {"GIT_LITERAL_PATHSPECS": "0"}
    await git(state.root, *push, env=env, timeout=timeout)


async def branch(state: WorktreeState, name: str, title: str, *, timeout: float) -> str:
    """Commit all work to a new branch; the worktree stands at its base then, without it. Gives the commit."""
    _check(state)
    full = await branch_ref(state.root, name, timeout=timeout)
    if await resolve(state.root, full, timeout=timeout) is not None:
        raise Conflict(f"There is a branch {name} already: choose another name.")
    now = await of_worktree(state, timeout=timeout)
    env = await _identity(state, timeout=timeout)
    words = ("commit-tree", now.tree, "-p", now.head.commit)
    made = (await git(state.root, *words, input=f"{title}\n".encode(), env=env, timeout=timeout)).decode().strip()
    await git(state.root, "update-ref", full, made, "", timeout=timeout)
    await snapshot(state.root, sieve=sieve_of(state), in_place=True, timeout=timeout)
    await git(state.root, "checkout", "--quiet", "--force", "--detach", state.base_commit, timeout=timeout)
    return made


def _check(state: WorktreeState) -> None:
    if state.isolation == "none":
        raise Conflict("The agents work in the checkout itself: what they did is there, for you to stash or commit.")
    if state.shadow:
        raise Conflict("This folder has no git repository to keep work in: apply or reject it instead.")


async def _identity(state: WorktreeState, *, timeout: float) -> dict[str, str]:
    """Who commits: the user as git knows her, else somebody."""
    if (await run(state.root, "var", "GIT_AUTHOR_IDENT", timeout=timeout)).code == 0:
        return {}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _SOMEBODY.items()}


_SOMEBODY = {"NAME": "coder-nb", "EMAIL": "nobody@coder-nb.invalid"}
