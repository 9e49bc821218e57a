"""What is found out of an agent without using it, which touches nothing of the user's, and what its process sees."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import Opening
from coder_nb.backends.opencode.backend import OpencodeBackend
from coder_nb.backends.processes import Child, Spawner
from coder_nb.backends.program import Programs
from coder_nb.backends.registry import KNOWN, AgentMode, AgentSpec, registry
from coder_nb.errors import AgentFailed, CoderError
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.warm.process import Keeper

pytestmark = pytest.mark.anyio


@pytest.fixture
async def keeper() -> AsyncIterator[Keeper]:
    made = Keeper(new_id())
    yield made
    await made.close(1.0)


def a_program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything under a folder: what it holds and when it was written."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


@pytest.fixture
def place(tmp_path: Path, keeper: Keeper) -> Callable[..., Programs]:
    """Makes what asks for programs, in a home that is watched."""
    (tmp_path / "home").mkdir()

    def make(**environ: str) -> Programs:
        env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path / "home"), **environ}
        return Programs(Settings(), keeper, env)

    return make


NOSY = 'mkdir -p "$HOME/.config" "$HOME/.codex"; echo mine > "$HOME/.config/log"; echo "agent 2.3.4"'
"""A program that writes into its home when it is asked for its version, as several do."""


async def test_one_that_is_absent_says_how_it_is_installed(place: Callable[..., Programs]) -> None:
    probe = await place().probe(registry()["goose"])
    assert (probe.available, probe.reason) == (False, "there is no program 'goose'.")
    assert "npm install -g @aaif/goose" in probe.cure


async def test_one_that_is_too_old_says_so_first(place: Callable[..., Programs], tmp_path: Path) -> None:
    a_program(tmp_path / "bin", "goose", "echo goose 1.2.3")
    probe = await place().probe(registry()["goose"])
    assert (probe.available, probe.version, probe.logged_in) == (False, "1.2.3", None)
    assert probe.cure.startswith("Upgrade it to")


async def test_one_that_is_not_logged_in_says_what_to_do(place: Callable[..., Programs], tmp_path: Path) -> None:
    a_program(tmp_path / "bin", "gemini", "echo 0.61.0")
    probe = await place().probe(registry()["gemini"])
    assert (probe.available, probe.logged_in, probe.version) == (False, False, "0.61.0")
    assert (probe.reason, probe.cure) == (
        "it is not logged in.",
        "Run `gemini` in a terminal and log in, or set GEMINI_API_KEY.",
    )


@pytest.mark.parametrize("spec", [spec for spec in KNOWN if spec.login_files], ids=lambda spec: spec.name)
async def test_each_sign_of_a_login_counts(
    place: Callable[..., Programs], tmp_path: Path, spec: AgentSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert place().logged_in(spec) is False
    for variable in spec.login_variables:
        assert place(**{variable: "k"}).logged_in(spec) is True, variable
    own = registry({spec.name: {"env": {spec.login_variables[0]: "k"}}})[spec.name]
    assert place().logged_in(own) is True, "one that the setting gives counts too"
    for number, sign in enumerate(spec.login_files):
        name, _, word = sign.partition("#")
        variables = {}
        if name.startswith("$"):
            variable, _, name = name[1:].partition("/")
            variables = {variable: str(tmp_path / f"elsewhere{number}")}
            file = tmp_path / f"elsewhere{number}" / name
        else:
            file = tmp_path / "home" / name.removeprefix("~/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("nothing of it")
        assert place(**variables).logged_in(spec) is (not word)
        file.write_text(f"so {word} it is")
        assert place(**variables).logged_in(spec) is True, sign
        file.unlink()


async def test_nobody_can_tell_of_one_without_signs_and_where_a_keychain_may_hold_it(
    place: Callable[..., Programs], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place().logged_in(registry()["opencode"]) is None
    monkeypatch.setattr("sys.platform", "darwin")
    assert place().logged_in(registry()["codex"]) is None


@pytest.mark.parametrize("name", [spec.name for spec in KNOWN if spec.argv])
async def test_asking_leaves_the_home_as_it_was(place: Callable[..., Programs], tmp_path: Path, name: str) -> None:
    spec = registry({name: {"enabled": True}})[name]
    home = tmp_path / "home"
    (home / ".codex").mkdir()
    (home / ".codex" / "auth.json").write_text("{}")
    a_program(tmp_path / "bin", spec.argv[0], NOSY)
    variables = {variable: str(home / ".config") for variable in ("XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR")}
    before = seen(home)
    probe = await place(**variables).probe(spec)
    assert probe.version == ("2.3.4" if spec.probe else None)
    assert seen(home) == before


async def test_a_program_that_tells_no_version_is_known_by_its_package(
    place: Callable[..., Programs], tmp_path: Path
) -> None:
    package = tmp_path / "node_modules" / "codex-acp"
    a_program(package.parent, "unused", "")
    package.mkdir()
    (package / "package.json").write_text('{"version": "0.16.0"}')
    a_program(package / "bin", "codex-acp.js", "exit 2")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "codex-acp").symlink_to(package / "bin" / "codex-acp.js")
    assert (await place(OPENAI_API_KEY="k").probe(registry()["codex"])).version == "0.16.0"


# What a process sees --------------------------------------------------------------------------------------------------

CANARIES = {
    name: f"kept from them: {name}"
    for name in (
        *("JUPYTER_TOKEN", "JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN", "CODER_NB_DATABASE", "PGPASSWORD", "DATABASE_URL"),
        *("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "KUBECONFIG", "MY_SECRET", "VAULT_TOKEN"),
        *("NPM_TOKEN", "HF_TOKEN", "SLACK_TOKEN", "LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS"),
    )
}
PASSING = {"HTTPS_PROXY": "http://proxy", "no_proxy": "localhost", "SSL_CERT_FILE": "/c", "NODE_EXTRA_CA_CERTS": "/c"}


class Watching:
    """A spawner that starts nothing and keeps the environments that it was given."""

    def __init__(self) -> None:
        self.given: list[dict[str, str]] = []

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        self.given.append(dict(env))
        raise AgentFailed("It is enough to have seen what it would get.")


OPENED: dict[str, Callable[..., Any]] = {"acp": AcpBackend, "opencode": OpencodeBackend}


@pytest.mark.parametrize("name", [spec.name for spec in KNOWN if spec.backend in OPENED] + ["opencode over ACP"])
@pytest.mark.parametrize("mode", ["ask", "bypass"])
async def test_no_canary_reaches_any_agent_and_what_is_named_does(tmp_path: Path, name: str, mode: Any) -> None:
    agent = name.split()[0]
    fields: dict[str, Any] = {"enabled": True, "env": {"OWN": "entry"}}
    if " " in name:
        fields["backend"] = "acp"
    settings = Settings(agents={agent: fields}, agent_variables=("MY_OWN", "JUPYTER_TOKEN"), start_tries=1)
    spec = registry(settings.agents)[agent]
    a_program(tmp_path / "bin", spec.argv[0], "exit 1")
    keys = {variable.replace("*", "X"): f"key {variable}" for variable in spec.variables}
    environ = {**CANARIES, **PASSING, **keys, "MY_OWN": "mine", "HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    watching: Any = Watching()
    spawner: Spawner = watching
    backend = OPENED[spec.backend](settings, {agent: spec}, spawner, environ=environ)
    opening = Opening(agent=agent, chat_id="c", cwd=tmp_path, mode=mode, env={"PYTHON_OF_THE_TREE": "1", "OWN": "tree"})
    with pytest.raises(CoderError):
        await backend.open(opening, idle_events=lambda event: None)
    (got,) = watching.given
    assert [value for value in got.values() if "kept from them" in value] == []
    assert got.items() >= {**PASSING, **keys, "MY_OWN": "mine", "OWN": "entry"}.items()
    if spec.backend == "acp":  # a server is shared by all directories
        assert got["PYTHON_OF_THE_TREE"] == "1"
    modes = spec.modes.get(mode, AgentMode())
    ours = {"OWN", "VIRTUAL_ENV", "PYTHON_OF_THE_TREE", "MY_OWN", *spec.env, *modes.env, *modes.config}
    server = {"OPENCODE_SERVER_PASSWORD", "OPENCODE_SERVER_USERNAME"} if spec.backend == "opencode" else set()
    assert set(got) <= {"PATH", "HOME", *PASSING, *keys, *ours, *server}


@pytest.mark.parametrize("spec", KNOWN, ids=lambda spec: spec.name)
async def test_the_environment_that_every_backend_begins_with_has_no_canary(
    place: Callable[..., Programs], spec: AgentSpec
) -> None:
    for mode in spec.modes.values() or (AgentMode(),):
        got = place(**CANARIES, **PASSING).environment(spec, mode, {"OF_THE_TREE": "1"})
        assert [value for value in got.values() if "kept from them" in value] == []
        assert got.items() >= {**PASSING, "OF_THE_TREE": "1"}.items()
