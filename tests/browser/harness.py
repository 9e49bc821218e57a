"""A real Jupyter server, and a notebook of it that is open in a real Chromium.

The notebook is driven by the application's own commands, and read from its model and from the page.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

import nbformat
from playwright.sync_api import BrowserContext, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
App = Literal["lab", "notebook"]
T = TypeVar("T")

MODULES: dict[App, tuple[str, str]] = {"lab": ("jupyterlab", "LabApp"), "notebook": ("notebook", "JupyterNotebookApp")}
TREES: dict[App, str] = {"lab": "lab/tree", "notebook": "notebooks"}
ANNOUNCEMENTS = "@jupyterlab/apputils-extension:announcements"
CHROMIUM_ARGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def until(look: Callable[[], T], what: str, *, seconds: float = 30.0, page: Page | None = None) -> T:
    """Looks again and again until what is seen is true, and returns it; fails after the deadline."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        page.wait_for_timeout(20) if page else time.sleep(0.02)
    return seen


# The server ----------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A Jupyter server in a home of its own."""

    app: App
    home: Path
    url: str
    token: str
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where its notebooks are."""
        return self.home / "work"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def request(self, method: str, path: str) -> Any:
        """Calls the server's REST interface, as its owner."""
        request = Request(self.url + path, method=method, headers={"Authorization": f"token {self.token}"})
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def answers(self) -> bool:
        try:
            return self.request("GET", "api/status") is not None
        except (URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def jupyter(app: App, home: Path, *, extension: bool = True, **variables: str) -> Iterator[Server]:
    """Runs `jupyter lab` or `jupyter notebook` until the block ends; without our `extension`, neither half of it."""
    module, name = MODULES[app]
    server = Server(
        app, home, f"http://127.0.0.1:{free_port()}/", secrets.token_urlsafe(16), environment(home, variables)
    )
    server.folder.mkdir(parents=True)
    settings = {
        "ServerApp": {"ip": "127.0.0.1", "port_retries": 0, "open_browser": False, "allow_root": True},
        name: {"expose_app_in_browser": True},
    }
    if not (extension and installed()):
        settings["ServerApp"]["jpserver_extensions"] = {"jupyter_extension": extension}
    (home / "config" / "labconfig").mkdir(parents=True)
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps(settings))
    disabled = {"disabledExtensions": {ANNOUNCEMENTS: True, "coder-nb": not extension}}
    (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(disabled))
    port = server.url.rsplit(":", 1)[1].rstrip("/")
    command = [sys.executable, "-m", module, f"--port={port}", f"--IdentityProvider.token={server.token}"]
    with server.log.open("wb") as log:
        process = subprocess.Popen(command, cwd=server.folder, env=dict(server.env), stdout=log, stderr=log)
    try:
        until(lambda: process.poll() is not None or server.answers(), "the server answers", seconds=60)
        assert process.poll() is None, f"the server has ended:\n{server.log.read_text()}"
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a user who has nothing but this environment: it sees no settings, files or keys of ours."""
    kept = {key: os.environ[key] for key in ("LANG", "LC_ALL", "TMPDIR", "TZ") if key in os.environ}
    data = home / "data"
    env = {
        **kept,
        "HOME": str(home),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(data),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        **variables,
    }
    if not installed():
        env["PYTHONPATH"] = str(ROOT)
        shutil.copytree(ROOT / "labextension", data / "labextensions" / "coder-nb")  # it may be built anew meanwhile
    return env


def installed() -> bool:
    """Whether the environment has the package; else the checkout is used as it stands."""
    try:
        return distribution("coder-nb") is not None
    except PackageNotFoundError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The notebook --------------------------------------------------------------------------------------------------------

OPEN = """async () => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  if (!panel?.sessionContext || !panel.content?.widgets) return false;
  await panel.context.ready;
  await panel.sessionContext.ready;
  return panel.sessionContext.session?.kernel?.status === 'idle';
}"""
RUN = """index => {
  const { shell, commands } = window.jupyterapp;
  const content = shell.currentWidget.content;
  content.activeCellIndex = index;
  content.deselectAll();
  window.ran ??= {};
  window.ran[index] = false;
  commands.execute('notebook:run-cell').then(() => { window.ran[index] = true; });
}"""
SAMPLE = """selector => {
  const deep = (root, found) => {
    for (const one of root.querySelectorAll('*')) {
      if (one.matches(selector)) found.push(one.innerText);
      if (one.shadowRoot) deep(one.shadowRoot, found);
    }
    return found;
  };
  window.samples = [];
  clearInterval(window.sampling);
  window.sampling = setInterval(() => {
    const text = deep(document, []).join('\\n');
    if (text !== window.samples.at(-1)?.text) window.samples.push({ at: performance.now(), text });
  }, 25);
}"""


@dataclass
class Notebook:
    """A notebook in a page, with a kernel of its own."""

    server: Server
    page: Page
    path: str
    console: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.server.folder / self.path

    def write(self, cells: Sequence[str], **metadata: Any) -> Notebook:
        """Writes the file; a cell that begins with ``#md`` is Markdown."""
        made = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}, **metadata}
        )
        for cell in cells:
            kind = nbformat.v4.new_markdown_cell if cell.startswith("#md") else nbformat.v4.new_code_cell
            made.cells.append(kind(cell.removeprefix("#md").strip()))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(made, self.file)
        return self

    def open(self) -> Notebook:
        """Opens it by its address, and waits for its kernel."""
        address = f"{self.server.url}{TREES[self.server.app]}/{self.path}?token={self.server.token}"
        self.page.goto(address + ("&reset" if self.server.app == "lab" else ""))
        return self.ready()

    def ready(self, *, seconds: float = 60) -> Notebook:
        """Waits until the document is there and its kernel idle."""
        until(lambda: self._evaluate(OPEN), f"{self.path} is open", seconds=seconds, page=self.page)
        return self

    def loaded(self, *, seconds: float = 60) -> Notebook:
        """Waits until the document is there, whatever its kernel does."""
        there = "() => !!window.jupyterapp?.shell?.currentWidget?.content?.widgets?.length"
        until(lambda: self._evaluate(there), f"{self.path} is there", seconds=seconds, page=self.page)
        return self

    def _evaluate(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def command(self, name: str, **arguments: Any) -> Any:
        """Executes one of the application's commands."""
        script = "([name, given]) => window.jupyterapp.commands.execute(name, given).then(() => null)"
        return self._evaluate(script, [name, arguments])

    # Cells

    def start(self, index: int) -> None:
        """Runs a cell without waiting for its end."""
        self._evaluate(RUN, index)

    def ended(self, index: int) -> bool:
        return bool(self._evaluate("index => window.ran?.[index] === true", index))

    def wait(self, index: int, *, seconds: float = 60) -> None:
        until(lambda: self.ended(index), f"cell {index} has ended", seconds=seconds, page=self.page)

    def run(self, index: int, *, seconds: float = 60) -> str:
        """Runs a cell, and returns its outputs as text."""
        self.start(index)
        self.wait(index, seconds=seconds)
        return self.text(index)

    def run_all(self, *, seconds: float = 60) -> None:
        """Runs the code cells one after another; fails at the first that raises."""
        for index, cell in enumerate(nbformat.read(self.file, as_version=4).cells):
            if cell.cell_type == "code":
                self.run(index, seconds=seconds)
                errors = [output for output in self.outputs(index) if output["output_type"] == "error"]
                assert not errors, "\n".join(errors[0]["traceback"])

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """A cell's outputs, as the document has them."""
        script = "index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs.toJSON()"
        return list(self._evaluate(script, index))

    def text(self, index: int) -> str:
        """The plain text of a cell's outputs."""
        parts = []
        for output in self.outputs(index):
            parts.append(output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", ""))
        return "\n".join("".join(part) for part in parts)

    def cell(self, index: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """What a cell shows below its input; selectors reach into shadow roots."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    # The kernel and the document

    def interrupt(self) -> None:
        self._evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")

    def restart(self) -> None:
        """A fresh kernel under the same page."""
        self._evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.ready()

    def save(self) -> None:
        self.command("docmanager:save")

    def reload(self) -> Notebook:
        """Reloads the page, as a user does in the middle of something."""
        self.page.reload()
        return self.loaded()

    def close(self) -> None:
        """Leaves the page and ends the kernel, so that opening it again begins with a fresh one."""
        self.page.goto("about:blank")
        for session in self.server.request("GET", "api/sessions"):
            if session["path"] == self.path:
                self.server.request("DELETE", f"api/sessions/{session['id']}")

    def theme(self, name: Literal["Light", "Dark"]) -> None:
        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        attribute = "() => document.body.dataset.jpThemeLight"
        wanted = "true" if name == "Light" else "false"
        until(lambda: self._evaluate(attribute) == wanted, f"the theme is {name}", page=self.page)

    # What is seen over time

    def watch(self, selector: str) -> None:
        """From now on keeps each different text that the elements of a selector show, with its time."""
        self._evaluate(SAMPLE, selector)

    def seen(self) -> list[tuple[float, str]]:
        """The texts since `watch`, with their times in seconds."""
        return [(sample["at"] / 1000, sample["text"]) for sample in self._evaluate("() => window.samples")]


def new_notebook(server: Server, chromium: BrowserContext, name: str) -> Notebook:
    """A notebook of that name, not yet written, in a page of its own."""
    page = chromium.new_page()
    made = Notebook(server, page, f"{name}.ipynb")
    page.on("console", lambda message: made.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: made.console.append(f"uncaught: {error}"))
    return made
