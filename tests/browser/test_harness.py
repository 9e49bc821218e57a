"""The harness itself, on a notebook of ipywidgets alone."""

from __future__ import annotations

from harness import Notebook, until


def test_a_plain_ipywidget_is_shown_and_calls_back(notebook: Notebook) -> None:
    notebook.write(
        [
            "import ipywidgets\n"
            "button = ipywidgets.Button(description='Press')\n"
            "button.on_click(lambda b: setattr(b, 'description', 'Pressed'))\n"
            "button",
            "button.description",
        ]
    ).open()
    notebook.run(0)
    notebook.output(0).get_by_role("button", name="Press").click()
    notebook.output(0).get_by_role("button", name="Pressed").wait_for()
    assert notebook.run(1) == "'Pressed'"


def test_a_blocked_cell_is_interrupted_and_the_kernel_restarted(notebook: Notebook) -> None:
    notebook.write(["import time; print('begun'); time.sleep(60)", "answer = 42", "answer"]).open()
    notebook.start(0)
    until(lambda: "begun" in notebook.text(0), "the cell runs", page=notebook.page)
    notebook.interrupt()
    notebook.wait(0, seconds=10)
    notebook.run(1)
    notebook.restart()
    assert "not defined" in notebook.run(2)


def test_a_notebook_is_saved_and_reopened_with_a_fresh_kernel(notebook: Notebook) -> None:
    notebook.write(["print(6 * 7); kept = True", "kept"]).open()
    notebook.run(0)
    notebook.save()
    notebook.close()
    notebook.open()
    assert "42" in notebook.output(0).inner_text()
    assert "not defined" in notebook.run(1)
