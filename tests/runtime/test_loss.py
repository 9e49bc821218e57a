"""The loss matrix: whatever may be at risk, whatever is asked for, nothing of the user's or of an agent's is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.place import Person, Place, make_repository

from coder_nb.core.entries import Entry
from coder_nb.core.risk import Risk
from coder_nb.errors import AtRisk, CoderError
from coder_nb.ids import new_id
from coder_nb.runtime.runtime import Runtime
from coder_nb.store.base import Batch

pytestmark = pytest.mark.anyio
PRECIOUS = "precious work\n"
GONE = 4_000.0
"""Seconds after which an orphan counts as left alone."""
WHO = ("-c", "user.name=a", "-c", "user.email=a@localhost")


def git(at: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True).stdout


class Site:
    """A session with a worktree in which something stands that is nowhere else."""

    def __init__(self, person: Person, tree: Path, tmp: Path, patch: pytest.MonkeyPatch) -> None:
        self.person, self.tree, self.tmp, self.patch = person, tree, tmp, patch
        self.folder = tree.parent
        self.owned = False
        self.turn_id = ""

    @classmethod
    async def after_a_turn(cls, person: Person, tmp: Path, patch: pytest.MonkeyPatch) -> Site:
        """A session in which somebody wrote a file ``agent.txt`` in a turn; the agent itself is not needed."""
        runtime, chat_id, turn_id = person.runtime, person.chat.id, new_id()
        lease, runner = await runtime._host.worker(person.session.id)
        cwd, checkpoint = await runner.tree.prepare(lease, turn_id)
        (cwd / "agent.txt").write_text("agent\n")
        await runner.tree.changes(lease, chat_id, turn_id, "somebody")
        entry = Entry(id=new_id(), chat_id=chat_id, turn_id=turn_id, agent="somebody", body=checkpoint)
        await runtime._store.log.commit(lease, chat_id, Batch(entries=(entry,)))
        site = cls(person, cwd, tmp, patch)
        site.turn_id = turn_id
        return site

    async def reject_all(self) -> None:
        changes = await self.runtime.changes(self.person.chat.id)
        await self.runtime.reject(self.person.chat.id, [change.id for change in changes])

    async def orphan(self) -> None:
        """Lets the session's rows go, as a removal behind our back would."""
        lease, _ = await self.runtime._host.worker(self.person.session.id)
        await self.runtime._store.catalog.delete_session(lease, self.person.session.id)

    @property
    def runtime(self) -> Runtime:
        return self.person.runtime

    def git(self, *words: str, at: Path | None = None) -> str:
        return git(at or self.tree, *WHO, *words)

    def write(self, path: str = "work.txt") -> None:
        (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
        (self.tree / path).write_text(PRECIOUS)

    def commit(self) -> None:
        self.write()
        self.git("add", "work.txt")
        self.git("commit", "-qm", "work")

    def path_with(self, script: str) -> None:
        """Puts another git before the real one."""
        folder = self.tmp / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "git").chmod(0o755)
        self.patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def age(self) -> None:
        """Makes the folder look as if nobody had touched it for long."""
        past = time.time() - GONE
        for place in (self.folder, self.tree, *self.tree.iterdir()):
            if not place.is_symlink():
                os.utime(place, (past, past))

    def everything(self) -> str:
        """All text that is still to be found: in the folders, and in what git can reach."""
        found = [p.read_text(errors="replace") for p in self.tmp.rglob("*.txt") if p.is_file()]
        repository = self.person.repository
        commits = self.git("rev-list", "--all", "--reflog", at=repository).split()
        listed = self.git("rev-list", "--objects", "--all", "--reflog", at=repository) if commits else ""
        for line in listed.splitlines():
            if line.endswith("work.txt"):
                found.append(self.git("cat-file", "blob", line.split()[0], at=repository))
        return "\n".join(found)


def dirty(site: Site) -> None:
    (site.tree / "hello.txt").write_text(PRECIOUS)


def staged(site: Site) -> None:
    site.write()
    site.git("add", "work.txt")


def untracked(site: Site) -> None:
    site.write()


def ignored(site: Site) -> None:
    site.write("data/work.txt")


def unpushed(site: Site) -> None:
    site.git("init", "-q", "--bare", str(site.tmp / "remote.git"))
    site.git("remote", "add", "origin", str(site.tmp / "remote.git"), at=site.person.repository)
    site.git("checkout", "-q", "-b", "idea")
    site.commit()


