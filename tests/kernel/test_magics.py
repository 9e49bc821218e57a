"""The magics in a real kernel, with a runtime in memory."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

import pytest

from coder_nb.errors import BadPath
from coder_nb.kernel.magics import CoderMagics

CHAT_MIME = "application/vnd.coder-nb.chat.v1+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


def test_a_cell_magic_is_awaited_and_gives_its_turn(kernel: Any) -> None:
    result = kernel.run("%%coder replay --chat one\nhello {x} and $y\n")
    assert (result.status, result.error) == ("ok", "")
    assert kernel.run("_.text").value == "'You said: hello {x} and $y'"
    assert kernel.run("_1 if False else __.prompt.agent").status in ("ok", "error")


def test_the_turn_is_shown_once_live_and_then_as_what_stays(kernel: Any) -> None:
    result = kernel.run("%%coder\nhello")
    assert [output["type"] for output in result.outputs] == ["display_data", "update_display_data"]
    first, last = result.outputs
    assert first["transient"]["display_id"] == last["transient"]["display_id"]
    assert "You said: hello" in last["data"]["text/plain"]
    assert "You said: hello" in last["data"]["text/html"]
    assert last["data"][CHAT_MIME]["view"] == "transcript"
    assert WIDGET_MIME not in last["data"]


def test_a_viewer_gets_the_widget_and_keeps_it(kernel: Any) -> None:
    result = kernel.run("%%coder\nhello", allow_stdin=True)
    assert [output["type"] for output in result.outputs] == ["display_data", "update_display_data"]
    models = {output["data"][WIDGET_MIME]["model_id"] for output in result.outputs}
    assert len(models) == 1
    assert {output["data"][CHAT_MIME]["model_id"] for output in result.outputs} == models


def test_a_turn_shown_again_in_another_cell_is_shown(kernel: Any) -> None:
    assert kernel.run("turn = cnb.session('.').run('again')").status == "ok"
    result = kernel.run("turn")
    assert [output["type"] for output in result.outputs] == ["display_data"]
    assert "You said: again" in result.outputs[0]["data"]["text/html"]


def test_nothing_is_shown_where_no_display_was_asked_for(kernel: Any) -> None:
    result = kernel.run("%%coder --no-display\nhello")
    assert "update_display_data" not in [output["type"] for output in result.outputs]


def test_the_cell_is_recorded_with_the_turn_it_started(kernel: Any) -> None:
    message = kernel.client.session.msg(
        "execute_request",
        {
            "code": "turn = await cnb.session('.').prompt('hi')",
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        },
        metadata={"cellId": "the-cell"},
    )
    kernel.client.shell_channel.send(message)
    kernel.finish(message["header"]["msg_id"])
    assert kernel.run("print(turn.prompt.cell.cell_id, turn.prompt.cell.execution_count)").stdout.startswith(
        "the-cell "
    )


def test_a_blocking_prompt_shows_its_turn_before_the_cell_ends(kernel: Any) -> None:
    result = kernel.run("cnb.session('.').run('hello'); print('after')")
    assert [output["type"] for output in result.outputs] == ["display_data", "update_display_data"]
    assert result.stdout == "after\n"


def test_an_interrupt_of_an_awaited_cell_stops_the_turn(kernel: Any) -> None:
    message_id = kernel.send("%%coder\nendless", allow_stdin=False)
    result = kernel.finish(message_id, _interrupt_once(kernel))
    assert result.status == "error"
    assert result.error.startswith(("CancelledError", "KeyboardInterrupt"))
    assert_only_the_caller_is_shown(result.traceback)
    assert kernel.run("print(list(cnb.session('.').turns()['state'])[-1])").stdout == "cancelled\n"


def test_an_interrupt_of_a_blocking_cell_stops_the_turn(kernel: Any) -> None:
    message_id = kernel.send("cnb.session('.').run('endless')", allow_stdin=False)
    result = kernel.finish(message_id, _interrupt_once(kernel))
    assert result.error.startswith("KeyboardInterrupt")
    assert_only_the_caller_is_shown(result.traceback)
    assert kernel.run("print(list(cnb.session('.').turns()['state'])[-1])").stdout == "cancelled\n"


def test_a_person_is_asked_by_input_where_the_front_end_allows_it(kernel: Any) -> None:
    message_id = kernel.send("%%coder\nask", allow_stdin=True)
    question = kernel.client.get_stdin_msg(timeout=30)
    assert "rm -r build" in question["content"]["prompt"]
    kernel.client.input("y")
    result = kernel.finish(message_id)
    assert "once by stdin" in result.outputs[-1]["data"]["text/plain"]


def test_the_line_magic_looks_at_everything(kernel: Any) -> None:
    assert "%coder agents" in kernel.run("%coder").stdout
    assert "goose" in kernel.run("%coder agents").value
    assert kernel.run("%coder sessions").status == "ok"
    assert "agents run by this kernel" in kernel.run("%coder status").stdout
    assert kernel.run("%coder stop").stdout == "Nothing runs.\n"
    assert kernel.run("%coder usage").status == "ok"
    kernel.run("%%coder\nchange something")
    assert CHAT_MIME in kernel.run("%coder changes").outputs[0]["data"]
    assert kernel.run("%coder session .").outputs[0]["data"][CHAT_MIME]["session"]["path"]


def test_the_line_magic_tries_the_last_turn_again(kernel: Any) -> None:
    assert kernel.run("%%coder\nfail\n").error.startswith("TurnFailed")
    assert "You said: fail" in str(kernel.run("%coder retry").outputs)


def test_what_is_not_understood_is_said_in_one_sentence(kernel: Any) -> None:
    assert kernel.run("%coder retry").error.startswith("Conflict")
    assert "%coder knows no 'frobnicate'" in kernel.run("%coder frobnicate").error
    assert "invalid choice: 'yolo'" in kernel.run("%%coder --mode yolo\nhello").error
    assert "close the quotation" in kernel.run("%%coder --chat 'x\nhello").error
    assert kernel.run("%%coder\n\n").error.startswith("EmptyPrompt")
    assert kernel.run("%%coder nobody\nhello").error.startswith("UnknownAgent")


def complete(kernel: Any, code: str) -> list[str]:
    message_id = kernel.client.complete(code, len(code))
    reply = kernel.client.get_shell_msg(timeout=30)
    while reply["parent_header"]["msg_id"] != message_id:
        reply = kernel.client.get_shell_msg(timeout=30)
    return list(reply["content"]["matches"])


def test_options_agents_modes_and_commands_are_completed(kernel: Any) -> None:
    assert complete(kernel, "%%coder --") == ["--chat", "--session", "--model", "--effort", "--mode", "--no-display"]
    assert complete(kernel, "%%coder go") == ["goose"]
    assert complete(kernel, "%%coder ")[:2] == ["replay", "goose"]
    assert complete(kernel, "%%coder replay --mode ") == ["plan", "ask", "accept_edits", "bypass"]
    assert complete(kernel, "%coder st") == ["status", "stop"]
    _, _, known = kernel.run("%coder frobnicate").error.partition("it knows ")
    assert complete(kernel, "%coder ") == sorted(known.strip().rstrip(".").split(", "))
    assert "--chat" not in complete(kernel, "print(--")


def test_an_agents_own_commands_are_completed_where_a_cell_begins_with_a_slash(kernel: Any) -> None:
    kernel.run("%coder session .")
    offer = (
        "from coder_nb.core.entries import Command\nfrom coder_nb.core.agents import AgentCommands\n"
        "runtime.offered = (AgentCommands('goose', (Command('compact'), Command('clear'))), "
        "AgentCommands('replay', (Command('review'),)))"
    )
    assert kernel.run(offer).status == "ok"
    try:
        assert complete(kernel, "%%coder\n/") == ["/compact", "/clear", "/review"]
        assert complete(kernel, "%%coder goose\n\n/cl") == ["/clear"]
        assert complete(kernel, "%%coder\nlook at /") != ["/compact", "/clear", "/review"]
        assert "/compact" not in complete(kernel, "%%coder --mode\n/")
    finally:
        kernel.run("runtime.offered = ()")


def test_loading_and_unloading_twice_leaves_nothing_behind(kernel: Any) -> None:
    count = "ip = get_ipython(); print(len(ip.input_transformers_cleanup), len(ip.Completer.custom_matchers))"
    loaded = kernel.run(count).stdout
    assert kernel.run("%reload_ext coder_nb\n%reload_ext coder_nb").status == "ok"
    assert kernel.run(count).stdout == loaded
    assert kernel.run("%unload_ext coder_nb").status == "ok"
    without = kernel.run(count).stdout
    assert [int(n) + 1 for n in without.split()] == [int(n) for n in loaded.split()]
    assert "`%coder` not found" in kernel.run("%coder").stdout
    assert kernel.run("%%coder\nhello").error.startswith("UsageError") or kernel.run("%%coder\nhello").status == "error"
    kernel.run("import coder_nb; coder_nb.unload_ipython_extension(get_ipython())")
    assert kernel.run(count).stdout == without


def test_a_prompt_runs_in_a_subshell_while_the_main_shell_is_busy(kernel: Any) -> None:
    result = kernel.run(
        "import threading\n"
        "said = []\n"
        "worker = threading.Thread(target=lambda: said.append(cnb.session('.').run('hello', display=False).text))\n"
        "worker.start(); worker.join(30); print(said)"
    )
    assert result.stdout == "['You said: hello']\n"


def assert_only_the_caller_is_shown(traceback: str) -> None:
    assert "coder_nb/" not in traceback
    assert "asyncio" not in traceback
    assert traceback.endswith("was interrupted: prompt again to go on.")


def _interrupt_once(kernel: Any) -> Any:
    sent = threading.Event()

    def on_output(kind: str) -> None:
        if kind == "display_data" and not sent.is_set():
            sent.set()
            kernel.manager.interrupt_kernel()

    return on_output


def test_a_session_that_is_not_found_is_not_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def session(path: str) -> NoReturn:
        asked.append(path)
        raise BadPath

    monkeypatch.setattr("coder_nb.door.session", session)
    magics = CoderMagics(None)
    for line in ("--session /absent", ""):
        with pytest.raises(BadPath):
            magics.begin(line, "hello")
    assert asked == ["/absent", "."]
