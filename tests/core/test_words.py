"""A line of our log: a word that is known, and what stands beside it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.core.words import LONGEST, WORDS, Word, line

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_a_line_is_the_word_and_its_fields_in_the_order_of_the_table() -> None:
    said = line("turn_ended", {"ms": 1200, "end": "failed", "code": None, "turn": "t1", "chat": "c1", "agent": "goose"})
    assert said == "turn_ended chat=c1 turn=t1 agent=goose end=failed ms=1200"


def test_a_word_or_a_field_that_is_not_in_the_table_is_a_fault() -> None:
    with pytest.raises(KeyError):
        line("agent_sneezed", {})
    with pytest.raises(KeyError, match="no field text"):
        line("turn_started", {"text": "what was asked"})


@given(st.text())
def test_a_line_is_one_line_whatever_stands_in_it(text: str) -> None:
    said = line("agent_failed", {"code": text})
    assert len(said.splitlines()) == 1
    assert len(said) < 10 * LONGEST + 100


def noted() -> set[object]:
    """The words that the code notes."""
    found = set[object]()
    for package in ("coder_nb", "jupyter_extension"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                called = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
                if isinstance(node, ast.Call) and called in ("note", "_note", "line"):
                    found |= {
                        word.value
                        for argument in node.args[:1]
                        for word in ast.walk(argument)
                        if isinstance(word, ast.Constant) and word.value in WORDS
                    }
    return found


def test_every_word_is_used_somewhere() -> None:
    assert set(WORDS) == noted()


@pytest.mark.parametrize(("name", "word"), WORDS.items(), ids=WORDS)
def test_every_word_is_in_the_reference_with_its_meaning_and_fields(name: str, word: Word) -> None:
    fields = ", ".join(f"`{field}`" for field in word.fields)
    assert f"| `{name}` | {word.level} | {word.meaning} | {fields} |" in REFERENCE
