"""What the native agent is told of its task: our own few words, and the project's rules."""

from __future__ import annotations

from pathlib import Path

from coder_nb.core.permissions import PermissionMode

RULES = "AGENTS.md"
RULES_LIMIT = 32_000
"""Characters of each file of rules that are read."""

_TASK = """\
You are a coding agent in a Jupyter environment. You work with your tools in the directory {cwd}, a copy of the user's \
repository made for you; nothing you do there reaches the user's own files until they have looked at your changes and \
accepted them.

Look before you change: search and read what a change touches, and follow the code's own style. Change what was asked \
for and no more. Check what you did, by running the project's tests where there are any. When a command or an edit is \
refused by the user, do not try to reach the same by another way. Do not commit, push or change git's configuration \
unless you are asked to. For work of several steps keep a plan with the tool `plan`. When only the user can decide \
something, ask with the tool `ask_user`; otherwise go on by yourself.

Answer briefly, in Markdown, and say what you changed and what you could not check.\
"""
_PLAN_ONLY = "You may only read now: edits and commands are refused. Answer with a plan of what you would do."


def instructions(cwd: Path, root: Path, mode: PermissionMode) -> str:
    """The whole of it, for a directory in a worktree; the rules closer to the directory come last."""
    parts = [_TASK.format(cwd=cwd)]
    if mode == "plan":
        parts.append(_PLAN_ONLY)
    for folder in dict.fromkeys((root, cwd)):
        rules = _read(folder / RULES, root)
        if rules:
            parts.append(f"The project's rules, from {(folder / RULES).relative_to(root)}:\n\n{rules}")
    return "\n\n".join(parts)


def _read(path: Path, root: Path) -> str:
    """A file of rules; empty where there is none, or where it leads out of the worktree."""
    try:
        if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(RULES_LIMIT).strip()
    except OSError:
        return ""
