"""Going back to before a prompt, and closing a chat whose work nobody has applied, as a person does both."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness import Notebook, until

START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
say = lambda text: session.run(text, agent='scripted', mode='bypass', display=False).state
say('write one.txt 1'), say('write two.txt 2')
print(session.path, session.info.worktree, sep="\\n")
"""


def test_a_person_goes_back_and_undoes_it_and_closes_the_chat_without_losing_its_work(notebook: Notebook) -> None:
    notebook.write([START, "session.widget()"]).open()
    checkout, worktree = map(Path, notebook.run(0).split())
    notebook.run(1)
    shown, page = notebook.output(1), notebook.page

    def texts() -> list[str]:
        return sorted(path.name for path in worktree.glob("*.txt"))

    assert texts() == ["one.txt", "two.txt"]
    shown.get_by_role("button", name="Restore").nth(1).click()
    asked = shown.get_by_role("group", name="Restore the state from before this prompt?")
    asked.get_by_role("button", name="Restore").click()
    until(lambda: texts() == ["one.txt"], "the second file is gone", page=page)
    back = shown.locator(".kind-checkpoint")
    back.get_by_text("Went back to an earlier state").wait_for()
    until(lambda: shown.get_by_role("group", name="Prompt").count() == 1, "one prompt is shown", page=page)
    back.get_by_role("button", name="Undo").click()
    back.get_by_role("group", name="Undo this restore").get_by_role("button", name="Restore").click()
    until(lambda: texts() == ["one.txt", "two.txt"], "the second file is back", page=page)
    until(lambda: shown.get_by_role("group", name="Prompt").count() == 2, "both prompts are shown", page=page)

    shown.get_by_role("button", name="Close").click()
    shown.get_by_role("button", name="Close chat").click()
    lost = shown.get_by_role("group", name="This would be lost with the worktree")
    lost.get_by_text("2 pending changes").wait_for()
    assert worktree.is_dir()
    lost.get_by_label("Name of the branch").fill("kept")
    lost.get_by_role("button", name="Keep as this branch").click()
    until(lambda: not worktree.exists(), "the worktree is gone", page=page)
    names = ["git", "ls-tree", "--name-only", "kept"]
    kept = subprocess.run(names, cwd=checkout, capture_output=True, text=True, check=True).stdout.split()
    assert {"one.txt", "two.txt"} <= set(kept)
    assert not list(checkout.glob("*.txt"))
