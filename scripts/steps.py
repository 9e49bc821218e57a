"""What the scripts share: saying what is done, failing with the cause, and an environment of the checkout's own.

Runs on any Python 3 and needs nothing but the standard library, so that an old Python is told what is missing.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "ci.txt"
FRONT_END = ROOT / "frontend"
OLDEST_PYTHON = (3, 11)
PIP = {
    "Installing build dependencies": "- fetching what builds it",
    "Installing backend dependencies": "- fetching what builds its front end",
    "Preparing editable metadata": "- building its front end, where that has changed",
    "Collecting": "- fetching the packages that it needs",
    "Installing collected packages": "- putting all into place",
}
"""What pip does, by how its lines begin."""
_BEGAN = time.monotonic()


class Failure(Exception):
    """A step failed; the text names the cause and what to do."""


def say(text: str) -> None:
    """Prints a line with the time since the script began."""
    minutes, seconds = divmod(int(time.monotonic() - _BEGAN), 60)
    print(f"[{minutes}:{seconds:02}] {text}", flush=True)


def run(
    *command: object,
    env: dict[str, str] | None = None,
    cwd: Path = ROOT,
    shown: bool = False,
    heard: Callable[[str], None] = lambda row: None,
) -> str:
    """Runs a program and returns what it printed; with `shown`, it prints to the terminal instead.

    `heard` is given each line as it comes. Raises `Failure` with the command and the end of its output where it does
    not succeed.
    """
    words = [str(word) for word in command]
    line, output = shlex.join(words), ""
    pipe = None if shown else subprocess.PIPE
    try:
        with subprocess.Popen(
            words, env=env, cwd=cwd, stdout=pipe, stderr=None if shown else subprocess.STDOUT
        ) as done:
            for said in done.stdout or ():
                row = said.decode(errors="replace")
                output += row
                heard(row)
    except OSError as error:
        raise Failure(f"this could not be started: {line} ({error.strerror}: {error.filename}).") from error
    if done.returncode:
        tail = "\n".join("    " + row for row in output.rstrip().splitlines()[-30:])
        raise Failure(f"this ended with code {done.returncode}: {line}" + (f"\n{tail}" if tail else ""))
    return output


def main(body: Callable[[], None]) -> None:
    """Runs a script's body; a `Failure` becomes a sentence and the exit code 1."""
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        say(f"FAILED: Python 3.11 or newer is needed and this is {found}: run the script with a newer one.")
        sys.exit(1)
    try:
        body()
    except Failure as failure:
        say(f"FAILED: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(130)


def digest(*paths: Path, also: str = "") -> str:
    """A hash of files and a text; what is missing counts as empty."""
    sha = hashlib.sha256(also.encode())
    for path in paths:
        sha.update(b"\0" + str(path.name).encode() + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return sha.hexdigest()


def fresh(stamp: Path, now: str) -> bool:
    """Whether the step that left this stamp was done for the same input."""
    return stamp.is_file() and stamp.read_text() == now


def progress(steps: dict[str, str]) -> Callable[[str], None]:
    """Says each step once, when a program's line that begins so has come."""
    left = dict(steps)

    def heard(row: str) -> None:
        for begin in [begin for begin in left if row.strip().startswith(begin)]:
            say(left.pop(begin))

    return heard


class Environment:
    """The virtual environment `.venv` of the checkout."""

    def __init__(self, path: Path = ROOT / ".venv") -> None:
        self.path = path
        self.bin = path / ("Scripts" if os.name == "nt" else "bin")
        self.python = self.bin / ("python.exe" if os.name == "nt" else "python")

    def variables(self, **more: str) -> dict[str, str]:
        """The caller's environment with this one's programs first, and nothing that would lead elsewhere."""
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        kept["VIRTUAL_ENV"] = str(self.path)
        kept["PATH"] = os.pathsep.join((str(self.bin), kept.get("PATH", os.defpath)))
        return {**kept, **more}

    def install(self, *what: str) -> None:
        """Makes the environment if there is none, and installs the checkout with pip where its input has changed."""
        front_end = [path for path in FRONT_END.rglob("*") if path.is_file() and "node_modules" not in path.parts]
        inputs = (ROOT / "pyproject.toml", ROOT / "hatch_build.py", LOCK, *sorted(front_end))
        now = digest(*inputs, also=f"{sys.version} {ROOT} {what}")
        stamp = self.path / f"installed-{digest(also=str(what))[:8]}"
        if self.python.exists() and fresh(stamp, now):
            say(f"Python environment {self.path.name}: up to date")
            return
        self._make()
        why = "anew, as what it is made of has changed" if stamp.is_file() else "(downloads on the first run)"
        say(f"Installing {' '.join(what)}, with its front end {why}")
        pip = (self.python, "-m", "pip", "--disable-pip-version-check", "install", "-c", LOCK)
        run(*pip, "--quiet", *(row for row in LOCK.read_text().splitlines() if row.startswith("pip==")))
        run(*pip, *what, env=self.variables(), heard=progress(PIP))
        stamp.write_text(now)

    def _make(self) -> None:
        if self.python.exists():
            return
        say(f"Making a Python environment in {self.path}")
        try:
            run(sys.executable, "-m", "venv", "--clear", self.path)
        except Failure as failure:
            cure = "Install Python's venv module (on Debian and Ubuntu: apt-get install python3-venv), then try again."
            raise Failure(f"{failure}\n    {cure}") from failure
