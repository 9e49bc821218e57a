"""Choices that an agent offers, as people name them; pure."""

from __future__ import annotations

from coder_nb.core.entries import Choice

_SHOWN = 8


def pick(choices: tuple[Choice, ...], wanted: str) -> Choice | None:
    """The choice with that id or label; or the only one whose id ends so, after its provider."""
    for choice in choices:
        if wanted in (choice.id, choice.label):
            return choice
    ending = [choice for choice in choices if choice.id.endswith(f"/{wanted}")]
    return ending[0] if len(ending) == 1 else None


def listed(choices: tuple[Choice, ...]) -> str:
    """The first few of them, for a sentence."""
    names = [choice.id for choice in choices[:_SHOWN]]
    return ", ".join(names) + (" …" if len(choices) > _SHOWN else "") if names else "none"
