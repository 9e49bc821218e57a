"""How a prompt gets to its agent, and by what it is seen that an agent's settings have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_nb.backends.base import McpServer, Probe
from coder_nb.backends.registry import KNOWN, AgentMode, AgentSpec
from coder_nb.runtime.routing import Situation, config_hash, route

SPEC = AgentSpec(name="mine", label="Mine", argv=("mine", "--acp"), env={"URL": "http://127.0.0.1:4001/v1", "A": "1"})
HERE = Path("/work")
FOUND = Probe(available=True)


@pytest.mark.parametrize(
    ("probe", "now", "way", "reason"),
    [
        (FOUND, Situation(), "warm", ""),
        (FOUND, Situation(warm=True, busy=99), "warm", ""),
        (FOUND, Situation(busy=9), "warm", ""),
        (FOUND, Situation(busy=10), "one_shot", "All 10 agents that may be kept are busy."),
        (FOUND, Situation(once=True, warm=True), "one_shot", "The caller wants nothing kept."),
        (FOUND, Situation(max_live=0), "one_shot", "The settings keep no agent warm."),
        (FOUND, Situation(idle_eviction=0.0), "one_shot", "The settings keep no agent warm."),
        (Probe(False, reason="no.", cure="Get it."), Situation(), "refused", "Mine cannot be used here: no. Get it."),
        (Probe(False, logged_in=False), Situation(), "warm", ""),
    ],
)
def test_the_way_of_a_prompt(probe: Probe, now: Situation, way: str, reason: str) -> None:
    assert route(SPEC, probe, now) == (way, reason)


@given(st.builds(Situation, st.booleans(), st.booleans(), st.integers(0, 20), st.integers(0, 20), st.floats(0, 9)))
def test_every_prompt_has_a_way_and_every_other_way_than_the_warm_one_a_reason(now: Situation) -> None:
    way, reason = route(SPEC, FOUND, now)
    assert bool(reason) == (way != "warm")


@pytest.mark.parametrize(
    "change",
    [
        {"argv": ("mine", "--acp", "-v")},
        {"env": {**SPEC.env, "A": "2"}},
        {"backend": "opencode"},
        {"model": "openai/x"},
        {"base_url": "http://elsewhere/v1"},
        {"variables": ("KEY",)},
        {"modes": {"ask": AgentMode(id="careful")}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_launch_data_that_changes_changes_the_hash(change: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(SPEC, **change)
    assert config_hash(changed, cwd=HERE) != config_hash(SPEC, cwd=HERE)


def test_the_place_and_the_users_own_servers_belong_to_it() -> None:
    server = McpServer("docs", command=("docs",))
    assert (
        len(
            {
                config_hash(SPEC, cwd=HERE),
                config_hash(SPEC, cwd=Path("/")),
                config_hash(SPEC, cwd=HERE, mcp_servers=[server]),
            }
        )
        == 3
    )


@pytest.mark.parametrize("change", [{"label": "Other"}, {"install": "pip"}, {"min_version": "2"}, {"tested": False}])
def test_what_is_no_launch_data_does_not(change: dict[str, Any]) -> None:
    assert config_hash(msgspec.structs.replace(SPEC, **change), cwd=HERE) == config_hash(SPEC, cwd=HERE)


@given(st.integers(1, 65535))
def test_the_port_of_something_on_this_machine_is_no_launch_data(port: int) -> None:
    moved = msgspec.structs.replace(SPEC, env={**SPEC.env, "URL": f"http://127.0.0.1:{port}/v1"})
    assert config_hash(moved, cwd=HERE) == config_hash(SPEC, cwd=HERE)


def test_no_two_known_agents_have_one_hash() -> None:
    assert len({config_hash(spec, cwd=HERE) for spec in KNOWN}) == len(KNOWN)
