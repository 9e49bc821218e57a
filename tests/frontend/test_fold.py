"""The TypeScript fold is the twin of the Python one: the same golden cases, and the same answer to anything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coder_nb.core.codec import decode, encode
from coder_nb.core.entries import Delta, Page
from coder_nb.core.transcript import Transcript

HERE = Path(__file__).parent
GOLDEN = sorted((HERE.parent / "golden" / "fold").glob("*.json"))
Fold = Callable[[list[Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def fold(node: str) -> Iterator[Fold]:
    """The TypeScript fold of some steps, by a Node that runs as long as this module."""
    command = [node, "--disable-warning=ExperimentalWarning", "fold.mjs"]
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        source, sink = process.stdout, process.stdin

        def ask(steps: list[Any]) -> dict[str, Any]:
            sink.write(json.dumps({"steps": steps}) + "\n")
            sink.flush()
            answer: dict[str, Any] = json.loads(source.readline())
            return answer

        yield ask
        sink.close()


@pytest.mark.parametrize("case", GOLDEN, ids=lambda path: path.stem)
def test_the_page_folds_as_the_golden_cases_say(fold: Fold, case: Path) -> None:
    golden = json.loads(case.read_bytes())
    seen = fold(golden["steps"])
    assert {"rev": seen["rev"], "entries": seen["entries"]} == golden["expect"]


def in_python(steps: list[Any]) -> dict[str, Any]:
    transcript = Transcript()
    for step in steps:
        if "page" in step:
            transcript.apply(decode(json.dumps(step["page"]), Page))
        else:
            transcript.apply_delta(decode(json.dumps(step["delta"]), Delta))
    entries = json.loads(encode(list(transcript)))
    lengths = [len(entry["body"].get("text", "")) for entry in entries]
    return {"rev": transcript.rev, "entries": entries, "lengths": lengths}


_IDS = st.sampled_from("abcd")
_TEXT = st.text(alphabet="x🐍é\n", min_size=1, max_size=5)
_REV = st.integers(1, 9)


@st.composite
def _entries(draw: st.DrawFn) -> dict[str, Any]:
    entry_id, rev = draw(_IDS), draw(_REV)
    pos = "abcd".index(entry_id) + 1
    kind = draw(st.sampled_from(["text", "reasoning", "checkpoint", "notice"]))
    body: dict[str, Any] = {"kind": kind}
    if kind == "checkpoint":
        body |= {"commit": "c", "hides_from": draw(st.integers(1, 4)), "hides_to": draw(st.integers(1, 4))}
    elif kind == "notice" or draw(st.booleans()):
        body["text"] = draw(_TEXT)
    return {"id": entry_id, "chat_id": "c", "body": body, "pos": pos, "rev": rev} | (
        {"open": True} if draw(st.booleans()) else {}
    )


_CHUNKS = st.fixed_dictionaries({"entry_id": _IDS, "offset": st.integers(0, 6), "text": _TEXT, "rev": _REV})
_DELTAS = st.fixed_dictionaries(
    {"epoch": st.just("x"), "entry_id": _IDS, "offset": st.integers(0, 6), "text": _TEXT}
).map(lambda delta: {"delta": delta})
_PAGES = st.fixed_dictionaries(
    {"entries": st.lists(_entries(), max_size=3), "chunks": st.lists(_CHUNKS, max_size=3), "rev": _REV}
).map(lambda page: {"page": page})


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(_PAGES | _DELTAS, max_size=8))
def test_both_folds_give_the_same_whatever_comes(fold: Fold, steps: list[Any]) -> None:
    assert fold(steps) == in_python(steps)
