"""What a notebook user may write: names, signatures, and the lightness of the import."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import coder_nb

ROOT = Path(__file__).parents[1]
HEAVY = ("pandas", "anywidget", "ipywidgets", "httpx", "websockets", "sqlalchemy", "IPython", "asyncio", "msgspec")


def test_the_public_names_are_these() -> None:
    assert sorted(coder_nb.__all__) == [
        "AtRisk",
        "Changes",
        "Chat",
        "CoderError",
        "Entries",
        "History",
        "NobodyToAsk",
        "Permission",
        "Session",
        "Settings",
        "Turn",
        "TurnCancelled",
        "TurnFailed",
        "agent_log",
        "agents",
        "allow_nested_loops",
        "as_if",
        "attach",
        "attention",
        "audit",
        "chat",
        "claude_session_store",
        "close",
        "configure",
        "errors",
        "everything",
        "evict",
        "history",
        "label",
        "plots",
        "pool",
        "pool_panel",
        "reap",
        "reprice",
        "restart",
        "revoke",
        "rules",
        "session",
        "sessions",
        "shared",
        "usage",
        "widgets",
    ]


def test_no_part_of_the_package_has_the_name_of_a_function_of_the_front_door() -> None:
    parts = {part.name for part in pkgutil.iter_modules(coder_nb.__path__)}
    assert parts & set(coder_nb.__all__) == {"errors", "widgets"}, "importing a part puts it in the function's place"


@pytest.mark.parametrize("name", coder_nb.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(coder_nb, name)
    assert inspect.getdoc(value)
    assert name in dir(coder_nb)


def test_a_session_prompts_as_its_chat_does() -> None:
    for method in ("prompt", "run"):
        session, chat = getattr(coder_nb.Session, method), getattr(coder_nb.Chat, method)
        assert inspect.signature(session) == inspect.signature(chat)


def test_what_is_no_name_of_ours_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'seesion'"):
        coder_nb.seesion  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        coder_nb.widgets.Nothing  # type: ignore[attr-defined]


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, coder_nb; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_use_loads_neither_pandas_nor_widgets() -> None:
    code = "import sys, coder_nb; coder_nb.session; print('pandas' in sys.modules, 'anywidget' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert coder_nb.__version__ == project["version"]
