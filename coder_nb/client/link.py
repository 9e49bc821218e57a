"""What every object of the client stands on: the portal, the verbs behind it, and the screen before it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec, TypeVar

from coder_nb.client.portal import Portal
from coder_nb.client.screen import Screen
from coder_nb.core.health import Health
from coder_nb.core.verbs import Verbs

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Link:
    """The way from this process to a runtime."""

    portal: Portal = field(repr=False)
    verbs: Verbs = field(repr=False)
    health: Health
    where: Literal["server", "kernel"]
    screen: Screen | None = field(default=None, repr=False)
    url: str | None = None
    """The address of the server, as this machine reaches it; None where the runtime is in this process."""

    def run(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls a coroutine function on the portal and blocks for its result."""
        return self.portal.run(function, *args, **kwargs)
