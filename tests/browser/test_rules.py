"""Answering "always": the rule is shown before it is made, answers after a reload, and ends when it is revoked."""

from __future__ import annotations

from harness import Notebook, until
from playwright.sync_api import Locator, expect
from test_live import START

PROMPT = "turn = session.run({!r}, agent='scripted', mode='ask')"
LAST = "[(row.status, row.by) for row in cnb.audit().itertuples() if row.session_id == session.id]"


def transcript(notebook: Notebook, cell: int) -> Locator:
    return notebook.output(cell).locator(".transcript")


def card(notebook: Notebook, cell: int, text: str) -> Locator:
    found = transcript(notebook, cell).locator(".kind-permission .card").filter(has_text=text)
    found.wait_for()
    return found


def test_always_is_answered_once_survives_a_reload_and_can_be_revoked(notebook: Notebook) -> None:
    prompts = [PROMPT.format(f"run echo {word}") for word in ("one", "two", "three")]
    notebook.write([START, *prompts, LAST]).open()
    notebook.run(0)
    notebook.start(1)
    asked = card(notebook, 1, "echo one")
    assert asked.get_by_role("button").all_inner_texts() == ["Allow\n1", "Always allow echo …\n2", "Reject\n3"]
    asked.get_by_role("button", name="Always allow echo …").click()
    form = asked.get_by_role("group", name="Always allow")
    expect(form.get_by_role("radio")).to_have_count(5)
    expect(form).to_contain_text("commands that begin with echo")
    expect(form).to_contain_text("exactly echo one")
    form.get_by_label("in this project").check()
    form.get_by_role("button", name="Always allow this").click()
    notebook.wait(1)
    answered = transcript(notebook, 1).locator(".kind-permission details.answered")
    answered.locator("summary").click()
    expect(answered).to_contain_text("Made a rule: allow commands that begin with echo, in this project.")

    notebook.save()
    notebook.reload()
    notebook.ready()
    notebook.run(2)
    told = transcript(notebook, 2).locator(".kind-permission details.answered")
    told.locator("summary").click()
    expect(told).to_contain_text("By a rule: allow commands that begin with echo, in this project.")

    shown = transcript(notebook, 2)
    shown.get_by_role("button", name="Rules").click()
    rules = shown.get_by_role("region", name="Rules")
    rules.get_by_text("commands that begin with echo").wait_for()
    expect(rules).to_contain_text("in this project · by ")
    rules.get_by_role("button", name="Revoke").click()
    rules.get_by_text("There are no rules here").wait_for()

    notebook.start(3)
    card(notebook, 3, "echo three").get_by_role("button", name="Reject").click()
    notebook.wait(3)
    until(lambda: "denied" in notebook.run(4), "the audit tells all three")
    found = notebook.text(4)
    assert "('allowed', 'rule')" in found
    assert found.count("('") == 3
