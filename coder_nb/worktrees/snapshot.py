"""Private commits of a working tree as it is, made beside the user's index, which is only read."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from coder_nb.core.changes import is_secret
from coder_nb.core.entries import Value
from coder_nb.errors import InvalidOption
from coder_nb.worktrees.git import git, run, together
from coder_nb.worktrees.graft import MOST, graft
from coder_nb.worktrees.state import LARGE, WorktreeState

EMAIL = "worktrees@coder-nb.invalid"
LONGEST_BRANCH = 200
"""Bytes of a branch's name, which git makes the name of a file of."""
_STATUS = (
    "status",
    "--porcelain=v2",
    "-z",
    "--branch",
    "--no-ahead-behind",
    "--no-renames",
    "--untracked-files=all",
    "--ignore-submodules=dirty",  # as `git add`, which takes a submodule's commit and nothing else of it
)
_OID = "# branch.oid "
_FACTS = {"1": 8, "u": 10}
"""How many words stand before the path, in lines about what is tracked."""
_ABSENT = "000000"
"""The mode of what is not there."""


class Head(Value):
    """The commit on which a working tree stands."""

    commit: str
    tree: str
    time: str


class Content(Value):
    """What a working tree holds, and where it stands."""

    tree: str
    head: Head
    left_out: tuple[str, ...] = ()


class Snapshot(Content, kw_only=True):
    """A working tree's content as a commit."""

    commit: str


class _Look(Value):
    """How a working tree differs from its HEAD."""

    commit: str
    changed: tuple[str, ...]
    """The paths of what is tracked or staged and does, and is there."""
    gone: tuple[str, ...]
    """The paths of what is tracked or staged and is not there."""
    untracked: tuple[str, ...]
    staged: dict[str, str]
    """What the index has of those that are there: mode and blob."""
    unlike_staged: tuple[str, ...]
    """Those of the changed that may differ from what is staged; what a sparse checkout does not show is not of them."""
    merging: bool
    """Whether a merge has left paths with several versions."""

    @property
    def is_small(self) -> bool:
        """Whether it takes no index to say what has changed."""
        return not self.merging and len(self.changed) + len(self.gone) + len(self.untracked) <= MOST


async def head_of(root: Path, commit: str, *, timeout: float) -> Head:
    """The user's commit that is, or that lies under, a commit (a private one stands on the HEAD it was made at)."""
    return (await _standing(root, commit, timeout=timeout))[1]


async def _standing(root: Path, name: str, *, timeout: float) -> tuple[str, Head]:
    """The commit of a name, and the user's that it is or lies over."""
    told = await git(root, "log", "-1", "--format=%H %T %ct %ae %P", name, "--", timeout=timeout)
    commit, tree, time, email, *parents = told.decode().split()
    if email == EMAIL:
        return commit, await head_of(root, parents[0], timeout=timeout)
    return commit, Head(commit=commit, tree=tree, time=time)


class Sieve(Value):
    """What is not taken into a snapshot."""

    guarded: bool
    """Leave out what agents must not get: secrets, and files beyond the `limit`."""
    limit: int = LARGE
    links_to: str | None = None
    """A checkout; links at the place of what they lead to in it are ours, made on request, and no work of an agent."""


def sieve_of(state: WorktreeState) -> Sieve:
    """What is not taken of the place where a session's agents work."""
    if state.isolation == "none":
        return Sieve(guarded=True, limit=state.large)
    return Sieve(guarded=False, links_to=state.repository)


async def of_worktree(state: WorktreeState, *, timeout: float) -> Snapshot:
    """The content of the place where a session's agents work, as it is now."""
    return await _committed(state.root, await content_of(state, timeout=timeout), timeout=timeout)


async def content_of(state: WorktreeState, *, timeout: float) -> Content:
    """The same, for who makes a commit of their own of it."""
    own_index = state.isolation == "none" and bool(state.shadow)
    return await _content(state.root, sieve=sieve_of(state), in_place=own_index, timeout=timeout)


async def snapshot(root: Path, *, sieve: Sieve, in_place: bool = False, timeout: float) -> Snapshot:
    """The content of a working tree, tracked and untracked, as a private commit on its HEAD.

    The same HEAD and content give the same commit, and unchanged content gives HEAD itself. `in_place` stages
    everything in the tree's own index, which nobody but us may see: that of a worktree, or of a shadow repository.
    """
    content = await _content(root, sieve=sieve, in_place=in_place, timeout=timeout)
    return await _committed(root, content, timeout=timeout)


