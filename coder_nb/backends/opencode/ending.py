"""How a turn ended, by what the session said last; pure."""

from __future__ import annotations

from typing import Any

from coder_nb.backends.events import Done
from coder_nb.backends.opencode.state import State
from coder_nb.backends.opencode.translate import ABORTED, words_of
from coder_nb.backends.registry import AgentSpec
from coder_nb.core.entries import End

_FINISHES: dict[str, End] = {"length": "limited", "content-filter": "refused"}
"""What the model's last word means; any other counts as completed, with that word as the reason."""


def ends_turn(state: State, event: dict[str, Any]) -> bool | None:
    """Whether an event of the session itself ends its turn; None where the server must be asked.

    Only what was said after our prompt was seen counts, and only once its answer is complete: the idle of a turn that
    was stopped before comes late, and twice.
    """
    kind, said = event.get("type"), event.get("properties") or {}
    if kind == "session.error":
        return None
    if kind != "session.idle" or said.get("sessionID") != state.session_id:
        return False
    complete = state.accepted and state.answered
    return True if complete and (state.answer or {}).get("finish") != "tool-calls" else None


def done(state: State, spec: AgentSpec, *, stopping: bool, alive: bool) -> Done:
    """The end of a turn whose session is idle."""
    if stopping:
        return Done(end="cancelled", alive=alive)
    answer = state.answer or {}
    error = answer.get("error") or state.error
    if error:
        return _failure(error, spec, alive=alive)
    if not state.answered:
        said = "did not take the prompt" if not state.accepted else "ended the turn without an answer"
        return Done(end="failed", code="agent_failed", message=f"{spec.label} {said}: prompt again.", alive=alive)
    finish = str(answer.get("finish") or "")
    return Done(end=_FINISHES.get(finish, "completed"), reason=finish, alive=alive)


def _failure(error: dict[str, Any], spec: AgentSpec, *, alive: bool) -> Done:
    name = str(error.get("name") or "")
    if name == ABORTED:  # by somebody else, such as opencode's own window on the same session
        return Done(end="cancelled", reason=name, alive=alive)
    if name == "MessageOutputLengthError":
        return Done(end="limited", reason=name, alive=alive)
    if name == "ProviderAuthError":
        message = f"{spec.label} is not logged in: {words_of(error)}. To use it here, {spec.login}, then prompt again."
        return Done(end="failed", reason=name, code="agent_not_logged_in", message=message, alive=alive)
    message = f"{spec.label} reported an error: {words_of(error)}. Prompt again to retry."
    return Done(end="failed", reason=name, code="agent_failed", message=message, alive=alive)
