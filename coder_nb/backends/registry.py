"""The agents that are known, as data, and how a user's setting adds to them or changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from coder_nb.core.entries import Value
from coder_nb.core.permissions import PermissionMode
from coder_nb.errors import InvalidOption


class AgentMode(Value, forbid_unknown_fields=True):
    """How an agent is put into one of our permission modes."""

    id: str = ""
    """The agent's own mode, set in each session; empty where it is left as it is."""
    env: dict[str, str] = {}
    """Variables that its process gets; a mode with other variables needs another process."""
    config: dict[str, dict[str, Any]] = {}
    """Variables that hold JSON, into whose user's value this is merged, ours winning."""


class AgentSpec(Value, forbid_unknown_fields=True):
    """What is known of an agent before it is started."""

    name: str
    label: str = ""
    backend: str = "acp"
    argv: tuple[str, ...] = ()
    env: dict[str, str] = {}
    """Variables that are set for it."""
    model: str = ""
    """For the backend ``native``: the model where none is asked for, as ``provider/name``."""
    base_url: str = ""
    """For the backend ``native``: the endpoint of that model, where it is not the provider's own."""
    variables: tuple[str, ...] = ()
    """Names of the user's variables that it may see, such as its keys; ``NAME_*`` for all that begin so."""
    modes: dict[PermissionMode, AgentMode] = {}
    """Our permission modes; one that is not listed leaves the agent as it starts, but `plan`, which is refused then.

    In `accept_edits` an agent is made to ask, and the runtime answers: it knows which files are the agent's own.
    """
    icon: str = ""
    install: str = ""
    """The command that installs it."""
    login: str = ""
    """What to do to log in."""
    login_variables: tuple[str, ...] = ()
    """Variables of which one is enough to be logged in."""
    login_files: tuple[str, ...] = ()
    """Files of which one is enough: ``~/file``, ``$VARIABLE/file``, or ``file#word`` for one that holds a word.

    Without files and variables nobody can tell before it is prompted."""
    min_version: str = ""
    probe: tuple[str, ...] = ("--version",)
    """The arguments that make the program tell its version; without any, its package tells."""
    files: bool = True
    """For ACP: whether its files are read and written through us."""
    terminals: bool = True
    """For ACP: whether its commands are run through us."""
    options: dict[str, str | bool] = {}
    """For ACP: further options of its own that each session is set to, such as how much it thinks."""
    tells_late: bool = False
    """For ACP: whether it goes on telling a history after it has said that the session is loaded."""
    repeats_usage: bool = False
    """Whether it tells the usage of its latest response again where a turn had none, as after a Stop."""
    enabled: bool = True
    tested: bool = True
    """Whether our tests drive the real agent; a user's own is as tested as the user says."""


_KEYS = (
    "OPENAI_*",
    "ANTHROPIC_*",
    "GEMINI_*",
    "GOOGLE_*",
    "OPENROUTER_*",
    "DEEPSEEK_*",
    "GROQ_*",
    "MISTRAL_*",
    "XAI_*",
)
_READS = {name: "allow" for name in ("read", "glob", "grep", "list", "lsp", "todowrite", "todoread", "task", "skill")}
_ASKS = {name: "ask" for name in ("edit", "bash", "webfetch", "websearch", "external_directory", "doom_loop")}
_OPENCODE_ASKS: dict[
    str, dict[str, Any]
] = {  # the user's own rules may say "allow" in any of these places: ours are merged into each
    "OPENCODE_PERMISSION": {"*": "ask", **_READS, **_ASKS},
    "OPENCODE_CONFIG_CONTENT": {
        "permission": {"*": "ask", **_READS, **_ASKS},
        "agent": {
            "build": {"permission": {"*": "ask", **_READS, **_ASKS}},
            "plan": {"permission": {"*": "ask", **_READS, **_ASKS, "edit": "deny"}},
        },
    },
}

