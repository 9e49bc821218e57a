"""What changes in the user's checkout while an agent has a turn in its worktree: it is noticed and told (law 14)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from coder_nb.backends.events import Noticed
from coder_nb.worktrees.outside import Seen, difference
from coder_nb.worktrees.state import WorktreeState
from coder_nb.worktrees.worktrees import Worktrees

_LISTED = 8


class Watch:
    """Looks at the checkout when a turn begins and when it ends, and leaves out what we wrote there in between."""

    def __init__(self, worktrees: Worktrees) -> None:
        self._worktrees = worktrees
        self._before: Seen | None = None
        self._changed: set[str] = set()

    async def begin(self, state: WorktreeState) -> None:
        self._changed = set()
        self._before = None if state.isolation == "none" else await self._worktrees.look_outside(state)

    @asynccontextmanager
    async def ours(self, state: WorktreeState) -> AsyncIterator[None]:
        """What is written to the checkout within is the user's doing, and not that of an agent that is at work."""
        if self._before is not None:
            self._changed |= set(difference(self._before, await self._worktrees.look_outside(state)))
        try:
            yield
        finally:
            if self._before is not None:
                self._before = await self._worktrees.look_outside(state)

    async def end(self, state: WorktreeState, notebook: str | None, acted_on: str) -> list[Noticed]:
        """What to say about it. The notebook from which the prompt came saves itself, and does not count.

        `acted_on` is the text of the turn's tool calls that may write: files that it names are told to be the agent's.
        """
        if self._before is None:
            return []
        changed = self._changed | set(difference(self._before, await self._worktrees.look_outside(state)))
        self._before = None
        root = state.repository
        return notices([path for path in sorted(changed) if notebook != f"{root}/{path}"], root, acted_on)


def notices(changed: Sequence[str], root: str, acted_on: str) -> list[Noticed]:
    """Whose a change is cannot be known: it is the agent's where its own calls name the file, and else perhaps."""
    files = [path for path in changed if ".ipynb_checkpoints/" not in path]
    agents = [path for path in files if os.path.join(root, path) in acted_on]
    others = [path for path in files if path not in agents]
    found: list[Noticed] = []
    if agents:
        text = (
            f"The agent wrote outside its worktree, into your checkout: {listed(agents)}. "
            "This is not among its changes: look at it there."
        )
        found.append(Noticed(text=text, code="outside", level="warning"))
    if others:
        text = (
            f"While the agent worked, this changed in your checkout: {listed(others)}. "
            "If it was neither you nor a program of yours, the agent wrote outside its worktree."
        )
        found.append(Noticed(text=text, code="outside"))
    return found


def listed(paths: Sequence[str]) -> str:
    """Some paths for a sentence, the first few of many."""
    return ", ".join(paths[:_LISTED]) + (" ..." if len(paths) > _LISTED else "")
