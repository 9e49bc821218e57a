"""A prompt, and what it must be before it is stored: what the inbox cannot read again would block its session."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

import msgspec

from coder_nb.core import permissions
from coder_nb.core.entries import Attachment, Cell, Value
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import InvalidOption, PromptTooLong

MOST_ATTACHED = 20
"""How many files and pictures may go with one prompt."""
_LONGEST = 1000
_NAME = re.compile(rf"[^\x00-\x1f\x7f]{{1,{_LONGEST}}}")
_MIME = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}")


class Prompt(Value):
    """A prompt in the inbox. The id is made by the client: the same id sent again is the same prompt (law 3)."""

    id: str
    text: str
    agent: str | None = None
    """None: the agent of the chat's last turn, or the default one."""
    model: str | None = None
    effort: str | None = None
    """How much the agent thinks, as it offers it; None for what it takes by itself."""
    mode: PermissionMode | None = None
    cell: Cell | None = None
    attachments: tuple[Attachment, ...] = ()
    """Files and images that go with it."""
    answers: tuple[Literal["callback", "on_question", "stdin"], ...] = ()
    """How the caller itself can answer while it waits for this turn: permissions by a callback, questions by one of
    their own, both at the terminal."""
    once: bool = False
    """Whether the agent is ended with the turn, as the caller wants nothing kept warm."""
    created_at: int = 0
    python: str = ""
    """The interpreter of the notebook it came from, which becomes the agents' own; empty for the runtime's."""


def check(prompt: Prompt) -> None:
    """Raises `InvalidOption` for a mode that does not exist, and for text, agent or model that are no text."""
    permissions.check(prompt.mode)
    try:
        msgspec.convert(msgspec.to_builtins(prompt), Prompt)
    except (msgspec.ValidationError, TypeError) as error:
        raise InvalidOption(f"A prompt's text, agent and model are strings ({error}): pass strings.") from error


def check_attachments(attached: Collection[Attachment], *, limit: int) -> None:
    """Raises `InvalidOption` for what is no file of a prompt, `PromptTooLong` where they are too many or too much."""
    if len(attached) > MOST_ATTACHED:
        raise PromptTooLong(
            f"{len(attached)} files go with the prompt and the limit is {MOST_ATTACHED}: name the others in the prompt."
        )
    for one in attached:
        if not (_NAME.fullmatch(one.name) and _MIME.fullmatch(one.mime_type)):
            raise InvalidOption(
                "A file of the prompt has no plain name and type: give it such as `a.png`, `image/png`."
            )
        if one.path is None and not one.data:
            raise InvalidOption(f"{one.name} is empty: attach a file that holds something, or name it by its path.")
        if one.path is not None and not _is_inside(one.path):
            raise InvalidOption(
                f"The path of {one.name} leads out of the directory: give it relative to that, without `..`."
            )
    size = sum(len(one.data or b"") for one in attached)
    if size > limit:
        raise PromptTooLong(
            f"The files of the prompt have {size:,} bytes and the limit is {limit:,} (`attachment_limit`): make them "
            "smaller, or put them into the project and name them in the prompt."
        )


def _is_inside(path: str) -> bool:
    """Whether a path is one below the directory that it is relative to, on any system."""
    parts = re.split(r"[/\\]", path)
    return bool(_NAME.fullmatch(path)) and parts[0] != "" and ":" not in parts[0] and ".." not in parts
