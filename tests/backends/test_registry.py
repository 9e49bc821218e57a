"""The agents that are known, and what a user's setting does to them."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from coder_nb.backends.registry import KNOWN, AgentMode, registry
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import InvalidOption


def test_every_known_acp_agent_says_how_it_is_installed_and_what_each_mode_is() -> None:
    for spec in KNOWN:
        if spec.backend == "acp":
            assert spec.argv, spec.name
            assert spec.install, spec.name
            assert spec.login, spec.name
            assert set(spec.modes) == set(get_args(PermissionMode)), spec.name


def test_a_line_adds_an_agent() -> None:
    mine = registry({"mine": {"argv": ["mine", "--acp"]}})["mine"]
    assert (mine.name, mine.label, mine.backend, mine.argv, mine.icon) == (
        "mine",
        "mine",
        "acp",
        ("mine", "--acp"),
        "mine",
    )
    assert set(registry()) <= set(registry({"mine": {"argv": ["mine"]}}))


def test_a_known_agent_is_changed_field_by_field() -> None:
    goose = registry({"goose": {"argv": ["/opt/goose", "acp"], "env": {"GOOSE_PROVIDER": "openai"}}})["goose"]
    known = registry()["goose"]
    assert goose.argv == ("/opt/goose", "acp")
    assert goose.env == {**known.env, "GOOSE_PROVIDER": "openai"}
    assert (goose.modes, goose.install, goose.repeats_usage) == (known.modes, known.install, True)
    changed = registry({"goose": {"modes": {"ask": {"id": "smart_approve"}}}})["goose"]
    assert changed.modes == {**known.modes, "ask": AgentMode(id="smart_approve")}


def test_an_agent_is_turned_on_or_off() -> None:
    assert registry()["claude"].enabled is False
    assert registry({"claude": {"enabled": True}})["claude"].enabled is True


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mine": {}}, "agents.mine has no `argv`"),
        ({"mine": {"argv": "mine"}}, "mine.argv"),
        ({"mine": {"argv": ["mine"], "colour": "red"}}, "`colour`"),
        ({"goose": {"modes": {"careful": {}}}}, "modes"),
        ({"goose": {"env": {"A": 1}}}, "env"),
        ({"goose": ["goose"]}, "agents.goose must be a table"),
    ],
)
def test_a_field_that_is_wrong_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        registry(given)
    assert named in caught.value.message
