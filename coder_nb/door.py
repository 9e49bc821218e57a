"""What a notebook user calls, on the one link of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coder_nb.client.chat import Chat
from coder_nb.client.home import Home
from coder_nb.client.link import Link
from coder_nb.client.screen import Screen
from coder_nb.client.session import Session
from coder_nb.core.sessions import Isolation
from coder_nb.errors import InvalidOption

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.analysis.frames import Backend
    from coder_nb.client.history import History
    from coder_nb.client.log import Log
    from coder_nb.client.sharing import SharedChat
    from coder_nb.widgets.pool import PoolPanel


def _screen() -> Screen:
    from coder_nb.widgets.screen import Notebook

    screen: Screen = Notebook()
    return screen


_home = Home(_screen)


def session(
    path: str = ".",
    *,
    name: str = "main",
    new: bool = False,
    isolation: Isolation | None = None,
    base: str | None = None,
) -> Session:
    """The session of a directory, made if there is none: the same call again gives the same session.

    Its agents work in a worktree that begins with the directory as it is, uncommitted work included, or with a `base`,
    a commit or branch. With ``isolation="none"`` they work in the directory itself, protected by checkpoints. A
    directory without git will do as well. With `new` it is always another session, with its own worktree.
    Raises `BadPath`, `NoCommit`, `NotARepository` for what is no project, or `Conflict` where the session of that name
    was begun otherwise.
    """
    link = _home.link()
    opened = link.run(link.verbs.open_session, _absolute(path), name=name, new=new, isolation=isolation, base=base)
    return Session(link, opened)


def reap(*, dry_run: bool = False) -> pd.DataFrame:
    """Removes worktrees whose session is gone, where nothing would be lost and nobody wrote for an hour.

    It happens by itself once an hour. The rows are all worktrees on this machine: whose each is, whether it was taken,
    and why or why not. With `dry_run` nothing is removed, and they say what would be.
    """
    from coder_nb.analysis.frames import worktrees_frame

    link = _home.link()
    return worktrees_frame(link.run(link.verbs.worktrees) if dry_run else link.run(link.verbs.reap))


def chat(chat_id: str) -> Chat:
    """The chat with an id, such as a column `chat_id` gives; raises `NotFound`."""
    link = _home.link()
    return Chat(link, link.run(link.verbs.get_chat, chat_id))


def attach(resource_id: str) -> Chat:
    """The chat of a resource, ``coder-session/...``; one that was made just now is waited for, up to five seconds."""
    from coder_nb.client.resource import attach as attached

    link = _home.link()
    return Chat(link, link.run(attached, link.verbs, resource_id))


def shared(link: str) -> SharedChat:
    """Somebody else's chat, by the link they gave you: to look at, live, and nothing else. Raises `NotFound`."""
    from coder_nb.client.sharing import SharedChat

    return SharedChat(_home.link(), link)


def sessions(*, dtype_backend: Backend = None) -> pd.DataFrame:
    """All sessions there are, the latest first, one row each."""
    from coder_nb.analysis.frames import sessions_frame, with_backend

    link = _home.link()
    return with_backend(sessions_frame(link.run(link.verbs.sessions)), dtype_backend)


def attention(*, dtype_backend: Backend = None) -> pd.DataFrame:
    """What each chat is doing, one row each; those that want you most come first.

    ``waiting`` for you (`why` says for what), ``failed``, ``finished`` and not seen yet, ``working``, ``starting``, or
    ``idle``.
    """
    from coder_nb.analysis.frames import attention_frame, with_backend

    link = _home.link()
    return with_backend(attention_frame(link.run(link.verbs.attention)), dtype_backend)


def usage(*, dtype_backend: Backend = None) -> pd.DataFrame:
    """Tokens and cost of all chats, one row a report; sum over the rows that are `counted`.

    `cnb.everything().usage` has the agents' own files as well, and each response once.
    """
    from coder_nb.analysis.frames import frame
    from coder_nb.analysis.tables import USAGE
    from coder_nb.client.everything import usage_rows

    link = _home.link()
    return frame(link.run(usage_rows, link.verbs), USAGE, dtype_backend=dtype_backend)


