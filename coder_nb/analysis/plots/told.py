"""What a plot asks of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Told(Protocol):
    """`cnb.history()`, `cnb.everything()`, or anything else with these frames."""

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
