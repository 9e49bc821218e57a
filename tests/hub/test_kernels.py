"""What becomes of a kernel becomes of nothing else: chats live in the server, and whoever comes back finds them."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
from hub.conftest import DEADLINE, until

SESSION = """
import coder_nb as cnb
session = cnb.session('work', name={name!r})
print(session.id)
"""


def running(user: Any, chat: str) -> bool:
    return bool(user.ask("GET", f"chats/{chat}")["run_status"] == "running")


def chat_of(user: Any, session: str) -> str:
    return str(user.ask("GET", f"sessions/{session}")["chats"][0])


def begun(user: Any, session: str, text: str) -> str:
    """The session's chat, once something was said in it."""
    until(lambda: user.ask("GET", f"sessions/{session}").get("chats"), "the chat")
    chat = chat_of(user, session)
    until(lambda: text in user.said(chat) and running(user, chat), "the beginning of the turn")
    return chat


def test_an_interrupt_of_a_cell_stops_the_turn_that_it_waits_for_and_not_the_agent(alice: Any) -> None:
    kernel = alice.kernel()
    session = kernel.run(SESSION.format(name="interrupted")).stdout.strip()
    pid = kernel.run("print(session.run('pid', agent='scripted', mode='bypass', display=False).text)").stdout
    cell = kernel.send("session.run('say begun; hang', display=False)")
    chat = begun(alice, session, "begun")
    kernel.interrupt()
    assert kernel.finish(cell).error.startswith("KeyboardInterrupt")
    until(lambda: not running(alice, chat), "the end of the turn")
    assert ends(alice, chat) == ["completed", "cancelled"]
    assert kernel.run("print(session.run('pid', display=False).text)").stdout == pid


def ends(user: Any, chat: str) -> list[str | None]:
    return [turn.get("end") for turn in user.ask("GET", f"chats/{chat}/turns")]


def test_a_kernel_that_begins_anew_finds_its_session_and_an_agent_that_remembers(alice: Any) -> None:
    kernel = alice.kernel()
    session = kernel.run(SESSION.format(name="restarted")).stdout.strip()
    kernel.send("session.run('say begun; hang', agent='scripted', mode='bypass', display=False)")
    chat = begun(alice, session, "begun")
    kernel.restart()  # which begins with an interrupt of the cell
    until(lambda: not running(alice, chat), "the end of the turn")
    assert ends(alice, chat) == ["cancelled"]
    assert kernel.run(SESSION.format(name="restarted")).stdout.strip() == session
    assert kernel.run("print(session.run('recall', display=False).text)").stdout.startswith("I remember: say begun")


def test_the_turn_of_a_kernel_that_died_goes_on_and_is_found_by_the_next_one(alice: Any) -> None:
    kernel = alice.kernel()
    session = kernel.run(SESSION.format(name="died")).stdout.strip()
    pid = int(kernel.run("import os; print(os.getpid())").stdout)
    kernel.send("session.run('say begun; hang', agent='scripted', mode='bypass', display=False)")
    chat = begun(alice, session, "begun")
    os.kill(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid), "the end of the kernel")
    kernel.client.wait_for_ready(timeout=DEADLINE)  # its server has started it again
    assert kernel.run(SESSION.format(name="died")).stdout.strip() == session
    assert running(alice, chat)
    assert kernel.run("print(session.stop())").stdout == "True\n"
    until(lambda: not running(alice, chat), "the end of the turn")
    assert ends(alice, chat) == ["cancelled"]
