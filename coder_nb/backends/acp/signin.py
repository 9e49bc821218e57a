"""What a user does to log an agent in, said from what the agent offers; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coder_nb.backends.registry import AgentSpec


def methods_of(hello: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The ways to log in that the answer to `initialize` offers, those that are well formed."""
    found = hello.get("authMethods")
    return [m for m in found if isinstance(m, dict) and m.get("id")] if isinstance(found, list) else []


def by_variables(methods: Sequence[Mapping[str, Any]], env: Mapping[str, str]) -> str | None:
    """The method that needs nothing but variables which the agent's process has; None where there is none.

    All others may open a browser or ask in a terminal: these are the user's to begin.
    """
    for method in methods:
        names = _variables(method)
        if names and all(env.get(name) for name in names):
            return str(method["id"])
    return None


def cure(spec: AgentSpec, methods: Sequence[Mapping[str, Any]]) -> str:
    """What to do, as a sentence's end: the entry's own words, else what the agent says of its ways."""
    if spec.login:
        return spec.login
    return " or ".join(_way(spec, method) for method in methods) or "log in with its own program in a terminal"


def _way(spec: AgentSpec, method: Mapping[str, Any]) -> str:
    if names := _variables(method):
        return f"set {' and '.join(names)} where Jupyter starts"
    if method.get("type") == "terminal":
        words = [spec.argv[0], *map(str, method.get("args") or ())]
        return f"run `{' '.join(words)}` in a terminal"
    return str(method.get("description") or method.get("name") or method["id"])


def _variables(method: Mapping[str, Any]) -> list[str]:
    if method.get("type") != "env_var":
        return []
    found = method.get("vars")
    listed = found if isinstance(found, list) else []
    return [str(one["name"]) for one in listed if isinstance(one, dict) and one.get("name") and not one.get("optional")]


def text(spec: AgentSpec, methods: Sequence[Mapping[str, Any]]) -> str:
    """The whole sentence of the error."""
    names = [str(method.get("name") or method["id"]) for method in methods]
    ways = f" It offers: {', '.join(names)}." if names else ""
    return f"{spec.label} is not logged in.{ways} To use it here, {cure(spec, methods)}, then prompt again."
