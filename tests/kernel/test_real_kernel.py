"""A real kernel with the real runtime in it: interrupts go to the kernel's whole process group, agents and all."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest


def interrupting(kernel: Any) -> Any:
    """Interrupts the kernel when it shows the turn."""
    sent: list[str] = []

    def on_output(kind: str) -> None:
        if kind == "display_data" and not sent:
            sent.append(kind)
            kernel.manager.interrupt_kernel()

    return on_output


def pid_of_agent(kernel: Any) -> int:
    result = kernel.run("print(session.run('pid', display=False).text)")
    assert result.status == "ok", result.error
    return int(result.stdout)


@pytest.mark.parametrize("code", ["%%coder --session repo --mode bypass\nhang", "session.run('hang')"])
def test_an_interrupt_stops_the_turn_at_once_and_the_agent_lives(real_kernel: Any, code: str) -> None:
    pid = pid_of_agent(real_kernel)
    begun = time.monotonic()
    result = real_kernel.finish(real_kernel.send(code, allow_stdin=False), interrupting(real_kernel))
    assert result.error.startswith(("KeyboardInterrupt", "CancelledError"))
    while (state := real_kernel.run("print(list(session.turns()['state'])[-1])").stdout) != "cancelled\n":
        assert time.monotonic() - begun < 20, state
    assert pid_of_agent(real_kernel) == pid


def test_a_permission_is_asked_by_input_and_what_was_allowed_is_applied(real_kernel: Any) -> None:
    message_id = real_kernel.send("%%coder scripted --session repo --mode ask\nwrite b.txt hello", allow_stdin=True)
    question = real_kernel.client.get_stdin_msg(timeout=60)
    assert "b.txt" in question["content"]["prompt"]
    real_kernel.client.input("y")
    assert real_kernel.finish(message_id).status == "ok"
    result = real_kernel.run("session.changes.apply('b.txt'); print(open('repo/b.txt').read())")
    assert result.stdout.strip() == "hello"


def test_where_nobody_can_be_asked_the_cell_says_what_to_do(real_kernel: Any) -> None:
    result = real_kernel.run("%%coder scripted --session repo --mode ask\nwrite c.txt hello")
    assert result.error.startswith("NobodyToAsk")
    assert "on_permission=" in result.error


def test_nested_loops_can_be_allowed_and_everything_still_works(real_kernel: Any) -> None:
    result = real_kernel.run(
        "import asyncio\n"
        "cnb.allow_nested_loops()\n"
        "async def main():\n"
        "    turn = await session.prompt('say nested', display=False)\n"
        "    return turn.text\n"
        "print(asyncio.run(main()), asyncio.get_event_loop().run_until_complete(main()))\n"
        "print(session.run('say blocking', display=False).text)"
    )
    assert (result.error, result.stdout) == ("", "nested nested\nblocking\n")
    assert real_kernel.run("%%coder --session repo\nsay awaited").error == ""


def test_a_kernel_that_ends_leaves_no_agent_behind(real_kernel: Any) -> None:
    pid = pid_of_agent(real_kernel)
    real_kernel.manager.restart_kernel(now=False)
    real_kernel.client.wait_for_ready(timeout=60)
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline, "the agent outlived its kernel"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
