"""Comments on lines of a diff, and the prompt that takes them to the agent; `frontend/src/comments.ts` is its twin."""

from __future__ import annotations

from collections.abc import Sequence

from coder_nb.core.entries import Value
from coder_nb.core.hunks import Hunk

OPENING = "Please address these review comments on your changes:"


class Comment(Value):
    """What somebody says to a line of a changed file."""

    path: str
    line: int
    """Its number in the file as it is after the change, or before it where `old`."""
    text: str
    quoted: str = ""
    """The line itself, so that the agent finds it when the numbers have moved."""
    old: bool = False
    agent: str | None = None
    """Whose change it is about."""


def comments_prompt(comments: Sequence[Comment]) -> str:
    """The prompt that says all comments, by file and line; `tests/golden/comments.json` holds both twins to it."""
    parts = [OPENING] if len(comments) != 1 else ["Please address this review comment on your changes:"]
    for comment in sorted(comments, key=lambda comment: (comment.path, comment.line, comment.old)):
        where = "before the change" if comment.old else ""
        place = f"{comment.path}:{comment.line}" + (f" ({where})" if where else "")
        quoted = [f"> {comment.quoted}"] if comment.quoted.strip() else []
        parts.append("\n".join([place, *quoted, comment.text.strip()]))
    return "\n\n".join(parts)


def line_of(hunks: Sequence[Hunk], number: int, *, old: bool) -> str | None:
    """A line by its number, as far as the hunks show it."""
    for hunk in hunks:
        at = hunk.old_start if old else hunk.new_start
        for line in hunk.lines:
            if line[:1] not in (" ", "-" if old else "+"):
                continue
            if at == number:
                return line[1:]
            at += 1
    return None
