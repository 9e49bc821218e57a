"""What a prompt must be before it is stored: what the inbox cannot read again would block its session for good."""

from __future__ import annotations

import msgspec

from coder_nb.core import permissions
from coder_nb.core.values import Prompt
from coder_nb.errors import InvalidOption


def check(prompt: Prompt) -> None:
    """Raises `InvalidOption` for a mode that does not exist, and for text, agent or model that are no text."""
    permissions.check(prompt.mode)
    try:
        msgspec.convert(msgspec.to_builtins(prompt), Prompt)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidOption(f"A prompt's text, agent and model are strings ({error}): pass strings.") from error
