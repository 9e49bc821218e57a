"""Values of the core as DataFrames: ordinary nullable pandas dtypes, UTC, and NA for what is not known.

pandas is loaded by the first frame, never by `import coder_nb`. Columns are built one by one, straight from the values:
no row objects in between, and the masks of numbers are made without looking at each value twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from coder_nb.analysis import columns
from coder_nb.analysis.columns import Column, Kind
from coder_nb.core.agents import AgentCommands, AgentInfo, AgentSessionInfo, NativeSession
from coder_nb.core.attention import ChatAttention
from coder_nb.core.audit import AuditRow
from coder_nb.core.changes import Change
from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.entries import Entry
from coder_nb.core.health import Happening, LiveAgent
from coder_nb.core.risk import WorktreeInfo
from coder_nb.core.rules import Rule
from coder_nb.core.sessions import SessionInfo
from coder_nb.errors import InvalidOption, MissingExtra

if TYPE_CHECKING:
    import pandas as pd

Backend = Literal["numpy_nullable", "pyarrow"] | None
"""The dtypes of a frame, as in pandas; None is the first."""


def sessions_frame(sessions: Iterable[SessionInfo]) -> pd.DataFrame:
    """One row a session."""
    return frame(sessions, columns.SESSIONS)


def entries_frame(entries: Iterable[Entry]) -> pd.DataFrame:
    """One row an entry of a transcript."""
    return frame(entries, columns.ENTRIES)


def changes_frame(changes: Iterable[Change]) -> pd.DataFrame:
    """One row a changed file."""
    return frame(changes, columns.CHANGES)


def agents_frame(agents: Iterable[AgentInfo]) -> pd.DataFrame:
    """One row an agent; shown with the whole of what there is to do about one that cannot be used."""
    return _told_whole(frame(agents, columns.AGENTS))


def agent_sessions_frame(agent_sessions: Iterable[AgentSessionInfo]) -> pd.DataFrame:
    """One row an agent's own context in a chat."""
    return frame(agent_sessions, columns.AGENT_SESSIONS)


def attention_frame(attention: Iterable[ChatAttention]) -> pd.DataFrame:
    """One row a chat, with what it is doing."""
    return frame(attention, columns.ATTENTION)


def pool_frame(pool: Iterable[LiveAgent]) -> pd.DataFrame:
    """One row a warm agent."""
    return _told_whole(frame(pool, columns.POOL))


def happenings_frame(happenings: Iterable[Happening]) -> pd.DataFrame:
    """One row a thing that happened to an agent."""
    return _told_whole(frame(happenings, columns.HAPPENINGS))


def checkpoints_frame(checkpoints: Iterable[CheckpointInfo]) -> pd.DataFrame:
    """One row a state to which a chat can be restored."""
    return frame(checkpoints, columns.CHECKPOINTS)


def rules_frame(rules: Iterable[Rule]) -> pd.DataFrame:
    """One row a rule; shown with the whole of what it covers."""
    return _told_whole(frame(rules, columns.RULES))


def audit_frame(rows: Iterable[AuditRow]) -> pd.DataFrame:
    """One row a permission that was asked for, and how it was answered."""
    return frame(rows, columns.AUDIT)


def worktrees_frame(worktrees: Iterable[WorktreeInfo]) -> pd.DataFrame:
    """One row a worktree on this machine."""
    return frame(worktrees, columns.WORKTREES)


def commands_frame(offered: Iterable[AgentCommands]) -> pd.DataFrame:
    """One row a slash command or skill of an agent."""
    rows = [(of.agent, command) for of in offered for command in of.commands]
    return _told_whole(frame(rows, columns.COMMANDS))


def native_sessions_frame(found: Iterable[NativeSession]) -> pd.DataFrame:
    """One row a session that an agent keeps by itself."""
    return frame(found, columns.NATIVE_SESSIONS)


def _told_whole(plain: pd.DataFrame) -> pd.DataFrame:
    """The same frame, whose display cuts no text; what is selected from it is shown alike."""
    import pandas as pd

    class Told(pd.DataFrame):
        @property
        def _constructor(self) -> Any:
            return Told

        def _repr_html_(self) -> str | None:
            with pd.option_context("display.max_colwidth", None):
                shown = self.astype(object).where(self.notna(), "")
                return pd.DataFrame(shown).to_html(index=False, border=0)

        def __repr__(self) -> str:
            return str(self.to_string(index=False, na_rep="", max_colwidth=None))

    return Told(plain)


