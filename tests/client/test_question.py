"""What a person at a terminal is asked in words, and what is made of what they type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from coder_nb.client.question import Question, prompt_of, take_typed
from coder_nb.client.text import entry_text
from coder_nb.core import entries as core
from coder_nb.core.entries import Choice, Entry
from coder_nb.errors import InvalidOption

ASKED = core.Question(
    request_id="q", text="Which colour?", choices=(Choice("r", "Red"), Choice("b", "Blue", "as the sky"))
)


def question(**fields: Any) -> Question:
    return Question(msgspec.structs.replace(ASKED, **fields))


def test_a_person_sees_the_question_and_its_choices_numbered() -> None:
    assert prompt_of(question()) == (
        "The agent asks: Which colour?\n  1. Red\n  2. Blue – as the sky\n"
        "A number, or your own words (nothing declines): "
    )
    assert prompt_of(question(choices=())).endswith("Your answer (nothing declines): ")
    assert "or your own words" not in prompt_of(question(custom=False))


@pytest.mark.parametrize("hidden", ["\x1b[8m", "\r", "\u202e", "\u200b", "\ud800"])
def test_nothing_can_hide_in_it(hidden: str) -> None:
    said = prompt_of(question(text=f"a{hidden}b", choices=(Choice("x", f"c{hidden}", f"d{hidden}"),)))
    assert hidden not in said
    assert said.count(f"[U+{ord(hidden[0]):04X}]") == 3


@pytest.mark.parametrize(
    ("fields", "typed", "given"),
    [
        ({}, "2", ("b",)),
        ({}, " red ", ("r",)),
        ({}, "a green", ("a green",)),
        ({}, "3", ("3",)),
        ({"multiple": True}, "1, 2,1", ("r", "b")),
        ({"multiple": True}, "2 1", ("b", "r")),
        ({"multiple": True}, "2 colours", ("2 colours",)),
        ({"choices": ()}, "12", ("12",)),
        ({}, "", None),
        ({}, " \n", None),
    ],
)
def test_what_is_typed_becomes_an_answer(fields: dict[str, Any], typed: str, given: tuple[str, ...] | None) -> None:
    asked = question(**fields)
    assert take_typed(asked, typed)
    assert asked.decided
    assert asked.given == given


@pytest.mark.parametrize(("fields", "typed"), [({}, "1 2"), ({"custom": False}, "green"), ({"custom": False}, "9")])
def test_what_is_no_answer_is_asked_for_again(fields: dict[str, Any], typed: str) -> None:
    asked = question(**fields)
    assert not take_typed(asked, typed)
    assert not asked.decided


def test_an_answer_that_the_question_does_not_take_raises_at_once() -> None:
    asked = question(custom=False)
    for wrong in ((), ("green",), ("r", "b"), (7,)):
        with pytest.raises(InvalidOption):
            asked.answer(*wrong)  # type: ignore[arg-type]
    assert not asked.decided


def test_a_question_in_a_transcript_says_what_was_answered() -> None:
    def shown(**fields: Any) -> str:
        return entry_text(Entry(id="e", chat_id="c", body=msgspec.structs.replace(ASKED, **fields)))

    assert shown() == "? Which colour?: pending\n    1. Red\n    2. Blue"
    assert shown(status="answered", answer=("b", "green")) == "? Which colour?: Blue, green"
    assert shown(status="declined", by="nobody") == "? Which colour?: nobody was there to answer"
    assert shown(status="declined", by="ana") == "? Which colour?: declined"
