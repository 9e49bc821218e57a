"""Makes the pictures of the README: the lesson's first turn in Notebook 7, in both themes.

    python docs/images/make.py FOLDER

FOLDER must not exist; it is the home of the Jupyter server that is looked at, and its name is seen in the pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "browser"))
from harness import CHROMIUM_ARGS, Notebook, jupyter, new_notebook  # noqa: E402

CELLS = (
    "import coder_nb as cnb\nfrom coder_nb.recordings import make_practice\n\nsession = cnb.session(make_practice())",
    "await session.prompt(\n"
    '    "The Tufted puffins should be the heaviest, but summary.py says that they are "\n'
    '    "lighter than the Horned ones. Find out why, and fix it.",\n'
    '    agent="replay",\n'
    ")",
    "session.changes",
)
TALLER = (
    "() => document.querySelectorAll('.coder-nb-view').forEach(v => v.style.setProperty('--max-height', '42.5rem'))"
)
STYLE = ".jp-cell-toolbar, .jp-Collapser { display: none !important }"


def picture(notebook: Notebook, cell: int, name: str) -> None:
    notebook.page.add_style_tag(content=STYLE)
    notebook.page.evaluate(TALLER)
    notebook.page.mouse.move(0, 0)
    notebook.cell(cell).evaluate("cell => cell.scrollIntoView()")
    notebook.page.wait_for_timeout(800)
    box = notebook.cell(cell).bounding_box()
    assert box is not None, "the cell is in the page"
    edge = 4  # the border of the cell that is selected
    clip = {
        "x": box["x"] + edge,
        "y": box["y"] + edge,
        "width": box["width"] - 2 * edge,
        "height": box["height"] - 2 * edge,
    }
    notebook.page.screenshot(path=HERE / f"{name}.png", clip=clip)


def take(notebook: Notebook, ending: str) -> None:
    notebook.run(0)
    notebook.start(1)
    card = notebook.output(1).get_by_role("group", name="Permission")
    card.wait_for()
    picture(notebook, 1, f"transcript{ending}")
    card.get_by_role("button", name="Allow").first.click()
    notebook.wait(1)
    notebook.run(2)
    picture(notebook, 2, f"diff{ending}")


def main() -> None:
    [home] = map(Path, sys.argv[1:])
    with jupyter("notebook", home, CODER_NB_REPLAY_PACE="2") as server, sync_playwright() as playwright:
        for theme, ending in (("Light", ""), ("Dark", "-dark")):
            context = playwright.chromium.launch_persistent_context(
                home / f"chromium{ending}",
                executable_path="/usr/bin/chromium",
                args=list(CHROMIUM_ARGS),
                viewport={"width": 1060, "height": 1000},
                device_scale_factor=2,
            )
            notebook = new_notebook(server, context, f"lesson{ending}").write(CELLS).open()
            notebook.theme("Light" if theme == "Light" else "Dark")
            take(notebook, ending)
            notebook.close()
            context.close()


if __name__ == "__main__":
    main()
