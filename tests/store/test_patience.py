"""Every method of the store waits for a database server that comes back, but for those that may not be done twice."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from coder_nb.store.database import Database
from coder_nb.store.open import SqlStore

AT_ONCE = {
    "log.tail": "it is `before`, which waits",
    "history.append": "items without an id would be there twice",
    "shares.add": "its id would be taken",
    "shares.revoke": "whether it did anything is its answer",
    "trees.mark": "whether it did anything is its answer",
    "copies.plant": "its ids would be taken",
}


def parts_of_a_store() -> Iterator[tuple[str, object]]:
    class Nowhere:
        """Nothing is asked of it."""

    database: Database = Nowhere()  # type: ignore[assignment]
    return (
        (name, part)
        for name, part in vars(SqlStore(database, "postgresql")).items()
        if name not in ("engine", "_database")
    )


def impatient() -> set[str]:
    return {
        f"{name}.{method}"
        for name, part in parts_of_a_store()
        for method, call in inspect.getmembers(part, inspect.iscoroutinefunction)
        if not method.startswith("_") and not hasattr(call, "__wrapped__")
    }


def test_what_may_be_done_twice_is_done_again_when_the_database_server_comes_back() -> None:
    assert impatient() == set(AT_ONCE)
