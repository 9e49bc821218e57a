"""Notebooks are told by their cells: what was said in them, and in words what else changed."""

from __future__ import annotations

import json
from typing import Any

from coder_nb.core.notebooks import cell_deltas


def cell(name: str, text: str | list[str], **more: Any) -> dict[str, Any]:
    return {"id": name, "cell_type": "code", "source": text, "metadata": {}, "outputs": [], **more}


def notebook(*cells: dict[str, Any]) -> str:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def told(old: str | None, new: str | None) -> list[tuple[Any, ...]]:
    found = cell_deltas(old, new)
    assert found is not None
    return [(d.operation, d.number, [line for h in d.hunks for line in h.lines], d.note) for d in found]


def test_a_cell_is_the_same_by_its_id_whatever_stands_in_it() -> None:
    old = notebook(cell("a", "x = 1"), cell("b", ["y = 2\n", "z = 3"]), cell("c", "old"))
    new = notebook(cell("n", "new"), cell("a", "x = 1"), cell("b", "y = 2\nz = 4"))
    assert told(old, new) == [
        ("create", 1, ["+new"], ""),
        ("edit", 3, [" y = 2", "-z = 3", "+z = 4"], ""),
        ("delete", 3, ["-old"], ""),
    ]


def test_outputs_kinds_and_places_are_told_in_words() -> None:
    output = {"output_type": "stream", "name": "stdout", "text": "1"}
    old = notebook(cell("a", "a"), cell("b", "b", outputs=[output]), cell("c", "c"), cell("d", "d"))
    new = notebook(
        cell("d", "d", execution_count=7),
        cell("a", "a", cell_type="markdown"),
        cell("b", "b"),
        cell("c", "c", outputs=[output] * 2),
    )
    assert told(old, new) == [
        ("edit", 1, [], "Moved."),
        ("edit", 2, [], "It was a code cell."),
        ("edit", 3, [], "Its outputs were cleared."),
        ("edit", 4, [], "2 outputs."),
    ]


def test_cells_without_ids_are_one_where_their_sources_are_alike() -> None:
    def bare(*sources: str) -> str:
        return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]})

    old, new = bare("import os", "total = sum(values)", "c"), bare("import os", "total = sum(value)", "something else")
    assert [(kind, number) for kind, number, _, _ in told(old, new)] == [("edit", 2), ("delete", 3), ("create", 3)]


def test_a_new_and_a_deleted_notebook_are_told_and_what_is_none_is_not() -> None:
    assert told(None, notebook(cell("a", "x"))) == [("create", 1, ["+x"], "")]
    assert told(notebook(cell("a", "x")), None) == [("delete", 1, ["-x"], "")]
    for broken in ("{", "[]", '{"cells": 3}', '{"cells": [1]}', "\ud800"):
        assert cell_deltas(broken, notebook()) is None
