"""What a reader of a chat is sent: the closed union of frames."""

from __future__ import annotations

from coder_nb.core.changes import Change
from coder_nb.core.entries import Delta, Page, Value
from coder_nb.core.sessions import ChatInfo, SessionInfo

PROTOCOL = 1
"""The version of the wire: within a major it only grows."""


class Hello(Value, tag_field="type", tag="hello"):
    """The first frame of a stream."""

    protocol: int
    runtime_id: str
    epoch: str
    chat: ChatInfo
    session: SessionInfo
    may_execute: bool = True
    first_pos: int = 0
    """The position of the oldest entry that follows; older ones are asked for by REST, `before=`."""


class PageFrame(Value, tag_field="type", tag="page"):
    """What was committed since the last frame."""

    page: Page


class DeltaFrame(Value, tag_field="type", tag="delta"):
    """Live text; merged to one in 30 ms for each entry."""

    deltas: tuple[Delta, ...]


class StateFrame(Value, tag_field="type", tag="state"):
    """The chat's run state changed."""

    chat: ChatInfo


class ChangesFrame(Value, tag_field="type", tag="changes"):
    """The chat's changes, all of them, after something about them changed."""

    changes: tuple[Change, ...]


Frame = Hello | PageFrame | DeltaFrame | StateFrame | ChangesFrame
