"""Permission modes, what each of them answers by itself, and who is asked otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from coder_nb.core.entries import PermissionOption, ToolKind
from coder_nb.errors import InvalidOption

PermissionMode = Literal["ask", "accept_edits", "plan", "bypass"]
MODES: tuple[PermissionMode, ...] = ("plan", "ask", "accept_edits", "bypass")
"""From the most careful to the least."""

Answerer = Literal["callback", "browser", "stdin"]
BROWSER_SEEN_MS = 30_000
"""How long after its last sign of life a browser counts as present."""

_READS: frozenset[ToolKind] = frozenset({"read", "search", "think", "fetch"})
EDITS: frozenset[ToolKind] = frozenset({"edit", "delete", "move"})
"""What changes files."""


def check(mode: str | None) -> None:
    """Raises `InvalidOption` for what is no mode; None is the default one."""
    if mode is not None and mode not in MODES:
        raise InvalidOption(f"There is no mode {mode!r}: choose one of {', '.join(MODES)}.")


def clamp(mode: PermissionMode, most: PermissionMode) -> PermissionMode:
    """The mode asked for, or the administrator's limit where that is more careful."""
    return MODES[min(MODES.index(mode), MODES.index(most))]


def decide(mode: PermissionMode, kind: ToolKind) -> Literal["allow", "deny", "ask"]:
    """What a mode answers to a tool call of a kind, without asking anyone; to an edit: of the agent's own files."""
    if mode == "bypass":
        return "allow"
    if mode == "plan":
        return "allow" if kind in _READS else "deny"
    if mode == "accept_edits" and kind in EDITS | _READS:
        return "allow"
    return "ask"


def answerer(*, browser_seen_ms: int | None, callback: bool, stdin: bool) -> Answerer | None:
    """Who is asked: the caller's own callback, a browser seen in the last 30 s, or the terminal; None if nobody."""
    if callback:
        return "callback"
    if browser_seen_ms is not None and browser_seen_ms <= BROWSER_SEEN_MS:
        return "browser"
    return "stdin" if stdin else None


def for_now(options: Iterable[PermissionOption]) -> tuple[PermissionOption, ...]:
    """The agent's options without those that hold for good, where the same can be said for this once.

    An agent that is told "always" keeps it in its own way, where nobody can list or revoke it: rules are ours.
    """
    given = tuple(options)
    once = {option.kind.removesuffix("_once") for option in given if option.kind.endswith("_once")}
    return tuple(o for o in given if not (o.kind.endswith("_always") and o.kind.removesuffix("_always") in once))


def option_for(options: Iterable[PermissionOption], *, allow: bool, always: bool = False) -> PermissionOption | None:
    """The agent's option that means this answer: the narrow one unless `always`; None where it offers none."""
    word = "allow" if allow else "reject"
    order = (f"{word}_always", f"{word}_once") if always else (f"{word}_once", f"{word}_always")
    found = {option.kind: option for option in reversed(list(options))}
    return next((found[kind] for kind in order if kind in found), None)