async def _committed(root: Path, content: Content, *, timeout: float) -> Snapshot:
    commit = await private_commit(root, content.tree, content.head, timeout=timeout)
    return Snapshot(commit=commit, tree=content.tree, head=content.head, left_out=content.left_out)


async def _content(root: Path, *, sieve: Sieve, in_place: bool, timeout: float) -> Content:
    look, head = await _looks(root, timeout=timeout)
    left_out: list[str] = []
    if look.changed or look.gone or look.untracked:
        tree, left_out = await _tree(root, look, sieve=sieve, in_place=in_place, timeout=timeout)
    else:
        tree = head.tree if head.commit == look.commit else await tree_of(root, look.commit, timeout=timeout)
    return Content(tree=tree, head=head, left_out=tuple(sorted(left_out)))


async def _tree(root: Path, look: _Look, *, sieve: Sieve, in_place: bool, timeout: float) -> tuple[str, list[str]]:
    """The tree of what is there, and what is left out of it; of a few changes on the HEAD without its whole index,
    which in a large repository takes as long as half a look."""
    if look.is_small and not in_place and not sieve.guarded:
        added, left_out = await asyncio.to_thread(_sift, root, look.untracked, sieve)
        looked = (*look.unlike_staged, *added)
        tree = await graft(root, look.commit, look.staged, looked, look.gone, timeout=timeout)
        if tree is not None:
            return tree, left_out
    return await _gather(root, look, sieve=sieve, in_place=in_place, timeout=timeout)


async def _update(root: Path, look: _Look, added: Sequence[str], *, env: Mapping[str, str], timeout: float) -> None:
    """Bring an index up to what is there. What is gone comes first, as a folder may have become a file, and without a
    look, as that would lead through a link that has taken a folder's place."""
    if look.gone:
        zeros = "0" * len(look.commit)
        told = os.fsencode("".join(f"0 {zeros}\t{name}\0" for name in look.gone))
        await git(root, "update-index", "-z", "--index-info", input=told, env=env, timeout=timeout)
    if look.unlike_staged or added:
        told = os.fsencode("".join(f"{name}\0" for name in (*look.unlike_staged, *added)))
        await git(root, "update-index", "--add", "--remove", "-z", "--stdin", input=told, env=env, timeout=timeout)


async def _looks(root: Path, *, timeout: float) -> tuple[_Look, Head]:
    """How the working tree differs from its HEAD, and that HEAD, asked at once."""
    look, (commit, head) = await together(_look(root, timeout=timeout), _standing(root, "HEAD", timeout=timeout))
    if commit != look.commit:  # it has moved in between
        head = await head_of(root, look.commit, timeout=timeout)
    return look, head


async def _look(root: Path, *, timeout: float) -> _Look:
    """One look that tells, mostly, that there is nothing to gather."""
    said = await git(root, *_STATUS, timeout=timeout)
    return await asyncio.to_thread(_sorted_out, root, [os.fsdecode(line) for line in said.split(b"\0") if line])


def _sorted_out(root: Path, lines: Sequence[str]) -> _Look:
    there: list[str] = []
    gone: list[str] = []
    unlike: list[str] = []
    staged: dict[str, str] = {}
    for line in lines:
        if line[0] in _FACTS:
            words = line.split(" ", _FACTS[line[0]])
            path = words[-1]
            is_gone = line[3] == "D" if line[0] == "1" else not os.path.lexists(root / path)
            (gone if is_gone else there).append(path)
            is_staged = line[0] == "1" and words[4] != _ABSENT and words[7].strip("0") != ""
            if is_staged and not is_gone:
                staged[path] = f"{words[4]},{words[7]}"
            if not is_gone and not (is_staged and line[3] == "."):
                unlike.append(path)
    return _Look(
        commit=next((line for line in lines if line.startswith(_OID)), f"{_OID}HEAD").removeprefix(_OID),
        changed=tuple(there),
        gone=tuple(gone),
        untracked=tuple(line[2:] for line in lines if line[0] == "?"),
        staged=staged,
        unlike_staged=tuple(unlike),
        merging=any(line[0] == "u" for line in lines),
    )


