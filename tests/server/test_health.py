"""What `health` answers, and to whom: the contract of `docs/protocol.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coder_nb.core.health import Health
from coder_nb.errors import StoreDamaged

PROTOCOL = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
SECTION = PROTOCOL.partition("## Health\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("field", Health.__struct_fields__)
def test_every_field_is_in_the_protocol(field: str) -> None:
    assert f"`{field}`" in SECTION


async def test_whoever_may_read_sees_how_the_runtime_is_and_what_is_nought_is_left_out(
    server: Any, runtime: Any
) -> None:
    runtime.turns_running = 2
    reply = await server.ask("GET", "health", headers=server.token)
    assert reply.status == 200
    assert reply.body == {
        "protocol": 1,
        "version": "1.2.3",
        "runtime_id": "memory",
        "status": "ok",
        "turns_running": 2,
    }


async def test_whoever_is_not_known_sees_no_figure_no_version_and_no_id(server: Any) -> None:
    reply = await server.ask("GET", "health", headers={})
    assert reply.status == 403
    assert (set(reply.body), reply.body["code"]) == ({"code", "message"}, "forbidden")


async def test_a_runtime_that_cannot_answer_is_degraded_and_says_why(server: Any, runtime: Any) -> None:
    runtime.fails = StoreDamaged("The store's file is damaged: restore it from a copy.")
    reply = await server.ask("GET", "health", headers=server.token)
    assert (reply.status, reply.body["status"]) == (200, "degraded")
    assert (reply.body["detail"], reply.body["runtime_id"]) == (runtime.fails.message, "")
