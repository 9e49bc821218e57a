"""The hub's own culler of idle servers: it ends those where nobody does anything, and none where an agent works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.conftest import ADMIN, Hub, until

pytestmark = pytest.mark.skipif("CODER_NB_TEST_LONG" not in os.environ, reason="long tier: `scripts/test --long`")
IDLE = 30
"""Seconds without anything after which a server is culled: more than lie between two looks of ours at what works."""


@pytest.fixture
def culler(hub: Hub, users: dict[str, Any], tmp_path: Path) -> Iterator[Path]:
    """The service `jupyterhub-idle-culler`, and its log; the servers that it has ended are there again afterwards."""
    log = tmp_path / "culler.log"
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={IDLE}", "--cull-every=1"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, f"--url={hub.url}hub/api"],
            env=os.environ | {"JUPYTERHUB_API_TOKEN": ADMIN},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield log
    finally:
        process.kill()
        process.wait(30)
        gone = [user for user in users.values() if not user.server]
        for user in gone:
            user.ask_to_start()
        for user in gone:
            user.started()


def test_a_server_where_a_chat_works_is_culled_when_it_has_done_and_an_idle_one_before(
    alice: Any, bob: Any, culler: Path
) -> None:
    chat = alice.open_chat()
    prompt = alice.prompt(chat, "hang")
    bob.open_chat()  # the last that anybody does: alice has been silent for longer than bob from now on
    until(lambda: not bob.server, "the end of bob's server")
    assert alice.server["ready"], culler.read_text()
    assert alice.ask("GET", f"chats/{chat}")["run_status"] == "running"
    alice.ask("POST", f"chats/{chat}/stop")
    assert alice.turn(chat, prompt)["end"] == "cancelled"
    until(lambda: not alice.server, "the end of alice's server")
