"""Which answers a question takes."""

from __future__ import annotations

from collections.abc import Sequence

from coder_nb.core.entries import Choice
from coder_nb.errors import InvalidOption

LONGEST = 100_000
"""Characters that an answer in the user's own words may have."""


def check(choices: Sequence[Choice], answer: Sequence[str], *, multiple: bool, custom: bool) -> None:
    """Raises `InvalidOption` for an answer that the question does not take: an agent may act on what it is told."""
    known = [choice.id for choice in choices]
    offered = f"choose {'some' if multiple else 'one'} of {', '.join(known)}" if known else "answer in your own words"
    if not answer:
        raise InvalidOption(f"This answers nothing: {offered}, or null to decline.")
    if len(answer) > 1 and not multiple:
        raise InvalidOption(f"This question takes one answer, and these are {len(answer)}: {offered}.")
    if len(set(answer)) < len(answer):
        raise InvalidOption(f"The same answer is given twice: {offered}, each once.")
    for one in answer:
        if one in known:
            continue
        if known and not custom:
            raise InvalidOption(f"{one!r} is no answer to this question: {offered}, or null to decline.")
        if not one.strip():
            raise InvalidOption(f"An answer is empty: {offered}, or null to decline.")
        if len(one) > LONGEST:
            raise InvalidOption(f"The answer has {len(one):,} characters and the limit is {LONGEST:,}: shorten it.")
