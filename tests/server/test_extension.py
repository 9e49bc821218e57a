"""The extension's life: it starts with the server, never stops it, and leaves nothing when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import coder_nb
from coder_nb.core.verbs import Verbs
from coder_nb.errors import Conflict, InvalidOption, StoreLocked
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from jupyter_extension import hosted
from jupyter_extension.app import CoderExtension
from jupyter_extension.connection import VARIABLE
from jupyter_extension.traits import settings_from


async def test_the_connection_file_tells_kernels_of_this_server_and_nobody_else(server: Any, jp_base_url: str) -> None:
    await server.extension.ready.wait()
    path = server.extension.connection_file
    assert os.environ[VARIABLE] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = json.loads(path.read_text())
    assert set(said) == {"url", "token", "pid", "runtime_id", "certificate", "protocol", "version"}
    assert said["url"] == f"http://localhost:{server.app.port}{jp_base_url}"
    assert (said["token"], said["pid"], said["runtime_id"]) == (server.extension.token, os.getpid(), "memory")


async def test_the_tokens_are_different_and_long(server: Any) -> None:
    assert len(server.extension.token) >= 43
    assert server.extension.token != server.app.identity_provider.token
    assert server.extension.token not in os.environ.values()


async def test_stopping_closes_the_runtime_and_removes_the_file_however_often(server: Any, runtime: Any) -> None:
    await server.extension.ready.wait()
    path = server.extension.connection_file
    ours = server.extension.hosted._thread
    assert ours.is_alive()
    await asyncio.gather(server.extension.stop_extension(), server.extension.stop_extension())
    await server.extension.stop_extension()
    assert runtime.closed
    assert not path.exists()
    assert VARIABLE not in os.environ
    assert not ours.is_alive()
    reply = await server.ask("GET", "sessions")
    assert (reply.status, reply.body["code"]) == (503, "connection_lost")


async def test_a_request_that_the_stop_cuts_off_is_answered(server: Any, runtime: Any) -> None:
    await server.extension.ready.wait()
    runtime.hangs = threading.Event()
    asking = asyncio.ensure_future(server.ask("GET", "sessions"))
    await asyncio.to_thread(runtime.hangs.wait, 10)
    await server.extension.stop_extension()
    reply = await asking
    assert (reply.status, reply.body["code"]) == (503, "connection_lost")


async def test_while_the_runtime_drains_it_answers_for_itself(
    server: Any, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def drain() -> None:
        begun.set()
        await asyncio.to_thread(go_on.wait, 30)

    monkeypatch.setattr(runtime, "close", drain)
    await server.extension.ready.wait()
    stopping = asyncio.create_task(server.extension.stop_extension())
    assert await asyncio.to_thread(begun.wait, 30)
    assert (await server.ask("GET", "sessions")).status == 200
    runtime.fails = Conflict("The server is stopping.")
    path = f"chats/{runtime.chat.id}/prompts"
    assert (await server.ask("POST", path, {"id": new_id(), "text": "hi"})).body["message"] == "The server is stopping."
    go_on.set()
    await stopping
    assert (await server.ask("GET", "sessions")).body["code"] == "connection_lost"


async def test_a_server_that_was_never_started_says_so(jp_serverapp: Any, jp_fetch: Any) -> None:
    reply = await jp_fetch("coder-nb/api/v1/sessions", raise_error=False)
    assert (reply.code, json.loads(reply.body)["code"]) == (503, "connection_lost")
    health = json.loads((await jp_fetch("coder-nb/api/v1/health")).body)
    assert health["status"] == "degraded"


async def test_requests_wait_for_a_runtime_that_is_opening(server: Any) -> None:
    assert (await server.ask("GET", "sessions")).status == 200


async def test_busy_chats_count_as_activity(server: Any, runtime: Any) -> None:
    await server.extension.ready.wait()
    assert server.extension.current_activity() is None
    runtime.turns_running = 2
    before = server.app.web_app.last_activity()
    server.extension.note(await server.extension.hosted.health())
    assert server.extension.current_activity() == {"turns": 2}
    assert server.app.extension_manager.any_activity()
    assert server.app.web_app.last_activity() > before


async def test_a_server_at_work_is_not_shut_down_as_idle(
    server: Any, runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.extension.ready.wait()
    stopped: list[str] = []
    app, settings = server.app, server.app.web_app.settings
    monkeypatch.setattr(app, "stop", lambda: stopped.append("stopped"))
    app.shutdown_no_activity_timeout = 60
    hours_ago = datetime.now(UTC) - timedelta(hours=3)
    settings.update({name: hours_ago for name in settings if name == "started" or name.endswith("_last_activity")})
    monkeypatch.setattr(app.kernel_manager, "last_kernel_activity", hours_ago)
    runtime.turns_running = 1
    server.extension.note(await server.extension.hosted.health())
    app.shutdown_no_activity()
    assert stopped == []
    status = (await server.ask("GET", "api/status", at="")).body
    assert datetime.now(UTC) - datetime.fromisoformat(status["last_activity"]) < timedelta(hours=1)

    runtime.turns_running = 0
    server.extension.note(await server.extension.hosted.health())
    app.shutdown_no_activity()
    assert stopped == []  # it was at work a moment ago
    settings.update(dict.fromkeys(("coder_nb_last_activity", "api_last_activity"), hours_ago))
    app.shutdown_no_activity()
    assert stopped == ["stopped"]


async def test_looking_is_no_activity_and_prompting_is(server: Any, runtime: Any) -> None:
    before = server.app.web_app.last_activity()
    await server.ask("GET", "sessions")
    assert server.app.web_app.last_activity() == before
    await server.ask("POST", f"chats/{runtime.chat.id}/prompts", {"id": new_id(), "text": "hi"})
    assert server.app.web_app.last_activity() > before


class TestFrontEnd:
    """The bundle, at the address by which widgets import it."""

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "coder.js").write_text("export default 1")
        return jp_server_config | {"CoderExtension": {"static_paths": [str(tmp_path)]}}

    async def test_it_is_served_under_the_extensions_name(self, server: Any) -> None:
        reply = await server.ask("GET", "static/jupyter_extension/coder.js", at="")
        assert (reply.status, reply.body) == (200, b"export default 1")
        assert reply.headers["Content-Type"].endswith("javascript")


def test_the_front_end_lies_in_the_package() -> None:
    [path] = CoderExtension().static_paths
    assert path == str(Path(coder_nb.__file__).parent / "static")


class TestARuntimeThatCannotOpen:
    """It must not stop the server, and the cure must work without a restart."""

    @pytest.fixture
    def attempts(self) -> list[Exception | None]:
        return [StoreLocked()]

    @pytest.fixture
    def opening(self, runtime: Any, attempts: list[Exception | None]) -> Callable[[], Verbs]:
        def attempt() -> Verbs:
            error = attempts[0]
            if error is not None:
                raise error
            return runtime  # type: ignore[no-any-return]

        return attempt

    async def test_health_says_degraded_with_the_cause(self, server: Any) -> None:
        reply = await server.ask("GET", "health")
        assert reply.status == 200
        assert (reply.body["status"], reply.body["detail"]) == ("degraded", StoreLocked().message)
        assert reply.body["runtime_id"] == ""

    async def test_every_route_answers_with_the_cause(self, server: Any, runtime: Any) -> None:
        for path in ("sessions", "agents", f"chats/{new_id()}", f"chats/{new_id()}/stream"):
            reply = await server.ask("GET", path)
            assert (reply.status, reply.body) == (503, {"code": "store_locked", "message": StoreLocked().message})

    async def test_kernels_are_told_where_to_hear_of_it(self, server: Any) -> None:
        await server.extension.ready.wait()
        assert json.loads(server.extension.connection_file.read_text())["runtime_id"] == ""

    async def test_the_next_request_after_the_cure_finds_it_open(
        self, server: Any, attempts: list[Exception | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert (await server.ask("GET", "sessions")).status == 503
        attempts[0] = None
        monkeypatch.setattr(hosted, "RETRY", 0.0)
        assert (await server.ask("GET", "sessions")).status == 200

    async def test_it_is_not_tried_again_at_every_request(self, server: Any, attempts: list[Exception | None]) -> None:
        assert (await server.ask("GET", "sessions")).status == 503
        attempts[0] = None
        assert (await server.ask("GET", "sessions")).status == 503

    async def test_a_cause_that_nobody_foresaw_is_in_the_log(
        self, server: Any, attempts: list[Exception | None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hosted, "RETRY", 0.0)
        attempts[0] = ImportError("no module named x in /home/alice")
        reply = await server.ask("GET", "sessions")
        assert (reply.status, reply.body["code"]) == (503, "error")
        assert "alice" not in reply.body["message"]

    async def test_a_server_that_stops_while_it_opens_stops(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        begun = threading.Event()

        async def hang() -> None:
            begun.set()
            await asyncio.Event().wait()

        await server.extension.ready.wait()
        monkeypatch.setattr(hosted, "RETRY", 0.0)
        monkeypatch.setattr(server.extension.hosted, "_opening", hang)
        asking = asyncio.ensure_future(server.ask("GET", "sessions"))
        await asyncio.to_thread(begun.wait, 10)
        await server.extension.stop_extension()
        reply = await asking
        assert (reply.status, reply.body["code"]) == (503, "connection_lost")

    async def test_the_server_stops_as_ever(self, server: Any) -> None:
        await server.extension.stop_extension()
        assert not server.extension.connection_file.exists()


class TestSettings:
    """From the configuration, then the environment, then the defaults."""

    @pytest.fixture
    def jp_argv(self) -> list[str]:
        agents = '{"scripted": {"argv": ["python"], "installed": true}}'
        return [f"--CoderExtension.agents={agents}", "--CoderExtension.max_live=3"]

    @pytest.fixture
    def jp_server_config(self, jp_server_config: dict[str, Any]) -> dict[str, Any]:
        return jp_server_config | {"CoderExtension": {"copy_ignored": ["data"], "permission_mode": "plan"}}

    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CODER_NB_MAX_LIVE", "7")
        monkeypatch.setenv("CODER_NB_MAX_RUNNING", "8")
        monkeypatch.setenv("CODER_NB_PROMPT_LIMIT", "1000")
        monkeypatch.setenv("CODER_NB_ATTACHMENT_LIMIT", "1000")

    async def test_what_is_configured_wins_over_the_environment(self, server: Any) -> None:
        assert settings_from(server.extension) == Settings(
            agents={"scripted": {"argv": ["python"], "installed": True}},
            copy_ignored=("data",),
            permission_mode="plan",
            max_live=3,
            max_running=8,
            prompt_limit=1000,
            attachment_limit=1000,
        )

    async def test_the_limit_of_bodies_follows_the_limits_of_prompts_and_their_files(
        self, server: Any, runtime: Any
    ) -> None:
        reply = await server.ask("POST", f"chats/{runtime.chat.id}/prompts", b" " * 80_000)
        assert reply.status == 413


async def test_a_setting_that_is_not_understood_is_named(server: Any) -> None:
    server.extension.config.CoderExtension.agents = {"mine": 3}
    server.extension.agents = {"mine": 3}
    with pytest.raises(InvalidOption, match=r"CoderExtension\.agents"):
        settings_from(server.extension)
    assert server.extension.body_limit() == 6 * Settings().prompt_limit + 2 * Settings().attachment_limit + 65_536


def test_every_setting_is_a_trait_with_its_help() -> None:
    traits = CoderExtension.class_traits(config=True)
    for name in Settings.__struct_fields__:
        assert traits[name].help.endswith("."), name
    defaults = Settings()
    assert {name: traits[name].default() for name in ("max_live", "database", "replay_pace")} == {
        "max_live": defaults.max_live,
        "database": defaults.database,
        "replay_pace": defaults.replay_pace,
    }
