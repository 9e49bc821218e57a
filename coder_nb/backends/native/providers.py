"""Whose models the native agent can use, and what each needs: pure, so that a probe loads no LLM library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from coder_nb.errors import AgentNotLoggedIn, InvalidOption


class Provider(NamedTuple):
    """Where the user's variables say what about a provider."""

    keys: tuple[str, ...]
    url: str
    """The variable that points to another endpoint."""
    named: tuple[str, ...]
    """The variables that name a model."""
    model: str
    """The model where none is named; empty where there is no obvious one."""


PROVIDERS: dict[str, Provider] = {
    "anthropic": Provider(("ANTHROPIC_API_KEY",), "ANTHROPIC_BASE_URL", ("ANTHROPIC_MODEL",), "claude-sonnet-5-5"),
    "openai": Provider(("OPENAI_API_KEY",), "OPENAI_BASE_URL", ("OPENAI_MODEL",), "gpt-5.6-terra"),
    "google": Provider(
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "GOOGLE_GEMINI_BASE_URL", ("GEMINI_MODEL",), "gemini-3.8-flash"
    ),
    "openrouter": Provider(("OPENROUTER_API_KEY",), "", ("OPENROUTER_MODEL",), ""),
    "deepseek": Provider(("DEEPSEEK_API_KEY",), "", ("DEEPSEEK_MODEL",), ""),
}
"""In the order in which they are looked for where no model is named."""
_WIRES = {"openai-chat": "openai", "openai-responses": "openai"}
_NO_KEY = "none"
"""What an endpoint of the user's own gets, which mostly wants none."""


class Target(NamedTuple):
    """A model, and the way to it."""

    provider: str
    model: str
    key: str
    url: str | None
    wire: str
    """The protocol, as the LLM library names it."""

    @property
    def name(self) -> str:
        """The model with its provider, as it is set and priced."""
        return f"{self.provider}/{self.model}"


def target(env: Mapping[str, str], *, model: str, base_url: str, agent: str) -> Target:
    """The model of a setting or a prompt, or where it is empty, the first one that there is a key for.

    Raises `AgentNotLoggedIn` or `InvalidOption`, with what to set.
    """
    prefix, _, name = model.strip().partition("/")
    if not name and prefix and prefix not in PROVIDERS:  # only a model's name
        prefix, name = ("openai" if base_url else _first_with_key(env, agent)), prefix
    provider = _WIRES.get(prefix, prefix) or ("openai" if base_url else _first_with_key(env, agent))
    found = PROVIDERS.get(provider)
    if found is None:
        raise InvalidOption(
            f"{agent} knows no provider {prefix!r} (of the model {model!r}): choose one of {', '.join(PROVIDERS)}; "
            "any OpenAI-compatible endpoint is `openai/<model>` with a `base_url` in the setting `agents`."
        )
    url = base_url or env.get(found.url) or None
    key = next((env[variable] for variable in found.keys if env.get(variable)), "")
    if not key and not url:
        raise AgentNotLoggedIn(
            f"{agent} has no key for {provider}: set {' or '.join(found.keys)} where Jupyter starts."
        )
    name = name or next((env[variable] for variable in found.named if env.get(variable)), "") or found.model
    if not name or (url and not model and name == found.model):
        raise InvalidOption(
            f"{agent} does not know which model to ask {url or provider} for: set {found.named[0]}, "
            f'or `agents`: {{"{agent}": {{"model": "{provider}/<model>"}}}}.'
        )
    return Target(provider, name, key or _NO_KEY, url, _wire(prefix, provider, url))


def _wire(prefix: str, provider: str, url: str | None) -> str:
    """OpenAI's own models show and keep their reasoning over its newer protocol; others speak the older one."""
    if provider != "openai" or prefix in _WIRES:
        return prefix if prefix in _WIRES else provider
    return "openai-chat" if url else "openai-responses"


def _first_with_key(env: Mapping[str, str], agent: str) -> str:
    for name, provider in PROVIDERS.items():
        if any(env.get(variable) for variable in (*provider.keys, *filter(None, (provider.url,)))):
            return name
    keys = ", ".join(provider.keys[0] for provider in PROVIDERS.values())
    raise AgentNotLoggedIn(
        f"{agent} has no key: set one of {keys} where Jupyter starts; for a model on your own machine set "
        f'`agents`: {{"{agent}": {{"model": "openai/<model>", "base_url": "http://127.0.0.1:11434/v1"}}}}.'
    )