def unmerged(site: Site) -> None:
    site.git("checkout", "-q", "-b", "idea")
    site.commit()


def detached(site: Site) -> None:
    site.commit()


def submodule(site: Site) -> None:
    """Filled in, and as it is written down; what is precious in it is ignored there."""
    site.git("clone", "-q", str(site.tmp / "library"), "inner")
    (site.tree / "inner" / ".git" / "info" / "exclude").write_text("*.txt\n")
    site.write("inner/work.txt")


def git_missing(site: Site) -> None:
    site.write()
    site.patch.setenv("PATH", str(site.tmp / "nowhere"))


def git_hanging(site: Site) -> None:
    site.write()
    site.path_with("exec sleep 60")


def disk_full(site: Site) -> None:
    site.write()
    real = shutil.which("git")
    site.path_with(
        f'for w in "$@"; do case "$w" in status|add|write-tree|update-index|commit-tree|update-ref|checkout-index) '
        f'echo "fatal: unable to write: No space left on device" >&2; exit 128;; esac; done; exec {real} "$@"'
    )


def owned_again(site: Site) -> None:
    site.write()
    site.owned = True


def symlinked(site: Site) -> None:
    site.write()
    elsewhere = site.tmp / "elsewhere"
    site.folder.rename(elsewhere)
    site.folder.symlink_to(elsewhere)


STATES = (
    dirty, staged, untracked, ignored, unpushed, unmerged, detached, submodule, git_missing, git_hanging, disk_full,
    owned_again, symlinked,
)  # fmt: skip


async def close(site: Site) -> None:
    with pytest.raises(AtRisk) as refused:
        await site.runtime.close_session(site.person.session.id)
    assert isinstance(refused.value.report, Risk)
    assert refused.value.report.at_risk


async def delete(site: Site) -> None:
    with pytest.raises(AtRisk, match="would be lost"):
        await site.runtime.delete_session(site.person.session.id)
    assert (await site.runtime.get_session(site.person.session.id)).id == site.person.session.id


async def reap(site: Site) -> None:
    site.age()
    if not site.owned:
        await site.orphan()
    (info,) = await site.runtime.reap()
    assert info.standing == ("owned" if site.owned else "left"), info


async def restore(site: Site) -> None:
    with suppress(CoderError):
        undo = await site.runtime.restore(site.person.chat.id, site.turn_id)
        await site.runtime.restore(site.person.chat.id, undo)


async def apply(site: Site) -> None:
    (change,) = await site.runtime.changes(site.person.chat.id)
    with suppress(CoderError):
        await site.runtime.apply(site.person.chat.id, [change.id])
    text = site.person.repository / "agent.txt"
    assert not text.exists() or text.read_text() == "agent\n"


ACTIONS = (close, delete, reap, restore, apply)


def with_a_submodule(repository: Path, library: Path) -> None:
    make_repository(library)
    commit = git(library, "rev-parse", "HEAD").strip()
    (repository / "inner").mkdir()
    git(repository, "update-index", "--add", "--cacheinfo", f"160000,{commit},inner")
    git(repository, *WHO, "commit", "-qm", "a repository inside")


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_nothing_is_lost(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: Callable[[Site], None],
    action: Callable[[Site], Any],
) -> None:
    (place.repository / ".gitignore").write_text("data/\n")
    (place.repository / "data").mkdir()
    (place.repository / "data" / "given.txt").write_text("given\n")
    with_a_submodule(place.repository, tmp_path / "library")
    person = await place.person(copy_ignored=("data",), git_timeout=2.0 if state is git_hanging else 60.0)
    site = await Site.after_a_turn(person, tmp_path, monkeypatch)
    if action is not apply:
        await site.reject_all()
        assert not (await person.runtime.risk(person.session.id)).at_risk
    state(site)
    await action(site)
    monkeypatch.undo()
    assert PRECIOUS in site.everything()
    assert (place.repository / "hello.txt").read_text() == "hello\n"
    assert (place.repository / "data" / "given.txt").read_text() == "given\n"
    if action in (close, delete) and state is not symlinked:
        risk = await person.runtime.risk(person.session.id)
        assert (risk.at_risk, risk.error) == (True, "")
