from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets
import pandas as pd
import pytest

import coder_nb
from coder_nb.client.chat import Chat
from coder_nb.core.entries import End, Text, Tokens, Usage
from coder_nb.testing.memory_runtime import Stage
from coder_nb.widgets.mimebundle import CHAT_MIME

Open = Callable[..., Chat]
VIEWS = {"Transcript": "transcript", "Composer": "composer", "DiffPanel": "diff", "UsageTable": "usage"}


async def spends(stage: Stage) -> End:
    stage.put(Text(text="done"))
    stage.put(Usage(tokens=Tokens(input=10, output=2), cost_nanousd=1_500_000, cost_source="reported"))
    return "completed"


@pytest.mark.parametrize(("name", "view"), VIEWS.items())
def test_a_view_is_a_widget_with_the_traits_of_the_document(open_chat: Open, name: str, view: str) -> None:
    chat = open_chat()
    chat.run("hello", timeout=30)
    widget = getattr(coder_nb.widgets, name)(chat)
    assert isinstance(widget, ipywidgets.DOMWidget)
    state = widget.get_state()
    assert (state["view"], state["chat_id"], state["turn_id"], state["runtime_id"]) == (view, chat.id, "", "memory")
    assert state["snapshot"]["version"] == 1
    assert len(state["snapshot"]["entries"]) == 4
    assert "secret" not in str(state)
    widget.close()


def test_views_compose_with_boxes_and_tabs(open_chat: Open) -> None:
    chat = open_chat()
    views = [getattr(coder_nb.widgets, name)(chat) for name in VIEWS]
    box = ipywidgets.VBox([ipywidgets.Tab(views), ipywidgets.HBox(views)])
    assert box.children[0].children == tuple(views)
    views[0].layout.height = "200px"
    assert views[0].layout.height == "200px"


def test_all_views_come_in_one_box(open_chat: Open) -> None:
    box = open_chat(spends).widget()
    assert isinstance(box, ipywidgets.VBox)
    assert [view.view for view in (box.transcript, box.composer, box.diff, box.usage)] == list(VIEWS.values())


def test_the_usage_tables_frame_is_the_table_as_data_and_grows(open_chat: Open) -> None:
    chat = open_chat(spends)
    table = coder_nb.widgets.UsageTable(chat)
    assert isinstance(table.frame, pd.DataFrame)
    assert len(table.frame) == 0
    chat.run("one", timeout=30)
    assert table.frame[["input_tokens", "output_tokens", "cost_usd"]].to_numpy().tolist() == [[10, 2, 0.0015]]
    chat.run("two", timeout=30)
    assert len(table.frame) == 2


def test_a_view_without_a_viewer_is_its_static_form(open_chat: Open) -> None:
    chat = open_chat(spends)
    chat.run("hello", timeout=30)
    for shown in (chat, chat.transcript, chat.changes, coder_nb.widgets.UsageTable(chat), chat.widget()):
        bundle: Any = shown._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        assert set(data) == {CHAT_MIME, "text/html", "text/plain"}
