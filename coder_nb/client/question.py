"""A question of the agent as a Python callback, or a person at a terminal, answers it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from coder_nb.client.text import revealed
from coder_nb.core import entries as core
from coder_nb.core import questions
from coder_nb.core.entries import Choice
from coder_nb.errors import InvalidOption

_PARTS = re.compile(r"[,\s]+")


class Question:
    """What the agent wants to know; `answer()` tells it, and whoever does not has declined to answer."""

    def __init__(self, body: core.Question) -> None:
        self._body = body
        self._answer: tuple[str, ...] | None = None
        self._decided = False

    @property
    def text(self) -> str:
        """What is asked."""
        return self._body.text

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The answers that the agent proposes; there may be none."""
        return self._body.choices

    @property
    def multiple(self) -> bool:
        """Whether several choices may be taken."""
        return self._body.multiple

    @property
    def custom(self) -> bool:
        """Whether an answer in your own words is taken."""
        return self._body.custom or not self._body.choices

    @property
    def given(self) -> tuple[str, ...] | None:
        """Ids of choices and own words, as they were answered; None where it was declined, or not answered yet."""
        return self._answer

    @property
    def decided(self) -> bool:
        return self._decided

    def answer(self, *answers: str) -> None:
        """Answers by choices, by id or label, or in your own words.

        Raises `InvalidOption` for what the question does not take.
        """
        given = tuple(self._id_of(answer) for answer in answers)
        questions.check(self.choices, given, multiple=self.multiple, custom=self.custom)
        self._answer, self._decided = given, True

    def decline(self) -> None:
        """Does not answer it; the agent is told and goes on as it can."""
        self._answer, self._decided = None, True

    def _id_of(self, answer: str) -> str:
        if not isinstance(answer, str):
            raise InvalidOption(f"An answer is a string, and this is {answer!r}: pass strings.")
        named = [choice.id for choice in self.choices if answer.strip().casefold() == choice.label.strip().casefold()]
        known = any(choice.id == answer for choice in self.choices)
        return answer if known or len(named) != 1 else named[0]

    def __repr__(self) -> str:
        return f"<Question: {self.text}>"


def take_said(question: Question, said: object) -> None:
    """Answers by what a callback has returned: a string, several of them, or None for what it did on the object."""
    if said is None or question.decided:
        return
    if isinstance(said, str):
        question.answer(said)
    elif isinstance(said, Sequence):
        question.answer(*said)
    else:
        raise InvalidOption(f"on_question returned {said!r}: return a string, a list of them, or None to decline.")


def prompt_of(question: Question) -> str:
    """What a person at a terminal is asked."""
    lines = [f"The agent asks: {revealed(question.text)}"]
    for number, choice in enumerate(question.choices, 1):
        about = f" – {revealed(choice.description)}" if choice.description else ""
        lines.append(f"  {number}. {revealed(choice.label or choice.id)}{about}")
    if not question.choices:
        how = "Your answer (nothing declines)"
    else:
        how = "Numbers, parted by commas" if question.multiple else "A number"
        how += f"{', or your own words' if question.custom else ''} (nothing declines)"
    return "\n".join([*lines, f"{how}: "])


def take_typed(question: Question, typed: str) -> bool:
    """Answers by what was typed: numbers of choices, their labels, or own words; False where it must be asked again."""
    words = typed.strip()
    if not words:
        question.decline()
        return True
    parts = [part for part in _PARTS.split(words) if part]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 4]
    try:
        if question.choices and len(numbers) == len(parts) and all(0 < n <= len(question.choices) for n in numbers):
            question.answer(*dict.fromkeys(question.choices[number - 1].id for number in numbers))
        else:
            question.answer(words)
    except InvalidOption:
        return False
    return True