def everything(**options: Any) -> History:
    """All that there is: what ran here and what the agents left on disk, as the frames of `cnb.history()`.

    Takes its options, and counts each response once: of a conversation that both tell, the one that tells more
    counts. So the sum over all rows of its `usage` is right. Reads the store and the agents' files, and writes nothing.
    """
    from coder_nb.client.everything import everything as gathered

    return gathered(_home.link(), **options)


def rules(*, revoked: bool = False) -> pd.DataFrame:
    """What you have allowed or forbidden without being asked, one row a rule; with `revoked`, ended ones as well."""
    from coder_nb.analysis.frames import rules_frame

    link = _home.link()
    found = link.run(link.verbs.rules)
    return rules_frame(rule for rule in found if revoked or rule.revoked_at is None)


def revoke(rule_id: str) -> bool:
    """Ends a rule at once, wherever it holds; False where it had ended. Raises `NotFound`."""
    link = _home.link()
    return link.run(link.verbs.revoke, rule_id)


def audit(*, dtype_backend: Backend = None) -> pd.DataFrame:
    """Every permission that an agent asked for: what, when, in which turn, and who or which rule answered it."""
    from coder_nb.analysis.frames import audit_frame, with_backend

    link = _home.link()
    return with_backend(audit_frame(link.run(link.verbs.audit)), dtype_backend)


def agents() -> pd.DataFrame:
    """Which agents there are, which version is installed, and where one cannot be used, why and what to do."""
    from coder_nb.analysis.frames import agents_frame

    link = _home.link()
    return agents_frame(link.run(link.verbs.agents))


def pool() -> pd.DataFrame:
    """What is warm now: each agent with its state, memory and restarts, and why it was started again."""
    from coder_nb.analysis.frames import pool_frame

    link = _home.link()
    return pool_frame(link.run(link.verbs.pool))


def pool_panel() -> PoolPanel:
    """The same, live, as an ipywidget with buttons: an agent's log, restart, end."""
    from coder_nb.widgets.pool import PoolPanel

    return PoolPanel(_home.link())


def evict(key: str) -> bool:
    """Ends a warm agent by its key in `pool()`; its next prompt resumes it. False where it is busy, or not there."""
    link = _home.link()
    return link.run(link.verbs.evict, key)


def restart(key: str) -> bool:
    """Ends a warm agent and starts it anew, also one that had ended too often; False where it is busy, or not there."""
    link = _home.link()
    return link.run(link.verbs.restart, key)


def agent_log(key: str) -> Log:
    """What happened to an agent of the pool, and the end of what its process wrote to its standard error."""
    from coder_nb.client.log import Log

    link = _home.link()
    return Log(link.run(link.verbs.agent_log, key))


def configure(**settings: Any) -> None:
    """Sets what the agents of this process run with, before the first use.

    The names are those of `Settings`. Where a Jupyter server runs the agents, its configuration counts instead.
    """
    _home.configure(**settings)


def close() -> None:
    """Ends what runs in this process; the next call begins afresh. The end of the process does it by itself."""
    _home.close()


def allow_nested_loops() -> None:
    """Lets your own code call `asyncio.run()` and `run_until_complete()` in a cell, by nest-asyncio.

    coder-nb needs it for nothing. It changes every event loop of this process for good: tasks become slower, and in
    current kernels a cell that nests loops delivers no widget's click until it is done. Loops that are not asyncio's
    own (uvloop) cannot be nested. Prefer `await`.
    """
    import nest_asyncio

    try:
        nest_asyncio.apply()
    except ValueError as error:
        raise InvalidOption(f"This loop cannot be nested ({error}): use `await` instead.") from error


def agent_names() -> list[str]:
    """The names of all agents, the usable ones first."""
    link = _home.link()
    return [agent.name for agent in link.run(link.verbs.agents)]


def link() -> Link:
    """The link itself, for the magics and the command line."""
    return _home.link()


def _absolute(path: str) -> str:
    """A path as the server can understand it, whose working directory is another one."""
    from pathlib import Path

    return str(Path(path).expanduser().absolute())
