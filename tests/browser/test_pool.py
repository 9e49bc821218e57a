"""The panel of warm agents, in a real notebook: it lives, it acts, and it says why an agent crashed."""

from __future__ import annotations

from harness import Notebook, until

START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
session = cnb.session(make_practice())
mine = lambda: (lambda frame: frame[frame.session_id == session.id])(cnb.pool())
cnb.pool_panel()
"""


def test_the_panel_follows_an_agent_through_its_crash_and_ends_it(notebook: Notebook) -> None:
    said = f"say hello from {notebook.path}"  # the server is shared with other tests
    notebook.write(
        [
            START,
            f"session.run({said!r}, agent='scripted', mode='bypass', display=False).state",
            "session.run('stderr 50; die 3', agent='scripted', mode='bypass', display=False).state",
            "mine()[['state', 'restarts', 'why']].to_dict('records')",
            "len(mine())",
        ]
    ).open()
    notebook.run(0)
    panel = notebook.output(0).locator(".pool")
    panel.wait_for()
    notebook.run(1)
    row = panel.locator(".agent").filter(has_text=said)
    idle = row.locator(".state-idle")
    until(lambda: idle.count() == 1, "the panel shows the agent, idle", seconds=60, page=notebook.page)
    notebook.start(2)
    why = row.get_by_text("Started again once: Scripted stopped working: it ended with exit code 3")
    until(lambda: why.count() == 1, "the panel says why", seconds=60, page=notebook.page)
    row.get_by_role("button", name="Log of scripted").press("Enter")
    row.locator(".agent-log").get_by_text("agent_crashed").wait_for()
    row.get_by_role("button", name="Log of scripted").press("Escape")
    until(lambda: notebook.ended(2), "the turn has ended", seconds=60, page=notebook.page)
    assert "exit code 3" in notebook.run(3)
    until(lambda: idle.count() == 1, "it is warm again", seconds=60, page=notebook.page)
    row.get_by_role("button", name="End scripted").press("Space")
    panel.get_by_role("status").get_by_text("scripted was ended: its next prompt goes on where it was.").wait_for()
    until(lambda: row.count() == 0, "it is gone from the panel", seconds=60, page=notebook.page)
    assert notebook.run(4).strip() == "0"
