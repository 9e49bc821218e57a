"""How a turn has ended, by what Claude says of it; pure."""

from __future__ import annotations

from claude_agent_sdk import ResultMessage

from coder_nb.backends.events import Done
from coder_nb.core.entries import End
from coder_nb.errors import AgentFailed, AgentNotLoggedIn

_LIMITS = ("error_max_turns", "error_max_budget_usd", "error_max_structured_output_retries")
_LOGIN = ("Not logged in", "Invalid API key", "Please run /login", "OAuth token")


def is_own(said: ResultMessage) -> bool:
    """Whether Claude had begun the turn by itself, as a task in the background had ended."""
    return said.origin is not None and said.origin.get("kind") not in (None, "human")


def belongs(said: ResultMessage, uuid: str) -> bool:
    """Whether a result is that of a prompt; one that names none is, as only one prompt is under way."""
    taken = said.user_message_uuids or ([said.user_message_uuid] if said.user_message_uuid else [])
    return uuid in taken if taken else not is_own(said)


def done(said: ResultMessage, *, label: str, login: str, stopping: bool) -> Done:
    """The end that a result stands for."""
    reason = said.terminal_reason or said.subtype
    if stopping or (said.terminal_reason or "").startswith("aborted"):
        return Done(end="cancelled", reason=reason)
    if said.is_error or said.subtype != "success":
        return _failed(said, reason, label, login)
    end: End = {"refusal": "refused", "max_tokens": "limited"}.get(said.stop_reason or "", "completed")  # type: ignore[assignment]  # each is an End
    return Done(end=end, reason=said.stop_reason or reason)


def _failed(said: ResultMessage, reason: str, label: str, login: str) -> Done:
    if said.subtype in _LIMITS:
        text = f"{label} has reached a limit of this turn: prompt again to let it go on."
        return Done(end="limited", reason=reason, message=text)
    words = " ".join((said.result or "; ".join(said.errors or ()) or reason).split())[:2000]
    status = said.api_error_status
    if status in (401, 403) or any(sign in words for sign in _LOGIN):
        text = f"{label} is not logged in ({words}): {login}, then prompt again."
        return Done(end="failed", reason=reason, message=text, code=AgentNotLoggedIn.code)
    if status is not None:
        when = "Wait a little, then prompt again" if status in (429, 500, 502, 503, 529) else "Prompt again"
        text = f"{label}'s model answered with an error ({status}): {words}. {when}."
    else:
        text = f"{label} could not go on: {words}. Prompt again."
    return Done(end="failed", reason=reason, message=text, code=AgentFailed.code)