def frame(rows: Iterable[Any], table: Sequence[Column], *, dtype_backend: Backend = None) -> pd.DataFrame:
    """A frame of values by a table of columns; the columns and dtypes are the same however many rows there are."""
    import pandas as pd

    values = list(rows)
    made = pd.DataFrame(arrays_of(values, table), index=pd.RangeIndex(len(values)), copy=False)
    return with_backend(made, dtype_backend)


def arrays_of(rows: list[Any], table: Sequence[Column]) -> dict[str, Any]:
    """The columns of rows, by name."""
    known: dict[str, Any] = {}
    for column in table:
        known[column.name] = column.array(rows, known)
    return {column.name: known[column.name] for column in table}


def with_backend(made: pd.DataFrame, dtype_backend: Backend) -> pd.DataFrame:
    """The frame with the dtypes of Arrow, where they are asked for as pandas' own readers do.

    Raises `InvalidOption` for another backend, `MissingExtra` where pyarrow is not installed.
    """
    if dtype_backend is None or dtype_backend == "numpy_nullable":
        return made
    if dtype_backend != "pyarrow":
        raise InvalidOption(f"There is no dtype_backend={dtype_backend!r}: there are 'numpy_nullable' and 'pyarrow'.")
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra.of("dtype_backend='pyarrow'", "pyarrow", "analysis") from error
    import pandas as pd

    types = {
        "category": pa.dictionary(pa.int32(), pa.string()),
        "string": pa.string(),
        "Int64": pa.int64(),
        "Float64": pa.float64(),
        "boolean": pa.bool_(),
        "datetime64[ms, UTC]": pa.timestamp("ms", tz="UTC"),
    }
    return made.astype({name: pd.ArrowDtype(types[str(dtype)]) for name, dtype in made.dtypes.items()})


def _string(values: list[Any]) -> Any:
    import pandas as pd

    return pd.array(values, dtype="string")


def _category(values: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    found = [value for value in dict.fromkeys(values) if value is not None]
    codes = {None: -1} | {value: code for code, value in enumerate(found)}
    taken = np.fromiter(map(codes.__getitem__, values), dtype=np.int32, count=len(values))
    return pd.Categorical.from_codes(taken, categories=pd.Index(found, dtype="str"))


def _int(values: list[Any]) -> Any:
    import pandas as pd

    return pd.arrays.IntegerArray(*_whole(values))


def _float(values: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    filled, mask = _masked(values, 0.0)
    return pd.arrays.FloatingArray(np.asarray(filled, dtype=np.float64), mask)


def _bool(values: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    filled, mask = _masked(values, False)
    return pd.arrays.BooleanArray(np.asarray(filled, dtype=np.bool_), mask)


def _time(values: list[Any]) -> Any:
    import numpy as np
    import pandas as pd

    numbers, mask = _whole(values)
    times = numbers.view("datetime64[ms]")
    times[mask] = np.datetime64("NaT")
    return pd.DatetimeIndex(times, tz="UTC")


def _whole(values: list[Any]) -> tuple[Any, Any]:
    """Whole numbers, and which of them are not known. An agent may say any: one that no column holds is not known."""
    import numpy as np

    filled, mask = _masked(values, 0)
    try:
        return np.asarray(filled, dtype=np.int64), mask
    except OverflowError:
        return _whole([None if value is None or not -(2**63) <= value < 2**63 else value for value in values])


def _masked(values: list[Any], blank: Any) -> tuple[list[Any], Any]:
    import numpy as np

    if None not in values:
        return values, np.zeros(len(values), dtype=np.bool_)
    mask = np.fromiter((value is None for value in values), dtype=np.bool_, count=len(values))
    return [blank if value is None else value for value in values], mask


ARRAYS: dict[Kind, Callable[[list[Any]], Any]] = {
    "string": _string,
    "category": _category,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "time": _time,
}
