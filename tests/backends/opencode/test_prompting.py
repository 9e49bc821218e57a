"""What opencode's server is asked for with a prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from coder_nb.backends.base import Asked
from coder_nb.backends.opencode import prompting
from coder_nb.backends.opencode.native import Offer
from coder_nb.backends.registry import registry
from coder_nb.errors import InvalidOption

SPEC = registry()["opencode"]


def test_a_prompt_carries_the_model_and_how_much_it_thinks() -> None:
    asked = Asked(text="/go on", user_text="/go on")
    body = prompting.body(asked, Path("/w"), message_id="m", agent="build", model="a/b/c", effort="high")
    assert (body["model"], body["variant"]) == ({"providerID": "a", "modelID": "b/c"}, "high")
    command = prompting.command(asked, Path("/w"), ("go",), body)
    assert command is not None
    assert (command["model"], command["variant"], command["arguments"]) == ("a/b/c", "high", "on")
    plain = prompting.body(asked, Path("/w"), message_id="m", agent="build", model=None)
    assert "variant" not in plain


def test_a_model_thinks_only_as_much_as_it_is_offered_to() -> None:
    offer = Offer(efforts={"a/b": ("low", "high")})
    assert offer.effort("high", "a/b", SPEC) == "high"
    assert offer.effort("high", None, SPEC) == "high", "which model it is then, opencode knows"
    with pytest.raises(InvalidOption, match="it offers low, high"):
        offer.effort("huge", "a/b", SPEC)
    with pytest.raises(InvalidOption, match="it offers none"):
        offer.effort("low", "a/c", SPEC)
