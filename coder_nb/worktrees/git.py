"""The only place that runs git: no hooks, no prompts, no optional locks, and output that no setting changes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from coder_nb.core.entries import Value
from coder_nb.errors import GitError

_STARTS = 5
TIMEOUT = 60.0
_GRACE = 2.0
"""How long git has to remove its lock files after it was told to end."""

_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.splitIndex": "false",
    "core.quotePath": "false",
    "core.safecrlf": "false",
    "core.pager": "cat",
    "commit.gpgSign": "false",
    "log.showSignature": "false",
    "diff.suppressBlankEmpty": "false",
    "submodule.recurse": "false",
    "advice.addEmbeddedRepo": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_OPTIONS = tuple(word for key, value in _CONFIG.items() for word in ("-c", f"{key}={value}"))
_ENVIRONMENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_ADVICE": "0",
    "LC_ALL": "C",
    "LANGUAGE": "C",
}
_NOT_FOR_GIT = ("GIT_", "JUPYTER", "JPY", "CODER_NB_")
_shadow: ContextVar[tuple[str, str] | None] = ContextVar("shadow", default=None)
"""A folder without a repository of its own, and the repository outside of it that stands for one."""


@contextmanager
def shadowed(folder: str, git_dir: str) -> Iterator[None]:
    """Within, git commands in `folder` itself use the repository `git_dir`; an empty one changes nothing."""
    token = _shadow.set((folder, git_dir) if git_dir else None)
    try:
        yield
    finally:
        _shadow.reset(token)


class Outcome(Value):
    """How a git command ended."""

    code: int
    out: bytes
    err: str

    @property
    def reason(self) -> str:
        """The last line that git wrote to its standard error."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return lines[-1].strip() if lines else f"it ended with code {self.code}"


async def git(
    cwd: Path,
    *args: str,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> bytes:
    """What a git command prints; `GitError` where it fails, is missing, or does not end in time.

    After a `GitError` nothing is known about what the command was to find out: take the answer as "at risk".
    """
    outcome = await run(cwd, *args, input=input, env=env, timeout=timeout)
    if outcome.code != 0:
        raise GitError(f"`git {args[0]}` failed in {cwd}: {outcome.reason.rstrip('.')}. Settle that, then try again.")
    return outcome.out


async def run(
    cwd: Path,
    *args: str,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Outcome:
    """Like `git`, for commands whose exit code is an answer."""
    for _ in range(_STARTS):
        outcome = await _once(cwd, args, input=input, env=env, timeout=timeout)
        # A kernel's interrupt goes to its whole process group. It reaches a child of ours only in the moment before
        # that has left the group, and so before it was git: nothing was done yet, and it is started again.
        if outcome.code != -signal.SIGINT:
            break
    return outcome


async def _once(
    cwd: Path, args: tuple[str, ...], *, input: bytes | None, env: Mapping[str, str] | None, timeout: float
) -> Outcome:
    surroundings = environment() | _led_to(cwd) | dict(env or {})
    process = await _start(cwd, args, surroundings, input is not None)
    try:
        async with asyncio.timeout(timeout):
            out, err = await process.communicate(input)
    except TimeoutError:
        raise GitError(
            f"`git {args[0]}` did not end within {timeout:g} s in {cwd}: check that its disk answers, or give it more "
            "time with the setting git_timeout, then try again."
        ) from None
    finally:
        await _end(process)
    code = process.returncode
    return Outcome(code=-1 if code is None else code, out=out, err=err.decode("utf-8", "replace"))


async def together(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What several calls give, run at the same time; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def environment() -> dict[str, str]:
    """Our environment without the variables by which a caller's git would be led elsewhere, and without Jupyter's.

    A repository's configuration names programs that git runs, such as filters, and an agent may have written it: they
    get no token of Jupyter's from us (law 19).
    """
    return {
        name: value for name, value in os.environ.items() if not name.upper().startswith(_NOT_FOR_GIT)
    } | _ENVIRONMENT


def _led_to(cwd: Path) -> dict[str, str]:
    shadow = _shadow.get()
    return {"GIT_DIR": shadow[1], "GIT_WORK_TREE": shadow[0]} if shadow and str(cwd) == shadow[0] else {}


async def _start(cwd: Path, args: tuple[str, ...], env: dict[str, str], piped: bool) -> asyncio.subprocess.Process:
    program = shutil.which("git", path=env.get("PATH", ""))
    if program is None:
        raise GitError("git is not on the PATH: install git (https://git-scm.com), then try again.")
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            program,
            *_OPTIONS,
            *args,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # asyncio would kill it at once, and its locks would stay
        with suppress(OSError):
            await _end(await starting)
        raise
    except OSError as error:
        raise GitError(f"git cannot be started in {cwd}: {error.strerror}. Check that the folder is there.") from error


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what still runs, with all its children, so that nothing of it writes later.

    Its pipes tell: they end when the last of them has, which may be later than git itself.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _over(process):
            return
        _signal(process, number)
        with suppress(TimeoutError):  # `asyncio.timeout` bounds nothing while a task is cancelled, up to Python 3.11.2
            await asyncio.wait_for(process.communicate(), _GRACE)
    process._transport.close()  # type: ignore[attr-defined]  # held by what has left its group: not to be waited for


def _over(process: asyncio.subprocess.Process) -> bool:
    pipes = (process.stdout, process.stderr)
    return process.returncode is not None and all(pipe is None or pipe.at_eof() for pipe in pipes)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
