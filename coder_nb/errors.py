"""Every exception that coder-nb raises on purpose.

* CoderError
    * BadRequest                 what was asked for cannot be done as asked
        * EmptyPrompt
        * PromptTooLong
        * BadPath
        * NotARepository
        * NoCommit
        * UnknownAgent
        * InvalidOption
        * MissingExtra
    * NotFound                   nothing has that id
    * Forbidden                  the caller may not do this
    * AgentUnavailable           the agent cannot be used here
        * AgentNotInstalled
        * AgentNotLoggedIn
        * AgentDisabled
    * AgentFailed                the agent was there and broke
        * AgentDied
        * AgentProtocolError
        * AgentTimeout
    * NobodyToAsk                a permission was asked where nobody can answer
    * TurnCancelled              the turn was stopped
    * TurnFailed                 the turn ended as failed, refused, limited or interrupted
    * RunElsewhere               another process runs this session
    * LeaseLost                  another process took this session over
    * Conflict                   the state of things does not allow it now
        * ApplyConflict
        * AtRisk                 work would be lost; carries the report
        * QueueFull
        * TooManyReaders
    * StoreError                 the database cannot be used
        * StoreLocked
        * StoreDamaged
        * StoreFull
        * StoreTooNew
        * StoreOnNetwork
        * StoreUnreachable
    * GitError                   git failed or timed out
    * ConnectionLost             the server went away
    * VersionMismatch            kernel and server do not speak the same protocol

Each class carries ``code``, a stable word for the wire; the docstring is the default message; a message ends with
what to do about it.
"""

from __future__ import annotations

import itertools
import traceback


class CoderError(Exception):
    """coder-nb could not do this."""

    code: str = "error"
    turn: object = None
    """The client's turn that this is about, where it was raised by waiting for one."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or " ".join((self.__doc__ or "").split()))

    @property
    def details(self) -> object:
        """What crosses the wire beside the sentence, where there is more to say."""
        return None

    @property
    def message(self) -> str:
        """The one sentence, with the cure, that a person reads."""
        return str(self)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows instead of a traceback: the caller's own lines, none of ours, and the sentence."""
        return _shown(self, str(self))


def shorten(interrupt: BaseException) -> None:
    """Has IPython show an interrupt of a wait for a turn as it shows errors of ours: it is no fault to look into."""
    sentence = "The turn was stopped, as its cell was interrupted: prompt again to go on."
    interrupt.__dict__["_render_traceback_"] = lambda: _shown(interrupt, sentence)


def _shown(error: BaseException, sentence: str) -> list[str]:
    roots = ((at, at[0].f_globals.get("__name__", "").split(".")[0]) for at in traceback.walk_tb(error.__traceback__))
    callers = itertools.takewhile(lambda at: at[1] != "coder_nb", roots)
    lines = traceback.StackSummary.extract(at for at, root in callers if root != "IPython").format()
    return [*(line.rstrip() for line in lines), f"{type(error).__name__}: {sentence}"]


class BadRequest(CoderError):
    """What was asked for cannot be done as asked."""

    code = "bad_request"


class EmptyPrompt(BadRequest):
    """The prompt is empty: write what the agent should do."""

    code = "empty_prompt"


class PromptTooLong(BadRequest):
    """The prompt is too long: put the material into a file and name it in the prompt."""

    code = "prompt_too_long"


class BadPath(BadRequest):
    """There is no such directory: check the path, or create it first."""

    code = "bad_path"


class NotARepository(BadRequest):
    """The directory is in no git repository: run `git init` and commit once, then try again."""

    code = "not_a_repository"


class NoCommit(BadRequest):
    """The repository has no commit yet: commit once (`git commit --allow-empty -m start`), then try again."""

    code = "no_commit"


class UnknownAgent(BadRequest):
    """No agent has that name: `coder_nb.agents()` lists those there are."""

    code = "unknown_agent"


class InvalidOption(BadRequest):
    """An option has a value that is not understood."""

    code = "invalid_option"


class MissingExtra(BadRequest):
    """A package that this needs is not installed: run `pip install "coder-nb[all]"`."""

    code = "missing_extra"

    @classmethod
    def of(cls, what: str, package: str, extra: str) -> MissingExtra:
        """What cannot be done without a package, and the command that brings it."""
        return cls(f'{what} needs {package}, which is not installed: run `pip install "coder-nb[{extra}]"`.')


class NotFound(CoderError):
    """Nothing has that id."""

    code = "not_found"


class Forbidden(CoderError):
    """You may not do this: ask the administrator of this server for the right to execute."""

    code = "forbidden"


