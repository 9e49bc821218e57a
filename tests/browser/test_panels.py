"""The diff panel, the composer and the usage table, worked by hand."""

from __future__ import annotations

from pathlib import Path

from harness import Notebook, until
from playwright.sync_api import Locator, expect

START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
"""
EDIT = (
    "session.run('write one.txt 1; write two.txt 2; write three.txt 3', agent='scripted', mode='bypass', display=False)"
)


def file(panel: Locator, name: str) -> Locator:
    return panel.locator(".file-change").filter(has_text=name)


def test_apply_writes_the_file_and_reject_does_not(notebook: Notebook) -> None:
    notebook.write([START + EDIT + "\nsession.path", "session.changes", "session.changes.frame"]).open()
    repository = Path(notebook.run(0).splitlines()[-1].strip("'"))
    notebook.run(1)
    panel = notebook.output(1).locator(".changes")
    file(panel, "one.txt").get_by_role("button", name="Apply").click()
    file(panel, "one.txt").locator(".change-status").get_by_text("Applied").wait_for()
    assert (repository / "one.txt").read_text() == "1\n"
    file(panel, "two.txt").get_by_role("button", name="Reject").click()
    file(panel, "two.txt").locator(".change-status").get_by_text("Rejected").wait_for()
    assert sorted(path.name for path in repository.glob("*.txt")) == ["one.txt"]


def test_apply_all_writes_every_file_while_the_kernel_is_busy(notebook: Notebook) -> None:
    notebook.write([START + EDIT + "\nsession.path", "session.changes", "import time; time.sleep(60)"]).open()
    repository = Path(notebook.run(0).splitlines()[-1].strip("'"))
    notebook.run(1)
    notebook.start(2)
    panel = notebook.output(1).locator(".changes")
    expect(panel.locator(".file-change .badge")).to_have_count(3)
    expect(panel.locator(".badge").first).to_contain_text("scripted")
    panel.get_by_role("button", name="Apply all").click()
    applied = panel.locator(".change-status").get_by_text("Applied")
    until(lambda: applied.count() == 3, "all are applied", seconds=10, page=notebook.page)
    assert sorted(path.name for path in repository.glob("*.txt")) == ["one.txt", "three.txt", "two.txt"]
    assert not notebook.ended(2)
    notebook.interrupt()


def test_the_composer_prompts_and_queues_a_second_prompt(notebook: Notebook) -> None:
    notebook.write([START + "session.widget()", "session.turns()[['agent', 'state']].to_dict('records')"]).open()
    notebook.run(0)
    shown = notebook.output(0)
    box = shown.locator(".composer textarea")
    until(box.is_enabled, "the composer is ready", page=notebook.page)
    shown.get_by_label("Agent", exact=True).select_option("scripted")
    shown.get_by_label("What the agent may do").select_option("bypass")
    box.fill("stream 40 50")
    shown.get_by_role("button", name="Send").click()
    shown.locator(".transcript").get_by_text("Running").wait_for()
    box.fill("say the second")
    box.press("Control+Enter")
    shown.locator(".queue").first.get_by_text("say the second").wait_for()
    shown.locator(".transcript").get_by_text("the second", exact=True).wait_for()
    until(lambda: shown.locator(".transcript .turn-end").count() == 2, "both have ended", page=notebook.page)
    assert notebook.run(1).count("'completed'") == 2


def test_the_usage_table_grows_and_is_its_frame(notebook: Notebook) -> None:
    prompt = "usage {} 20; cost {}"
    notebook.write(
        [
            START + "table = cnb.widgets.UsageTable(session)\ntable",
            f"session.run('{prompt.format(1000, 0.25)}', agent='scripted', mode='bypass', display=False).state",
            f"session.run('{prompt.format(500, 0.75)}', agent='scripted', mode='bypass', display=False).state",
            "table.frame[['input_tokens', 'output_tokens', 'cost_usd']].sum().tolist()",
        ]
    ).open()
    notebook.run(0)
    table = notebook.output(0).locator(".usage-table")
    notebook.output(0).get_by_text("No agent has reported any usage yet").wait_for()
    for index, rows in ((1, 1), (2, 2)):
        notebook.run(index)
        until(lambda rows=rows: table.locator("tbody tr").count() == rows, f"{rows} rows", page=notebook.page)
    assert notebook.run(3) == "[1500.0, 40.0, 1.0]"
    expect(table.locator("tfoot")).to_contain_text("1,500")
    total = table.locator("tfoot").inner_text().split()
    assert [total[1], total[3], total[4]] == ["1,500", "40", "$1.000"]


def test_the_composer_picks_what_the_agent_offers_carries_files_and_says_who_remembers(notebook: Notebook) -> None:
    state = "cnb.attention().set_index('chat_id').loc[session.main.id, 'state']"
    notebook.write([START + "session.widget()", f"print({state}, session.transcript)", f"print({state})"]).open()
    notebook.run(0)
    shown = notebook.output(0)
    composer = shown.locator(".composer")
    box = composer.locator("textarea")
    until(box.is_enabled, "the composer is ready", page=notebook.page)
    agent = composer.get_by_role("combobox", name="Agent", exact=True)
    agent.select_option("scripted")
    composer.get_by_label("What the agent may do").select_option("bypass")
    assert not composer.locator(".memory").is_visible(), "nobody has said anything yet"
    picture = {"name": "dot.png", "mimeType": "image/png", "buffer": b"\x89PNG"}
    composer.locator("input[type=file]").set_input_files([picture])
    composer.locator(".attached-name", has_text="dot.png").wait_for()
    box.fill("blocks")
    box.press("Control+Enter")
    shown.locator(".kind-text", has_text='"type": "image"').wait_for()
    composer.get_by_role("button", name="Scripted: resumed").wait_for()
    composer.get_by_role("combobox", name="Model", exact=True).select_option("large")
    composer.get_by_role("combobox", name="How much the agent thinks").select_option("high")
    box.fill("models; options")
    box.press("Control+Enter")
    shown.locator(".kind-text", has_text="largehigh").wait_for()
    until(lambda: notebook.run(2).strip() == "idle", "it was seen", page=notebook.page)
    assert "idle" in notebook.run(1)
