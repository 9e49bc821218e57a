"""The tree of a few changes is the same whether git gathers it in an index or grafts it on the commit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coder_nb.worktrees import snapshot as snapshots
from coder_nb.worktrees.snapshot import Sieve, snapshot

pytestmark = pytest.mark.anyio
Work = Callable[[Any, Path], object]


def edited(checkout: Any, root: Path) -> None:
    checkout.write("a.txt", "changed\n")
    checkout.write("new/deep/file.txt", "new\n")
    (root / "src" / "b.py").unlink()


def swapped(checkout: Any, root: Path) -> None:
    shutil.rmtree(root / "src")
    checkout.write("src", "a file\n")
    (root / "a.txt").unlink()
    checkout.write("a.txt/inner", "in a folder\n")


def staged(checkout: Any, root: Path) -> None:
    checkout.write("a.txt", "staged\n")
    checkout.write("both.txt", "staged\n")
    checkout.git("add", "a.txt", "both.txt")
    checkout.write("both.txt", "staged, and edited since\n")
    checkout.git("mv", "src/b.py", "src/c.py")
    checkout.write("meant.txt", "meant\n")
    checkout.git("add", "-N", "meant.txt")


def taken_out(checkout: Any, root: Path) -> None:
    checkout.git("rm", "-q", "--cached", "a.txt")
    checkout.git("rm", "-q", "src/b.py")


def linked(checkout: Any, root: Path) -> None:
    shutil.move(root / "src", root / "elsewhere")
    (root / "src").symlink_to("elsewhere")
    (root / "a.txt").chmod(0o755)


def named_oddly(checkout: Any, root: Path) -> None:
    for name in ('quo"te', "back\\slash", "new\nline", "tab\there", "Größe 日本", " spaces ", "-dash", ":(top)", "a,b"):
        checkout.write(name, f"{name}\n")
        checkout.write(f"{name}s/{name}", "inside\n")
    checkout.git("add", "a,b", 'quo"te', "-f", "--", "-dash")
    (root / "a,b").write_text("edited since\n")


def with_line_ends(checkout: Any, root: Path) -> None:
    checkout.write("windows.txt", "one\r\ntwo\r\n")
    checkout.commit()
    checkout.git("config", "core.autocrlf", "true")
    checkout.write("windows.txt", "one\r\ntwo\r\nthree\r\n")
    checkout.write("more.txt", "one\r\n")


def with_repositories_inside(checkout: Any, root: Path) -> None:
    for name in ("added", "moved"):
        checkout.git("init", "-q", name)
        checkout.git("-C", name, "commit", "-q", "--allow-empty", "-m", "one")
    checkout.git("add", "moved")
    checkout.git("commit", "-qm", "with a repository inside")
    checkout.git("-C", "moved", "commit", "-q", "--allow-empty", "-m", "two")


def sparse(checkout: Any, root: Path) -> None:
    blob = checkout.git("rev-parse", "HEAD:a.txt").decode().strip()
    checkout.git("sparse-checkout", "set", "--no-cone", "/a.txt")
    checkout.git("update-index", "--cacheinfo", f"100644,{blob},src/b.py")
    checkout.git("update-index", "--skip-worktree", "src/b.py")
    checkout.write("a.txt", "changed\n")


WORKS = (
    edited, swapped, staged, taken_out, linked, named_oddly, with_line_ends, with_repositories_inside, sparse,
)  # fmt: skip


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
async def test_it_is_the_same_tree(checkout: Any, monkeypatch: pytest.MonkeyPatch, work: Work) -> None:
    work(checkout, checkout.root)
    before = checkout.seen()
    grafted = await snapshot(checkout.root, sieve=Sieve(guarded=False), timeout=60)
    assert grafted.tree != grafted.head.tree
    assert checkout.seen() == before
    assert checkout.git("for-each-ref", "refs/coder-nb") == b""
    asked = []

    async def by_the_index(*args: Any, **options: Any) -> None:
        asked.append(args)

    monkeypatch.setattr(snapshots, "graft", by_the_index)
    gathered = await snapshot(checkout.root, sieve=Sieve(guarded=False), timeout=60)
    assert asked
    assert checkout.git("ls-tree", "-r", grafted.tree) == checkout.git("ls-tree", "-r", gathered.tree)
    assert grafted == gathered


async def test_none_is_gathered_where_it_can_be_grafted(checkout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(snapshots, "_gather")
    edited(checkout, checkout.root)
    found = await snapshot(checkout.root, sieve=Sieve(guarded=False), timeout=60)
    names = checkout.git("ls-tree", "-r", "--name-only", found.tree).decode().split()
    assert names == ["a.txt", "new/deep/file.txt"]


async def test_a_file_name_that_looks_like_a_patch_is_no_line_of_it(desk: Any) -> None:
    forged = "x\ndiff --git a/a.txt b/a.txt\n@@ -1 +1 @@\n-one\n+forged"

    def work(root: Path) -> None:
        (root / forged).parent.mkdir(parents=True)
        (root / forged).write_text("new\n")
        (root / "src" / "b.py").write_text("edited\n")

    deltas = {delta.path: delta for delta in await desk.turn(work)}
    assert deltas.keys() == {forged, "src/b.py"}
    assert [line for hunk in deltas[forged].hunks for line in hunk.lines] == ["+new"]
    assert "+edited" in deltas["src/b.py"].hunks[0].lines
