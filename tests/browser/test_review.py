"""A review worked by hand: the checkout is exactly what was decided, and what it was when that is undone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from harness import Notebook, until

LINES = [f"line {n}\n" for n in range(60)]
AGENTS = {3: "three\n", 30: "thirty\n", 55: "fifty-five\n"}
START = """
import coder_nb as cnb
from coder_nb.recordings import make_practice
repository = make_practice()
desk = repository.with_name("desk")
desk.mkdir()
(repository / "long.txt").write_text({mine!r})
(repository / "other.txt").write_text("other\\n")
(desk / "long.txt").write_text({agents!r})
(desk / "other.txt").write_text("agent's\\n")
session = cnb.session(repository)
session.run(f"run cp {{desk}}/long.txt {{desk}}/other.txt .", agent="scripted", mode="bypass", display=False)
print(repository)
"""


def lines(edits: dict[int, str]) -> str:
    return "".join(edits.get(n, line) for n, line in enumerate(LINES))


def seen(root: Path) -> dict[str, tuple[bytes, int]]:
    """What its files hold and their modes, without those that go while one looks."""
    files = {}
    for path in root.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            with suppress(FileNotFoundError):
                files[str(path.relative_to(root))] = (path.read_bytes(), path.stat().st_mode)
    return files


@pytest.mark.parametrize("server", ["lab"], indirect=True)
def test_two_hunks_are_accepted_a_file_is_rejected_a_line_is_commented_on_and_all_is_undone(notebook: Notebook) -> None:
    start = START.format(mine=lines({}), agents=lines(AGENTS))
    notebook.write([start, "session.changes", "print(session.transcript)"]).open()
    repository = Path(notebook.run(0).split()[-1])
    before = seen(repository)
    notebook.run(1)
    panel = notebook.output(1).locator(".changes")
    long = panel.get_by_role("article", name="long.txt")
    long.get_by_role("button", name="Apply hunk 1 of 3 of long.txt").click()
    long.get_by_role("button", name="Apply hunk 2 of 2 of long.txt").click()
    long.get_by_text("1 hunk applied").nth(1).wait_for()
    panel.get_by_role("button", name="Reject other.txt").click()
    panel.get_by_role("article", name="other.txt").get_by_text("Rejected", exact=True).wait_for()

    long.get_by_role("region", name="hunk 1 of 1 of long.txt").focus()
    notebook.page.keyboard.press("c")
    notebook.page.keyboard.type("Why thirty?")
    notebook.page.keyboard.press("Control+Enter")
    tray = panel.get_by_role("region", name="Comments")
    tray.get_by_text("What will be sent").click()
    sent = tray.locator("pre").inner_text()
    assert sent.endswith("long.txt:31\n> thirty\nWhy thirty?")

    decided = {"long.txt": lines({3: "three\n", 55: "fifty-five\n"}).encode(), "other.txt": b"other\n"}
    assert {name: content for name, (content, _) in seen(repository).items()} == {
        name: decided.get(name, content) for name, (content, _) in before.items()
    }
    panel.get_by_role("button", name="Undo long.txt").click()
    until(lambda: seen(repository) == before, "the checkout is what it was", page=notebook.page)
    tray.get_by_role("button", name="Send to the agent").click()
    until(lambda: "> Why thirty?" in notebook.run(2), "the agent has the comment", page=notebook.page)
