"""The laws of applying, on generated edits: it can be taken back to the byte, twice is once, and git never disagrees.

`CODER_NB_TEST_LONG=1` takes ten thousand edits where a few hundred are taken else.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coder_nb.core import parts
from coder_nb.core.changes import Change
from coder_nb.errors import ApplyConflict
from coder_nb.ids import new_id
from coder_nb.worktrees import review
from coder_nb.worktrees.deltas import list_deltas
from coder_nb.worktrees.landing import blob_content, store_blob
from coder_nb.worktrees.merge import merge
from coder_nb.worktrees.state import WorktreeState

pytestmark = pytest.mark.anyio
LONG = bool(os.environ.get("CODER_NB_TEST_LONG"))
BATCHES = 20 if LONG else 1
MERGES = 500 if LONG else 150
TRIPS = 200 if LONG else 8
WORDS = [b"a", b"b", b"", b"x = 1", b"    return", b"\xff\xfe", b"e\xcc\x81", b"<<<<<<< ours", b"=======", b"}"]


def text(chance: random.Random, most: int = 30) -> list[bytes]:
    """Lines that often repeat, with ends of either kind."""
    end = chance.choice([b"\n", b"\n", b"\n", b"\r\n"])
    few = chance.sample(WORDS, chance.randint(1, len(WORDS)))
    lines = [chance.choice(few) + (end if chance.random() < 0.97 else b"\n") for _ in range(chance.randint(0, most))]
    if lines and chance.random() < 0.2:
        lines[-1] = lines[-1].rstrip(b"\r\n") or b"end"
    return lines


def edited(chance: random.Random, lines: list[bytes], edits: int) -> list[bytes]:
    made = list(lines)
    for _ in range(edits):
        at = chance.randint(0, len(made))
        fresh = [chance.choice([b"new", b"a", b"b"]) + b"\n" for _ in range(chance.randint(0, 3))]
        made[at : at + chance.randint(0, 3)] = fresh
    return [line if line.endswith(b"\n") or n == len(made) - 1 else line + b"\n" for n, line in enumerate(made)]


def cases(count: int, seed: int) -> Iterator[tuple[random.Random, list[bytes]]]:
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        yield chance, text(chance)


def by_git(folder: Path, ours: bytes, base: bytes, theirs: bytes) -> bytes | None:
    """What `git merge-file` makes of it, as a user would call it; None where it finds a conflict."""
    for name, content in (("ours", ours), ("base", base), ("theirs", theirs)):
        (folder / name).write_bytes(content)
    done = subprocess.run(["git", "merge-file", "-p", "-q", "ours", "base", "theirs"], cwd=folder, capture_output=True)
    return done.stdout if done.returncode == 0 else None


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_a_merge_is_never_silently_another_than_gits(tmp_path: Path, batch: int) -> None:
    gate = asyncio.Semaphore(4)

    async def one(number: int, chance: random.Random, base: list[bytes]) -> str:
        folder = tmp_path / str(number)
        folder.mkdir()
        ours, theirs = edited(chance, base, chance.randint(0, 2)), edited(chance, base, chance.randint(0, 3))
        sides = [b"".join(lines) for lines in (ours, base, theirs)]
        async with gate:
            git = await asyncio.to_thread(by_git, folder, *sides)
            try:
                merged = await merge("x", sides[0], sides[1], sides[2], timeout=30)
            except ApplyConflict:
                return "refused"
        if merged == git:
            return "agreed"
        # What git calls a conflict may be what stands there already: then nothing is written at all.
        return "known" if (git, merged) == (None, sides[0]) else f"git made {git!r}, and we {merged!r}, of {sides}"

    told = await asyncio.gather(*(one(number, *case) for number, case in enumerate(cases(MERGES, seed=batch))))
    assert set(told) <= {"agreed", "refused", "known"}
    assert told.count("agreed") > MERGES * 0.3


async def change_to(desk: Any, path: str, content: bytes | None, mode: int) -> Change | None:
    """What the agent's writing of one file is, as a change."""
    state: WorktreeState = desk.state
    place = state.root / path
    if content is None:
        place.unlink(missing_ok=True)
    else:
        place.write_bytes(content)
        place.chmod(mode)
    found = [delta for delta in await list_deltas(state, state.base_commit, timeout=30) if delta.path == path]
    if not found:
        return None
    (delta,) = found
    fields = {name: getattr(delta, name) for name in delta.__struct_fields__ if name != "touched"}
    return Change(id=new_id(), session_id=state.session_id, chat_id="c", turn_id="t", **fields)


def standing(place: Path) -> tuple[bytes, int] | None:
    return (place.read_bytes(), place.stat().st_mode) if place.exists() else None


@pytest.mark.parametrize("autocrlf", ["false", "input", "true"])
async def test_apply_then_undo_is_the_identity_and_twice_is_once(desk: Any, autocrlf: str) -> None:
    checkout = desk.checkout
    checkout.git("config", "core.autocrlf", autocrlf)
    place = checkout.root / "file.txt"
    landed = 0
    for chance, base in cases(TRIPS, seed=7):
        place.write_bytes(b"".join(base))
        place.chmod(chance.choice([0o644, 0o600, 0o755]))
        await desk.ensure()
        theirs = b"".join(edited(chance, base, chance.randint(1, 4)))
        gone = chance.random() < 0.15
        mode = chance.choice([0o644, 0o755])
        change = await change_to(desk, "file.txt", None if gone else theirs, mode)
        if change is not None:
            place.write_bytes(b"".join(edited(chance, base, chance.randint(0, 1))))
            landed += await round_trip(desk, place, change, chance)
        (desk.state.root / "file.txt").write_bytes(b"".join(base))
        checkout.git("-C", str(desk.state.root), "checkout", "-q", "--force", desk.state.base_commit)
    assert landed > TRIPS // 4


async def round_trip(desk: Any, place: Path, change: Change, chance: random.Random) -> bool:
    """Applies some of a change twice and takes it back twice; whether it landed."""
    root = desk.checkout.root
    part = await some_of(root, change, chance)
    before = standing(place)
    kept_as = f"refs/coder-nb/{change.session_id}/undo/{part.id}"
    done = await review.apply(root, part, timeout=30, kept_as=kept_as)
    after = standing(place)
    if done.status == "conflict":
        assert after == before
        return False
    assert (await review.apply(root, part, timeout=30, kept_as=kept_as)).status == "applied"
    assert standing(place) == after
    for _ in range(2):
        back = await review.revert(root, part, timeout=30, kept_as=kept_as)
        assert (back.status, standing(place)) == ("applied", before), change
    return True


async def some_of(root: Path, change: Change, chance: random.Random) -> Change:
    """A change, or some of its hunks."""
    chosen = [hunk.id for hunk in change.hunks if chance.random() < 0.6]
    if change.operation != "edit" or change.binary or not chosen or len(chosen) == len(change.hunks):
        return change
    sides = [await blob_content(root, str(blob), timeout=30) for blob in (change.old_blob, change.new_blob)]
    middle = await store_blob(root, parts.with_chosen(sides[0], sides[1], change.hunks, chosen), timeout=30)
    first, second = parts.halves(change, chosen, middle, named="second")
    assert parts.with_chosen(sides[0], sides[1], change.hunks, [h.id for h in change.hunks]) == sides[1]
    assert second.new_blob == change.new_blob
    return first
