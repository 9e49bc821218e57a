"""What is shipped to practise with: a recording with the repository that it was made in, and a history."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

FIRST_STEPS = Path(__file__).parent / "first-steps.jsonl"
"""A chat of three turns: a bug in a summary is found and mended, a test is added, a question is answered."""
PRACTICE = Path(__file__).parent / "practice"
HISTORY = Path(__file__).parent / "history"
"""What Claude Code, Codex and Qwen Code wrote down in two weeks, see its README."""

_WRITTEN = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
"""When its files were written last: a history is asked for what is later than a day by that."""


def make_practice(path: str | os.PathLike[str] = "puffins") -> Path:
    """Makes a small git repository to try agents on, and returns where it is.

    That is `path`, or `path-2` and so on where it is taken: nothing that is there is touched. Raises `OSError` where it
    cannot be written, or where there is no git.
    """
    wanted = Path(path).expanduser().absolute()
    for number in itertools.count(1):
        place = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            place.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    shutil.copytree(PRACTICE, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (place / ".gitignore").write_text("__pycache__/\n")
    _git(place, "init", "--quiet", "--initial-branch=main")
    _git(place, "add", "--all")
    _git(place, "commit", "--quiet", "--message", "Weigh the puffins")
    return place


def make_history(path: str | os.PathLike[str] = "two-weeks") -> Path:
    """Makes a home directory in which three agents have worked for two weeks, and returns where it is.

    It is what ``cnb.history(roots=...)`` takes. What it says was recorded by us, with a scripted model and at another
    time: its README says how. What is there already stays as it is. Raises `OSError` where it cannot be written.
    """
    place = Path(path).expanduser().absolute()
    for file in sorted(HISTORY.rglob("*.json*")):
        agent, *rest = file.relative_to(HISTORY).parts
        copy = place.joinpath(f".{agent}", *rest)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            os.utime(copy, (_WRITTEN, _WRITTEN))
    return place


def _git(place: Path, *words: str) -> None:
    """Runs git as nobody in particular, whatever the user has configured; what it says goes into the error."""
    who = {"GIT_AUTHOR_NAME": "coder-nb", "GIT_AUTHOR_EMAIL": "coder-nb@localhost"}
    who |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in who.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {**kept, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *words], cwd=place, env=env, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"git {words[0]} failed in {place}: {done.stderr.strip()}")
