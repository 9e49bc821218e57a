"""The states to which a chat can be restored, as a notebook user looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from coder_nb.core.checkpoints import CheckpointInfo

if TYPE_CHECKING:
    import pandas as pd


class Checkpoints(Sequence[CheckpointInfo]):
    """What a chat could be restored to when it was asked for, the oldest first: before each turn and each restore."""

    def __init__(self, checkpoints: tuple[CheckpointInfo, ...]) -> None:
        self._checkpoints = checkpoints

    @property
    def frame(self) -> pd.DataFrame:
        """One row a checkpoint."""
        from coder_nb.analysis.frames import checkpoints_frame

        return checkpoints_frame(self._checkpoints)

    def __len__(self) -> int:
        return len(self._checkpoints)

    def __iter__(self) -> Iterator[CheckpointInfo]:
        return iter(self._checkpoints)

    @overload
    def __getitem__(self, index: int) -> CheckpointInfo: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CheckpointInfo, ...]: ...
    def __getitem__(self, index: int | slice) -> CheckpointInfo | tuple[CheckpointInfo, ...]:
        return self._checkpoints[index]

    def __repr__(self) -> str:
        return f"<{len(self)} checkpoints>"

    def _repr_html_(self) -> str:
        return str(self.frame._repr_html_())  # type: ignore[operator]  # pandas declares it as it is not
