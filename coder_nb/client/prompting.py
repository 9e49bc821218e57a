"""How a prompt is handed in by whoever holds a chat, and how one that came to nothing is made again."""

from __future__ import annotations

import concurrent.futures
import sys
import time
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from coder_nb.client.cell import current_cell, stdin_allowed
from coder_nb.client.follow import Follower, OnPermission, OnQuestion, stop_prompt
from coder_nb.client.turn import STOP_WAIT, Turn
from coder_nb.core import prompts
from coder_nb.core.entries import End, Entry, TurnEnded, TurnStarted, UserMessage
from coder_nb.core.permissions import PermissionMode
from coder_nb.core.prompts import Prompt
from coder_nb.core.verbs import Verbs
from coder_nb.errors import Conflict, shorten
from coder_nb.ids import new_id

if TYPE_CHECKING:
    from coder_nb.client.chat import Chat

AGAIN: tuple[End, ...] = ("failed", "interrupted", "limited", "cancelled")
"""The ends of a turn whose prompt may be sent again; one that was refused, or has completed, has had its answer."""


def begin(
    chat: Chat,
    prompt: Prompt,
    *,
    on_permission: OnPermission | None = None,
    on_question: OnQuestion | None = None,
    display: bool = True,
    go_on: bool = False,
) -> Turn:
    """Hands a prompt in, as of this cell, and follows its turn; with `go_on` a queue that is held goes on with it."""
    prompt = msgspec.structs.replace(
        prompt,
        cell=current_cell(),
        answers=(
            *(("callback",) if on_permission else ()),
            *(("on_question",) if on_question else ()),
            *(("stdin",) if stdin_allowed() else ()),
        ),
        created_at=time.time_ns() // 1_000_000,
        python=sys.executable or "",
    )
    prompts.check(prompt)
    link = chat._link
    try:
        after, held = link.run(_submit, link.verbs, chat.id, prompt, go_on)
        if held:
            text = "The prompt waits: this chat's queue is held since a Stop, and `chat.go_on()` lets it run."
            warnings.warn(text, stacklevel=3)
        return _followed(chat, prompt, after, on_permission=on_permission, on_question=on_question, display=display)
    except KeyboardInterrupt as error:  # whoever interrupts the cell here has no turn yet to stop
        stopped = link.portal.call(stop_prompt, link.verbs, chat.id, prompt.id)
        concurrent.futures.wait([stopped], STOP_WAIT)
        shorten(error)
        raise


def again(transcript: Iterable[Entry]) -> Prompt:
    """The prompt of a chat's last turn, as it was, under a new id; raises `Conflict` where it is not to be repeated."""
    began: TurnStarted | None = None
    asked: UserMessage | None = None
    end: End | None = None
    for entry in transcript:
        match entry.body:
            case TurnStarted():
                began, asked, end = entry.body, None, None
            case UserMessage(prompt_id=str()):
                asked = entry.body
            case TurnEnded():
                end = entry.body.end
    if began is None:
        raise Conflict("There is no turn in this chat to try again: prompt it.")
    if end is None:
        raise Conflict("The last turn of this chat still runs: wait for it, or stop it, then try it again.")
    if asked is None:
        raise Conflict("The last turn of this chat was begun by its agent, and nobody's prompt: prompt it.")
    if end not in AGAIN:
        raise Conflict(f"The last turn of this chat ended as {end}, so that nothing is to be tried again: prompt it.")
    return Prompt(
        id=new_id(),
        text=asked.text,
        attachments=asked.attachments,
        agent=began.agent,
        model=began.model,
        effort=began.effort,
        mode=cast("PermissionMode | None", began.mode),
    )


async def _submit(verbs: Verbs, chat_id: str, prompt: Prompt, go_on: bool) -> tuple[int, bool]:
    """Hands a prompt in; returns the revision after which its turn is found, and whether the queue is held."""
    before = await verbs.get_chat(chat_id)
    accepted = await verbs.prompt(chat_id, prompt)
    if accepted.held and go_on:
        accepted = await verbs.go_on(chat_id)
    return before.rev, accepted.held


def _followed(
    chat: Chat,
    prompt: Prompt,
    after: int,
    *,
    on_permission: OnPermission | None,
    on_question: OnQuestion | None,
    display: bool,
) -> Turn:
    shown = chat._follow(prompt) if display else None
    follower = Follower(
        chat._link.verbs,
        chat.id,
        prompt.id,
        on_permission=on_permission,
        on_question=on_question,
        on_turn=None if shown is None else shown.begin,
        answers=bool(prompt.answers),
    )
    turn = Turn(chat, prompt, follower, after=after, display=shown)
    if shown is not None:
        shown.wait()
    return turn
