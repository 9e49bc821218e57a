"""The warm agents, as a widget: what lives, how it is and why, with buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anywidget
import msgspec
import traitlets

from coder_nb.client.cell import has_viewer
from coder_nb.client.link import Link
from coder_nb.client.text import pool_text
from coder_nb.core.codec import encode
from coder_nb.widgets.base import WIDGET_MIME
from coder_nb.widgets.bundle import loader
from coder_nb.widgets.comm import Correspondent, Mailbox
from coder_nb.widgets.html import pool_html
from coder_nb.widgets.mimebundle import CHAT_MIME

if TYPE_CHECKING:
    import pandas as pd


class PoolPanel(anywidget.AnyWidget):
    """The warm agents, live; each can be looked into, started anew and ended. `cnb.pool_panel()` makes one."""

    _esm = loader()

    view = traitlets.Unicode("pool").tag(sync=True)
    runtime_id = traitlets.Unicode().tag(sync=True)
    """The runtime that the kernel speaks with: a page whose server has the same asks it directly."""
    snapshot = traitlets.Dict().tag(sync=True)
    """The first paint."""

    def __init__(self, link: Link, **kwargs: Any) -> None:
        self._link = link
        super().__init__(runtime_id=link.health.runtime_id, snapshot={"pool": self._pool()}, **kwargs)
        self._correspondent = Correspondent(link, "", self.send)
        self.on_msg(Mailbox(self.comm, self._correspondent.receive).deliver)

    @property
    def frame(self) -> pd.DataFrame:
        """What the panel shows, as it is at this moment."""
        from coder_nb.analysis.frames import pool_frame

        return pool_frame(self._link.run(self._link.verbs.pool))

    def close(self) -> None:
        """Takes the widget from every page."""
        self._correspondent.close()
        super().close()

    def _pool(self) -> list[dict[str, Any]]:
        agents: list[dict[str, Any]] = msgspec.json.decode(encode(self._link.run(self._link.verbs.pool)))
        return agents

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        agents = self._link.run(self._link.verbs.pool)
        html = pool_html(agents)
        data = {CHAT_MIME: {"version": 1, "html": html}, "text/html": html, "text/plain": pool_text(agents)}
        if has_viewer():
            data[WIDGET_MIME] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return data, {}
