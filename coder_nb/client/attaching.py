"""Files of the caller's that go with a prompt: read here, as the agent may run elsewhere and sees another directory."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from coder_nb.core.entries import Attachment
from coder_nb.errors import InvalidOption

CARRIED = ("image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf")
"""What models read beside text."""


def attachments(files: Iterable[str | PathLike[str]]) -> tuple[Attachment, ...]:
    """The files at these paths, as a prompt carries them; raises `InvalidOption` for what cannot be read by a model."""
    return tuple(map(_attachment, files))


def _attachment(file: str | PathLike[str]) -> Attachment:
    path = Path(file).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidOption(f"{path} cannot be read ({error.strerror}): give the path of a file.") from error
    kind = mimetypes.guess_type(path.name)[0] or ""
    if kind not in CARRIED:
        kind = "text/plain"
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise InvalidOption(
                f"{path.name} is neither text nor a PDF nor a picture: put it into the project and name it in the "
                "prompt."
            )
    return Attachment(name=path.name, mime_type=kind, data=data)
