"""Attachments reach Claude in a form that it takes, or are said not to."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from coder_nb.backends.base import Asked
from coder_nb.backends.claude import content
from coder_nb.core.entries import Attachment

BYTES = b"\x89\xff\x00"


def block_of(**attachment: Any) -> dict[str, Any]:
    asked = Asked(text="look", user_text="look", attachments=(Attachment(name="a", **attachment),))
    block, text = content.prompt(asked)
    assert text == {"type": "text", "text": "look"}
    return dict(block)


def test_a_prompt_without_attachments_is_its_text() -> None:
    assert content.prompt(Asked(text="look", user_text="look")) == "look"


@pytest.mark.parametrize(
    ("mime_type", "kind"),
    [("image/png", "image"), ("image/jpeg", "image"), ("application/pdf", "document")],
)
def test_pictures_and_pages_go_as_they_are(mime_type: str, kind: str) -> None:
    block = block_of(mime_type=mime_type, data=BYTES)
    source = {"type": "base64", "media_type": mime_type, "data": base64.b64encode(BYTES).decode()}
    assert (block["type"], block["source"]) == (kind, source)


@pytest.mark.parametrize("mime_type", ["text/csv", "image/svg+xml"])
def test_texts_go_as_texts_whatever_they_are_called(mime_type: str) -> None:
    block = block_of(mime_type=mime_type, data="é".encode())
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "é"}


@pytest.mark.parametrize("mime_type", ["image/tiff", "application/zip"])
def test_what_claude_does_not_take_goes_by_its_path_or_is_said_to_be_missing(mime_type: str) -> None:
    assert block_of(mime_type=mime_type, data=BYTES, path="in/a")["text"] == "@in/a"
    assert "could not be handed over" in block_of(mime_type=mime_type, data=BYTES)["text"]


def test_what_has_no_data_goes_by_its_path() -> None:
    assert block_of(path="in/a") == {"type": "text", "text": "@in/a"}
