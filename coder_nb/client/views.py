"""What a person asks of a history: sums, measures, tools, a search, and one's own labels beside them."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from coder_nb.analysis import views
from coder_nb.client import labels

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    import pandas as pd

    from coder_nb.client.frames import FrameFormat


class Views:
    """Questions to the frames of a `History`, which it inherits."""

    if TYPE_CHECKING:

        @property
        def usage(self) -> pd.DataFrame: ...
        @property
        def turns(self) -> pd.DataFrame: ...
        @property
        def sessions(self) -> pd.DataFrame: ...
        @property
        def tool_calls(self) -> pd.DataFrame: ...
        @property
        def messages(self) -> pd.DataFrame: ...

        def with_text(self) -> Any: ...

    def by(self, *keys: str, tz: str | tzinfo | None = None) -> pd.DataFrame:
        """Tokens and cost by ``day``, ``week``, ``month``, ``block`` (of five hours), ``model``, ``project`` and so on.

        One row for each combination of the keys, in their order: ``by("month", "model")``. Without keys it is all in
        one row. Days are those of `tz`, by default UTC. A sum is NA where nothing of it is known.
        """
        return views.by(self.usage, keys, tz)

    def by_tool(self) -> pd.DataFrame:
        """How often each tool was called and failed, and how long it took; the most used first."""
        return views.by_tool(self.tool_calls)

    def measures(self, by: str | None = None) -> pd.DataFrame:
        """How the work went: cost for each changed line, cache hits, time to the first token, retries ...

        One row, or one for each ``agent``, ``model``, ``project`` or ``branch``. A turn belongs to the first model that
        answered in it. What is not told is NA.
        """
        return views.measures(self.usage, self.turns, by)

    def search(self, text: str, *, regex: bool = False, case: bool = False, around: int = 60) -> pd.DataFrame:
        """Where a text was said, or stands in what a tool was given or gave; the latest first."""
        whole = self.with_text()
        return views.search(whole.messages, whole.tool_calls, text, regex=regex, case=case, around=around)

    @property
    def labels(self) -> pd.DataFrame:
        """What you have said of sessions with `cnb.label`, to join on `session_id`."""
        return labels.frame()

    def export(
        self, folder: str | PathLike[str], *, format: FrameFormat = "parquet", redact: bool = True
    ) -> list[Path]:
        """Writes the frames into a folder, a file each: ``parquet``, ``csv``, ``jsonl``; or ``otel``, as OTLP spans.

        Texts are there only with ``text=True``, and secrets in them are hidden.
        """
        from coder_nb.client.frames import export

        return export(self, folder, format=format, redact=redact)