async def _gather(root: Path, look: _Look, *, sieve: Sieve, in_place: bool, timeout: float) -> tuple[str, list[str]]:
    """The tree of what is there, by way of an index, and what is left out of it."""
    with TemporaryDirectory(prefix="coder-nb-") as scratch:
        copy = Path(scratch) / "index"
        env = {} if in_place else {"GIT_INDEX_FILE": str(copy)}
        if not in_place:
            asked = await git(root, "rev-parse", "--git-path", "index", timeout=timeout)
            index = root / os.fsdecode(asked.removesuffix(b"\n"))
            with suppress(FileNotFoundError):
                # with its time: git looks into files that were written in the moment of the index, and into no others
                await asyncio.to_thread(shutil.copy2, index, copy)
        added, left_out = await asyncio.to_thread(_sift, root, look.untracked, sieve)
        await _update(root, look, added, env=env, timeout=timeout)
        if sieve.guarded and (look.changed or look.gone):
            left_out += await _drop_staged_secrets(root, env, timeout=timeout)
        tree = (await git(root, "write-tree", env=env, timeout=timeout)).decode().strip()
    return tree, left_out


def _sift(root: Path, names: Iterable[str], sieve: Sieve) -> tuple[list[str], list[str]]:
    """Untracked files, those to add and those to leave out."""
    added: list[str] = []
    left_out: list[str] = []
    for name in names:
        if sieve.links_to is not None and is_our_link(root / name, Path(sieve.links_to) / name):
            continue
        fits = not name.endswith("/") and _readable(root / name, sieve.limit if sieve.guarded else None)
        (added if fits and not (sieve.guarded and is_secret(name)) else left_out).append(name)
    return added, left_out


def is_our_link(place: Path, target: Path) -> bool:
    """Whether a link leads to its own place in the checkout, as only ours do."""
    try:
        return os.readlink(place) == str(target)
    except OSError:
        return False


def _readable(path: Path, limit: int | None) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(found.st_mode):
        return True
    return stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) and (limit is None or found.st_size <= limit)


async def _drop_staged_secrets(root: Path, env: Mapping[str, str], *, timeout: float) -> list[str]:
    """Take secrets out that the user has staged and never committed."""
    listing = ("diff-index", "--cached", "--diff-filter=A", "--no-renames", "--name-only", "-z", "HEAD", "--")
    listed = await git(root, *listing, env=env, timeout=timeout)
    secrets = [os.fsdecode(name) for name in listed.split(b"\0") if name and is_secret(os.fsdecode(name))]
    if secrets:
        lines = b"".join(os.fsencode(name) + b"\0" for name in secrets)
        await git(root, "update-index", "--force-remove", "-z", "--stdin", input=lines, env=env, timeout=timeout)
    return secrets


async def private_commit(root: Path, tree: str, head: Head, *, timeout: float) -> str:
    """A commit of a tree on a HEAD, with its date, so it is always the same one; HEAD itself if it is that tree."""
    if tree == head.tree:
        return head.commit
    return await commit_tree(root, tree, [head.commit], "The checkout as it was", head.time, timeout=timeout)


async def commit_tree(root: Path, tree: str, parents: Sequence[str], title: str, time: str, *, timeout: float) -> str:
    """A commit that no branch knows, by nobody in particular."""
    env = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _signature(time)}
    on = [word for parent in dict.fromkeys(parents) for word in ("-p", parent)]
    made = await git(root, "commit-tree", tree, *on, input=f"{title}\n".encode(), env=env, timeout=timeout)
    return made.decode().strip()


def _signature(time: str) -> tuple[tuple[str, str], ...]:
    return ("NAME", "coder-nb"), ("EMAIL", EMAIL), ("DATE", f"@{time} +0000")


async def resolve(root: Path, name: str, *, timeout: float) -> str | None:
    """The commit that a name stands for, or None where there is none."""
    found = await run(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", timeout=timeout)
    return found.out.decode().strip() if found.code == 0 else None


async def branch_ref(root: Path, name: str, *, timeout: float) -> str:
    """The ref of a branch of that name, whether there is one or not; `InvalidOption` where none can have it."""
    ref = f"refs/heads/{name}"
    plain = not name.startswith("-") and "\0" not in name and len(name.encode()) <= LONGEST_BRANCH
    if not plain or (await run(root, "check-ref-format", ref, timeout=timeout)).code != 0:
        raise InvalidOption(f"{name!r} cannot be the name of a branch: choose another one.")
    return ref


async def tree_of(root: Path, commit: str, *, timeout: float) -> str:
    """The tree of a commit."""
    return (await git(root, "rev-parse", "--verify", f"{commit}^{{tree}}", timeout=timeout)).decode().strip()