class AgentUnavailable(CoderError):
    """The agent cannot be used here: `coder_nb.agents()` says why."""

    code = "agent_unavailable"


class AgentNotInstalled(AgentUnavailable):
    """The agent's program is not installed."""

    code = "agent_not_installed"


class AgentNotLoggedIn(AgentUnavailable):
    """The agent is not logged in."""

    code = "agent_not_logged_in"


class AgentDisabled(AgentUnavailable):
    """The agent is turned off by a setting."""

    code = "agent_disabled"


class AgentFailed(CoderError):
    """The agent failed: prompt again to start it afresh."""

    code = "agent_failed"


class AgentDied(AgentFailed):
    """The agent's process ended by itself: prompt again to start it afresh."""

    code = "agent_died"


class AgentProtocolError(AgentFailed):
    """The agent said something that its protocol does not allow."""

    code = "agent_protocol"


class AgentTimeout(AgentFailed):
    """The agent did not answer in time."""

    code = "agent_timeout"


class NobodyToAsk(CoderError):
    """The agent asked for a permission and nobody is there to answer: open the notebook in a browser, pass
    `on_permission=`, or prompt with a mode that asks less (`mode="accept_edits"`, `mode="bypass"`)."""

    code = "nobody_to_ask"


class TurnCancelled(CoderError):
    """The turn was stopped."""

    code = "turn_cancelled"


class TurnFailed(CoderError):
    """The turn did not complete."""

    code = "turn_failed"


class RunElsewhere(CoderError):
    """Another process runs this session."""

    code = "run_elsewhere"


class LeaseLost(CoderError):
    """Another process took this session over: what it writes from now on is shown here, read only."""

    code = "lease_lost"


class Conflict(CoderError):
    """The state of things does not allow this now."""

    code = "conflict"


class ApplyConflict(Conflict):
    """The checkout has changed where this change would land: nothing was written."""

    code = "apply_conflict"


class StaleChange(Conflict):
    """The change is not what it was when it was shown: nothing was done. Look again, then decide."""

    code = "stale_change"


class AtRisk(Conflict):
    """Work in the worktree would be lost: apply or reject it, keep it (`session.stash()`, `session.keep_branch(name)`),
    or say `force=True`."""

    code = "at_risk"

    def __init__(self, message: str | None = None, *, report: object = None) -> None:
        super().__init__(message)
        self.report = report
        """What is at risk: a `core.risk.Risk`."""

    @property
    def details(self) -> object:
        return self.report


class QueueFull(Conflict):
    """Too many prompts are waiting in this chat: wait, or stop it first."""

    code = "queue_full"


class TooManyReaders(Conflict):
    """As many pages and kernels follow chats here as may (`max_readers`): close some, then try again."""

    code = "too_many_readers"


class StoreError(CoderError):
    """The store cannot be used."""

    code = "store"


class StoreLocked(StoreError):
    """The store is locked by another program: close it, then try again."""

    code = "store_locked"


class StoreDamaged(StoreError):
    """The store's file is damaged."""

    code = "store_damaged"


class StoreFull(StoreError):
    """The disk is full: free some space, then go on; what was committed is safe."""

    code = "store_full"


class StoreTooNew(StoreError):
    """The store was written by a newer coder-nb: upgrade this one (`pip install -U coder-nb`)."""

    code = "store_too_new"


class StoreOnNetwork(StoreError):
    """The store lies on a network file system: set CODER_NB_DATABASE to a path on a local disk."""

    code = "store_on_network"


class StoreUnreachable(StoreError):
    """The database server cannot be reached: see that it runs, then go on; what was committed is safe."""

    code = "store_unreachable"


class GitError(CoderError):
    """git failed."""

    code = "git"


class ConnectionLost(CoderError):
    """The Jupyter server cannot be reached: start it again, then run the cell again."""

    code = "connection_lost"


class VersionMismatch(CoderError):
    """The kernel's coder-nb and the server's do not speak the same protocol: install the same version in both."""

    code = "version_mismatch"


def by_code() -> dict[str, type[CoderError]]:
    """Every class by its code, so that an error crosses the wire and is raised as what it was."""
    found: dict[str, type[CoderError]] = {}
    pending: list[type[CoderError]] = [CoderError]
    while pending:
        cls = pending.pop()
        found[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return found


def from_code(code: str, message: str) -> CoderError:
    """The error that a code and message of the wire stand for; an unknown code gives a plain `CoderError`."""
    return by_code().get(code, CoderError)(message)
