"""What went wrong with a model, as a sentence that ends with the cure."""

from __future__ import annotations

from pydantic_ai import exceptions

from coder_nb.backends.events import Done
from coder_nb.backends.native.providers import PROVIDERS, Target
from coder_nb.errors import CoderError


def done_of(error: Exception, target: Target | None, agent: str) -> Done:
    """The end of a turn that an error brings."""
    if isinstance(error, CoderError):
        return Done(end="failed", message=error.message, code=error.code)
    where = f"{agent} asked {target.model} of {target.url or target.provider}" if target else agent
    said = _said(error)
    match error:
        case exceptions.ContentFilterError():
            return Done(end="refused", message=f"{where}, which refused to answer: {said}", code="refused")
        case exceptions.ModelAuthenticationError():
            text = f"{where}, which did not take the key: {said} {_key_cure(target)}"
            return Done(end="failed", message=text, code="agent_not_logged_in")
        case exceptions.ModelContextWindowExceededError():
            text = f"{where}, which cannot hold this much conversation: {said} Go on in a new chat, or with a fork."
            return Done(end="limited", reason="context", message=text, code="context_full")
        case exceptions.ModelNotFoundError():
            text = f"{where}, where there is no such model: {said} Choose another by `model=` or in `agents`."
        case exceptions.ModelQuotaExceededError():
            text = f"{where}, where the account's means are used up: {said} Look at the account, then prompt again."
        case exceptions.ModelRateLimitError() | exceptions.ModelUnavailableError():
            text = f"{where}, which is too busy: {said} Prompt again in a while."
        case exceptions.ModelTimeoutError():
            text = f"{where}, which did not answer in time: {said} Prompt again."
        case exceptions.ModelConnectionError():
            text = f"{where}, which cannot be reached: {said} Check the network, the proxy and the base URL."
        case exceptions.ModelRequestRejectedError():
            text = f"{where}, which did not take the request: {said} Try another model, or a new chat."
        case exceptions.AgentRunError():
            text = f"{where}, and what came back is not understood: {said} Prompt again."
        case _:
            text = f"{where}, and that failed: {said} Prompt again; should it stay so, report it."
    return Done(end="failed", message=text, code="agent_failed")


def _key_cure(target: Target | None) -> str:
    names = PROVIDERS[target.provider].keys if target else ()
    return f"Correct {' or '.join(names)} where Jupyter starts." if names else "Correct the key."


def _said(error: Exception) -> str:
    """The provider's own words, shortened, as a sentence."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    text = inner.get("message") if isinstance(inner, dict) else None
    words = " ".join(str(text or error).split())[:500]
    return words if words.endswith((".", "!", "?")) else f"{words}."
