"""What the client asks of the place where things are shown; `widgets.screen` is the notebook's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from coder_nb.client.chat import Chat
    from coder_nb.client.snapshot import Snapshot
    from coder_nb.core.prompts import Prompt

View = Literal["transcript", "composer", "diff", "usage"]
Bundle = dict[str, Any]
"""A mime bundle, keyed by mime type."""


class Display(Protocol):
    """One output that shows a turn while it runs."""

    def wait(self) -> None:
        """Says that the prompt waits, if its turn does not come at once; called in the cell's own thread."""

    def begin(self, turn_id: str) -> None:
        """The prompt's turn has come; called in a thread."""

    def finish(self, snapshot: Snapshot | None) -> None:
        """The turn has ended, or the prompt was withdrawn: shows what stays; called in a thread."""


class Screen(Protocol):
    """Where a chat is seen."""

    def follow(self, chat: Chat, prompt: Prompt) -> Display | None:
        """Shows the turn of a prompt as it grows, in the cell that runs now; None where nothing can be shown live."""

    def bundle(self, chat: Chat, view: View, snapshot: Snapshot) -> Bundle:
        """One view of a chat: live where there is a front end, and right without any."""

    def static(self, snapshot: Snapshot) -> str:
        """A chat as a piece of HTML without scripts."""

    def page(self, snapshot: Snapshot) -> str:
        """A chat with its changes and usage as a page that stands alone, without scripts and without a network."""

    def widget(self, chat: Chat) -> Any:
        """All views of a chat in one box."""