KNOWN: tuple[AgentSpec, ...] = (
    AgentSpec(
        name="opencode",
        label="opencode",
        backend="opencode",
        argv=("opencode", "acp"),
        env={"OPENCODE_DISABLE_AUTOUPDATE": "1"},
        variables=("OPENCODE_*", *_KEYS),
        modes={
            "plan": AgentMode(id="plan", config=_OPENCODE_ASKS),
            "ask": AgentMode(id="build", config=_OPENCODE_ASKS),
            "accept_edits": AgentMode(id="build", config=_OPENCODE_ASKS),
            "bypass": AgentMode(id="build", config=_OPENCODE_ASKS),
        },
        install="npm install -g opencode-ai",
        login="run `opencode auth login` in a terminal",
        min_version="1.2.0",
    ),
    AgentSpec(
        name="goose",
        label="goose",
        argv=("goose", "acp"),
        env={"TERM": "dumb"},  # it needs one
        repeats_usage=True,
        variables=("GOOSE_*", "OLLAMA_HOST", "DATABRICKS_*", *_KEYS),
        modes={
            "plan": AgentMode(id="approve"),
            "ask": AgentMode(id="approve"),
            "accept_edits": AgentMode(id="approve"),
            "bypass": AgentMode(id="auto"),
        },
        install="npm install -g @aaif/goose",
        login="run `goose configure` in a terminal",
        login_variables=("GOOSE_PROVIDER",),
        login_files=("$XDG_CONFIG_HOME/goose/config.yaml", "~/.config/goose/config.yaml"),
        min_version="1.20.0",
    ),
    AgentSpec(
        name="qwen",
        label="Qwen Code",
        argv=("qwen", "--acp"),
        variables=("QWEN_*", "DASHSCOPE_*", *_KEYS),
        modes={
            "plan": AgentMode(id="plan"),
            "ask": AgentMode(id="default"),
            "accept_edits": AgentMode(id="default"),
            "bypass": AgentMode(id="yolo"),
        },
        install="npm install -g @qwen-code/qwen-code",
        login="set OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL, or run `qwen` in a terminal and log in",
        login_variables=("OPENAI_API_KEY", "DASHSCOPE_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"),
        login_files=("~/.qwen/oauth_creds.json", "~/.qwen/settings.json#selectedType", "~/.qwen/.env#API_KEY"),
        min_version="0.15.0",
    ),
    AgentSpec(
        name="gemini",
        label="Gemini CLI",
        argv=("gemini", "--acp"),
        files=False,  # it takes the error for a file that is not there yet for a failure (0.61)
        tells_late=True,
        variables=("GEMINI_*", "GOOGLE_*"),
        modes={
            "plan": AgentMode(id="plan"),
            "ask": AgentMode(id="default"),
            "accept_edits": AgentMode(id="default"),
            "bypass": AgentMode(id="yolo"),
        },
        install="npm install -g @google/gemini-cli",
        login="run `gemini` in a terminal and log in, or set GEMINI_API_KEY",
        login_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
        login_files=("~/.gemini/oauth_creds.json", "~/.gemini/settings.json#selectedType", "~/.gemini/.env#API_KEY"),
    ),
    AgentSpec(
        name="codex",
        label="Codex",
        argv=("codex-acp",),
        variables=("CODEX_*", "OPENAI_*"),
        modes={
            "plan": AgentMode(id="read-only"),
            "ask": AgentMode(id="read-only"),
            "accept_edits": AgentMode(id="read-only"),
            "bypass": AgentMode(id="full-access"),
        },
        install="npm install -g @zed-industries/codex-acp",
        login="run `codex login` in a terminal, or set OPENAI_API_KEY",
        login_variables=("OPENAI_API_KEY", "CODEX_API_KEY"),
        login_files=(
            *("$CODEX_HOME/auth.json", "$CODEX_HOME/config.toml#model_provider"),
            *("~/.codex/auth.json", "~/.codex/config.toml#model_provider"),
        ),
        probe=(),
    ),
    AgentSpec(
        name="claude",
        label="Claude",
        backend="claude",
        variables=("ANTHROPIC_*", "CLAUDE_*"),
        install="pip install 'coder-nb[claude]'",
        login="run `claude` in a terminal and log in, or set ANTHROPIC_API_KEY",
        login_variables=(
            *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
            *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        ),
        login_files=("$CLAUDE_CONFIG_DIR/.credentials.json", "~/.claude/.credentials.json"),
        enabled=False,
    ),
    AgentSpec(
        name="claude-acp",
        label="Claude over ACP",
        argv=("claude-agent-acp",),
        variables=("ANTHROPIC_*", "CLAUDE_*"),
        modes={
            "plan": AgentMode(id="plan"),
            "ask": AgentMode(id="default"),
            "accept_edits": AgentMode(id="default"),
            "bypass": AgentMode(id="bypassPermissions"),
        },
        install="npm install -g @agentclientprotocol/claude-agent-acp",
        login="run `claude` in a terminal and log in, or set ANTHROPIC_API_KEY",
        login_variables=(
            *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
            *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        ),
        login_files=("$CLAUDE_CONFIG_DIR/.credentials.json", "~/.claude/.credentials.json"),
        enabled=False,
    ),
    AgentSpec(
        name="native",
        label="Native",
        backend="native",
        variables=_KEYS,
        install="pip install 'coder-nb[native]'",
        login="set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY where Jupyter starts",
    ),
    AgentSpec(name="replay", label="Replay", backend="replay"),
)


def registry(given: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, AgentSpec]:
    """Every agent by name: those that are known, and what `settings.agents` adds or changes.

    ``{"mine": {"argv": ["mine", "--acp"]}}`` is enough to add an ACP agent. Of a known one, `env` and `modes` are
    merged and the other fields replaced. Raises `InvalidOption`, naming agent and field.
    """
    specs = {spec.name: spec for spec in KNOWN}
    for name, fields in (given or {}).items():
        specs[name] = _spec(name, fields, specs.get(name))
    return {name: _complete(spec) for name, spec in specs.items()}


def _spec(name: str, fields: object, known: AgentSpec | None) -> AgentSpec:
    if not isinstance(fields, Mapping):
        raise InvalidOption(f"agents.{name} must be a table of fields, such as {{'argv': ['{name}', '--acp']}}.")
    base: dict[str, Any] = msgspec.to_builtins(known) if known else {}
    merged: dict[str, Any] = {**base, **fields, "name": name}
    for field in ("env", "modes"):
        if isinstance(base.get(field), dict) and isinstance(fields.get(field), Mapping):
            merged[field] = {**base[field], **fields[field]}
    try:
        spec = msgspec.convert(merged, AgentSpec)
    except msgspec.ValidationError as error:
        text = str(error).replace("Object", "it").replace("$", name)
        raise InvalidOption(
            f"The setting agents.{name} is not understood: {text}. Correct or remove that field."
        ) from error
    if spec.backend in ("acp", "opencode") and not spec.argv:
        raise InvalidOption(
            f"The setting agents.{name} has no `argv`: give the command that starts the agent, as a list."
        )
    return spec


def _complete(spec: AgentSpec) -> AgentSpec:
    return msgspec.structs.replace(spec, label=spec.label or spec.name, icon=spec.icon or spec.name)
