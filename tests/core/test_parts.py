"""The laws of deciding hunk by hunk: any subset in any order is the same subset at once, and nothing is guessed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from coder_nb.core import parts
from coder_nb.core.changes import Change
from coder_nb.core.hunks import NO_NEWLINE, Hunk, apply_hunks, counts, parse_hunks, revert_hunks
from coder_nb.errors import ApplyConflict, InvalidOption, StaleChange

LINES = st.lists(st.sampled_from([b"a", b"b", b"", b"\xff\r", b"c", b"@@ -1 +1 @@"]), max_size=40)
TEXTS = st.builds(lambda lines, end: b"\n".join(lines) + (b"\n" if end and lines else b""), LINES, st.booleans())


def diff(old: bytes, new: bytes) -> tuple[Hunk, ...]:
    before, after = (re.findall(r"[^\n]*\n|[^\n]+", text.decode("latin-1")) for text in (old, new))
    lines = list(difflib.unified_diff(before, after))[2:]
    text = "".join(line if line.endswith("\n") else f"{line}\n{NO_NEWLINE}\n" for line in lines)
    return parts.with_ids(parse_hunks(text))


def change(old: bytes, new: bytes, **more: object) -> Change:
    """A change whose blobs are named by their content."""
    hunks = diff(old, new)
    additions, deletions = counts(hunks)
    made = Change(
        id="c",
        session_id="s",
        chat_id="h",
        turn_id="t",
        path="new.txt",
        operation="edit",
        old_mode="100644",
        new_mode="100644",
        old_blob=old.decode("latin-1"),
        new_blob=new.decode("latin-1"),
        hunks=hunks,
        additions=additions,
        deletions=deletions,
    )
    return replace(made, **more)


def blob(name: str | None) -> bytes:
    return (name or "").encode("latin-1")


def middle_of(whole: Change, taken: Sequence[str] | frozenset[str]) -> str:
    return parts.with_chosen(blob(whole.old_blob), blob(whole.new_blob), whole.hunks, taken).decode("latin-1")


def told_exactly(half: Change) -> None:
    """A half's hunks are just the way between its blobs."""
    old, new = str(half.old_blob), str(half.new_blob)
    assert apply_hunks(old, half.hunks) == new
    assert revert_hunks(new, half.hunks) == old
    assert (half.additions, half.deletions) == counts(half.hunks)


@given(TEXTS, TEXTS, st.data())
def test_any_subset_in_any_order_is_the_same_subset_at_once(old: bytes, new: bytes, data: st.DataObject) -> None:
    whole = change(old, new)
    chosen = [hunk.id for hunk in whole.hunks if data.draw(st.booleans())]
    at_once = middle_of(whole, chosen)
    rest = whole
    for hunk_id in data.draw(st.permutations(chosen)):
        done, rest = parts.halves(rest, [hunk_id], middle_of(rest, [hunk_id]), named="second")
        told_exactly(done)
        told_exactly(rest)
    assert rest.old_blob == at_once
    assert rest.new_blob == whole.new_blob
    assert {hunk.id for hunk in rest.hunks} == {hunk.id for hunk in whole.hunks} - set(chosen)


@given(TEXTS, TEXTS, st.data())
def test_rejecting_in_any_order_leaves_what_accepting_the_others_gives(
    old: bytes, new: bytes, data: st.DataObject
) -> None:
    whole = change(old, new)
    refused = [hunk.id for hunk in whole.hunks if data.draw(st.booleans())]
    rest = whole
    for hunk_id in data.draw(st.permutations(refused)):
        kept = [hunk.id for hunk in rest.hunks if hunk.id != hunk_id]
        rest, gone = parts.halves(rest, kept, middle_of(rest, kept), named="first")
        told_exactly(rest)
        told_exactly(gone)
    assert rest.new_blob == middle_of(whole, [hunk.id for hunk in whole.hunks if hunk.id not in refused])


@given(TEXTS, TEXTS)
def test_taking_back_is_exact_and_taking_that_back_is_the_change_again(old: bytes, new: bytes) -> None:
    whole = change(old, new)
    told_exactly(parts.inverse(whole))
    assert parts.inverse(parts.inverse(whole)) == whole


def test_equal_hunks_have_ids_of_their_own_which_they_keep_when_one_is_decided() -> None:
    gap = b"".join(b"%d\n" % n for n in range(20))
    whole = change(b"x\n" + gap + b"x\n", b"y\n" + gap + b"y\n")
    first, second = (hunk.id for hunk in whole.hunks)
    again = change(b"x\n" + gap + b"x\n", b"y\n" + gap + b"y\n")
    assert [hunk.id for hunk in again.hunks] == [first, second]
    assert first != second
    _, rest = parts.halves(whole, [first], middle_of(whole, [first]), named="second")
    assert [hunk.id for hunk in rest.hunks] == [second]
    twins = parts.with_ids([replace(whole.hunks[0], id=""), replace(whole.hunks[0], id="")])
    assert twins[0].id != twins[1].id


def test_a_hunk_that_is_not_there_any_more_is_refused() -> None:
    whole = change(b"a\n", b"b\n")
    with pytest.raises(StaleChange, match=r"new\.txt has changed since this was shown"):
        parts.choose(whole, ["0" * 16])
    with pytest.raises(StaleChange):
        parts.choose(replace(whole, hunks=(replace(whole.hunks[0], id=""),)), [""])


def test_hunks_that_do_not_account_for_the_change_are_refused() -> None:
    gap = b"".join(b"%d\n" % n for n in range(20))
    whole = change(b"a\n" + gap, b"x\n" + gap)
    with pytest.raises(ApplyConflict, match="does not account for the whole change"):
        parts.with_chosen(b"a\n" + gap, b"x\n" + gap + b"y\n", whole.hunks, [])


def test_a_new_name_and_mode_stay_with_what_is_left_to_decide() -> None:
    more = {"operation": "rename", "old_path": "old.txt", "new_mode": "100755"}
    gap = b"".join(b"%d\n" % n for n in range(20))
    whole = change(b"a\n" + gap + b"b\n", b"1\n" + gap + b"2\n", **more)
    one = whole.hunks[0].id
    done, rest = parts.halves(whole, [one], "m", named="second")
    assert (done.operation, done.path, done.old_path, done.new_mode) == ("edit", "old.txt", None, "100644")
    assert (rest.operation, rest.path, rest.old_path, rest.new_mode) == ("rename", "new.txt", "old.txt", "100755")
    rest, gone = parts.halves(whole, [one], "m", named="first")
    assert (rest.operation, rest.path, rest.old_path, rest.new_mode) == ("rename", "new.txt", "old.txt", "100755")
    assert (gone.operation, gone.path, gone.old_path, gone.old_mode) == ("edit", "new.txt", None, "100755")


@pytest.mark.parametrize(
    "more", [{"operation": "create"}, {"operation": "delete"}, {"binary": True}, {"new_mode": "120000"}]
)
def test_what_has_no_parts_is_decided_as_a_whole(more: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match="can only be decided as a whole"):
        parts.check_divisible(change(b"a\n", b"b\n", **more))


def test_a_notebook_is_never_left_unreadable() -> None:
    parts.check_still_readable("a.ipynb", json.dumps({"cells": []}).encode())
    parts.check_still_readable("a.json", b"{")
    with pytest.raises(ApplyConflict, match="would be no notebook any more"):
        parts.check_still_readable("a.ipynb", b'{"cells": [')
