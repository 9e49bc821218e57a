"""Who imports whom, which layer knows which library, and who owns tasks; each rule catches what is planted."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("coder_nb", "jupyter_extension")

GROUND = {"errors", "ids", "settings", "core", "prices"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "ids": set(),
    "core": {"errors"},
    "settings": {"errors", "core"},
    "prices": {"errors", "core"},
    "recordings": set(),
    "store": GROUND | {"backends.history"},
    "worktrees": GROUND,
    "analysis": GROUND,
    "readers": GROUND,
    "backends": GROUND | {"recordings"},
    "warm": GROUND | {"backends"},
    "claude": GROUND | {"store", "backends"},
    "runtime": GROUND | {"store", "warm", "worktrees", "backends"},
    "client": GROUND | {"analysis", "readers"},
    "widgets": GROUND | {"client", "analysis"},
    "door": GROUND | {"client", "analysis", "widgets"},
    "kernel": GROUND | {"client", "analysis", "widgets", "door"},
    "cli": GROUND | {"coder_nb", "client", "analysis", "widgets", "door", "store.roles"},
    "coder_nb": GROUND | {"claude", "client", "analysis", "widgets", "door", "kernel"},
    "testing": GROUND | {"store.base", *(f"backends.{name}" for name in ("base", "events", "processes", "history"))},
    "jupyter_extension": GROUND | {"runtime", "store", "warm", "worktrees", "backends"},
}
"""Who may import whom: a part, and the parts (or single modules) that it may know. What is not here knows nothing."""

ALSO: dict[str, set[str]] = {"coder_nb.client.embedded": {"runtime"}}
"""The in-kernel runtime is the one place where the client meets the runtime."""

THIRD_PARTIES: dict[str, set[str]] = {
    "tornado": {"jupyter_extension"},
    "jupyter_server": {"jupyter_extension"},
    "traitlets": {"jupyter_extension", "widgets"},
    "yaml": {"jupyter_extension"},
    "jupyter_core": {"jupyter_extension", "settings"},
    "anywidget": {"widgets"},
    "ipywidgets": {"widgets"},
    "markdown_it": {"widgets"},
    "pygments": {"widgets"},
    "IPython": {"widgets", "kernel", "client"},
    "ipykernel": {"kernel"},
    "sqlalchemy": {"store"},
    "alembic": {"store"},
    "aiosqlite": {"store"},
    "asyncpg": {"store"},
    "pandas": {"analysis"},
    "pyarrow": {"analysis", "readers"},
    "numpy": {"analysis"},
    "matplotlib": {"analysis"},
    "genai_prices": {"prices"},
    "claude_agent_sdk": {"backends", "claude"},
    "nest_asyncio": {"door"},
    "httpx": {"client", "backends"},
    "pydantic_ai": {"backends"},
    "httpx2": {"backends"},
    "websockets": {"client"},
    "psutil": {"store", "warm", "client", "backends"},
    "msgspec": set(MAY_IMPORT),
}
"""Which parts may know a third party; `if TYPE_CHECKING:` knows what it likes."""

LAZY = {"pandas", "pyarrow", "numpy", "matplotlib", "genai_prices", "nest_asyncio", "IPython"}
"""Third parties that are imported inside functions only (IPython: but by the kernel extension, which lives in it)."""

PURE = {
    *("__future__", "bisect", "collections", "dataclasses", "difflib", "enum", "fnmatch", "functools", "hashlib"),
    *("re", "typing"),
}
"""All of the standard library that the core knows: no I/O, no clock, no loop."""

OWNERS = {
    "coder_nb.runtime.tasks",
    "coder_nb.runtime.interview",
    "coder_nb.runtime.hosting",
    "coder_nb.worktrees.git",
    "coder_nb.warm.groups",
    "coder_nb.warm.pool",
    "coder_nb.warm.process",
    "coder_nb.store.postgres",
    "coder_nb.store.sqlite",
    "coder_nb.backends.acp.connection",
    "coder_nb.backends.acp.services",
    "coder_nb.backends.acp.session",
    "coder_nb.backends.acp.terminals",
    "coder_nb.backends.native.session",
    "coder_nb.backends.claude.client",
    "coder_nb.backends.claude.relay",
    "coder_nb.backends.claude.session",
    "coder_nb.backends.claude.session_store",
    "coder_nb.backends.opencode.backend",
    "coder_nb.backends.opencode.server",
    "coder_nb.backends.replay.session",
    "coder_nb.testing.memory.chats",
    "jupyter_extension.app",
    "jupyter_extension.websocket",
}
"""The modules whose objects own tasks and end them; everybody else uses a task group."""


class Import(NamedTuple):
    module: str
    lazy: bool
    types: bool


def part_of(module: str) -> str:
    """The part of the house that a module belongs to."""
    names = module.split(".")
    return names[1] if names[0] == "coder_nb" and len(names) > 1 else names[0]


def imports(tree: ast.AST, *, lazy: bool = False, types: bool = False) -> Iterator[Import]:
    """All imports of a module, and whether they happen when it is imported."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, lazy, types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            is_ours = (node.module or "").split(".")[0] in PACKAGES
            yield from (Import(name, lazy, types) for name in (names if is_ours else [node.module or ""]))
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            is_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            yield from imports(node, lazy=lazy or is_function, types=types or is_types)


def wrong_direction(module: str, found: Import) -> bool:
    """Whether a module of ours must not know another of ours."""
    if found.module == "coder_nb.__version__":
        return False
    mine, theirs = part_of(module), part_of(found.module)
    allowed = MAY_IMPORT.get(mine, set()) | ALSO.get(module, set()) | {mine}
    inner = found.module.removeprefix("coder_nb.")
    return theirs not in allowed and not any(inner == one or inner.startswith(f"{one}.") for one in allowed)


def wrong_third_party(module: str, found: Import) -> bool:
    """Whether a module must not know a library, or not so early."""
    name, mine = found.module.split(".")[0], part_of(module)
    if name in sys.stdlib_module_names:
        return mine == "core" and name not in PURE
    if found.types:
        return mine == "core"
    early = name in LAZY and not found.lazy and not (name == "IPython" and mine == "kernel")
    return mine not in THIRD_PARTIES.get(name, set()) or early


def unowned_tasks(module: str, tree: ast.AST) -> Iterator[str]:
    """Tasks that are made outside of a task group, by a module that owns none."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        maker, owner = node.func.attr, ast.unparse(node.func.value)
        in_a_group = maker == "create_task" and owner != "asyncio" and not owner.endswith("loop()")
        if maker in ("create_task", "ensure_future") and not in_a_group and module not in OWNERS:
            yield f"line {node.lineno}: {owner}.{maker}"


def violations(module: str, source: str) -> list[str]:
    """What a module does that the architecture forbids."""
    tree = ast.parse(source)
    found = list(imports(tree))
    ours = [one for one in found if one.module.split(".")[0] in PACKAGES]
    theirs = [one for one in found if one.module.split(".")[0] not in PACKAGES]
    return [
        *(f"{module} must not import {one.module}" for one in ours if wrong_direction(module, one)),
        *(f"{module} must not import {one.module} (there)" for one in theirs if wrong_third_party(module, one)),
        *(f"{module} makes a task that nobody owns, {where}" for where in unowned_tasks(module, tree)),
    ]


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of ours, by name; what a recording carries is data."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            names = path.relative_to(ROOT).with_suffix("").parts
            if names[:2] == ("coder_nb", "recordings") and len(names) > 3:
                continue
            yield ".".join(name for name in names if name != "__init__"), path


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_keeps_to_the_architecture(module: str, path: Path) -> None:
    assert violations(module, path.read_text(encoding="utf-8")) == []


def test_every_part_has_its_place() -> None:
    assert {part_of(module) for module, _ in modules()} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("coder_nb.core.entries", "from coder_nb.store.base import Log"),
        ("coder_nb.core.entries", "import asyncio"),
        ("coder_nb.core.entries", "def now():\n    import time"),
        ("coder_nb.core.entries", "import pathlib"),
        ("coder_nb.core.entries", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas"),
        ("coder_nb.store.log", "from coder_nb.runtime import Runtime"),
        ("coder_nb.store.log", "def f():\n    from coder_nb.backends.events import Event"),
        ("coder_nb.backends.acp.wire", "import coder_nb.warm.process"),
        ("coder_nb.warm.pool", "from coder_nb import store"),
        ("coder_nb.runtime.turn", "from coder_nb.client.chat import Chat"),
        ("coder_nb.runtime.turn", "from coder_nb.testing import scripted_agent"),
        ("coder_nb.client.chat", "from coder_nb.runtime import Runtime"),
        ("coder_nb.client.chat", "from coder_nb.widgets.base import View"),
        ("coder_nb.client.chat", "import traitlets"),
        ("coder_nb.analysis.frames", "import pandas"),
        ("coder_nb.analysis.frames", "from coder_nb.store.open import open_store"),
        ("coder_nb.widgets.html", "def f():\n    import pandas"),
        ("coder_nb.widgets.html", "import tornado.web"),
        ("coder_nb.door", "import nest_asyncio"),
        ("coder_nb.testing.clocks", "from coder_nb.store.open import open_store"),
        ("coder_nb.newcomer", "from coder_nb.errors import CoderError"),
        ("jupyter_extension.rest", "from coder_nb.client.chat import Chat"),
        ("jupyter_extension.rest", "from coder_nb import widgets"),
        ("jupyter_extension.rest", "def f():\n    from coder_nb.analysis import frames"),
        ("jupyter_extension.rest", "import coder_nb.testing"),
        ("jupyter_extension.rest", "import coder_nb as cnb"),
        ("coder_nb.store.log", "import requests"),
        ("coder_nb.store.log", "import asyncio\nasyncio.create_task(f())"),
        ("coder_nb.store.log", "import asyncio\nasyncio.get_running_loop().create_task(f())"),
        ("coder_nb.store.log", "import asyncio\nt = asyncio.ensure_future(f())"),
    ],
)
def test_what_breaks_a_rule_is_caught(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("coder_nb.core.entries", "import msgspec\nfrom collections.abc import Iterator"),
        ("coder_nb.client.chat", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas as pd"),
        ("coder_nb.client.embedded", "def f():\n    from coder_nb.runtime import Runtime"),
        ("coder_nb.analysis.frames", "def f():\n    import pandas as pd"),
        ("coder_nb.kernel.magics", "from IPython.core.magic import Magics"),
        ("coder_nb.store.log", "async def f(group):\n    group.create_task(g())"),
        ("coder_nb.runtime.turn", "from coder_nb import __version__, errors"),
        ("jupyter_extension.app", "def f():\n    from coder_nb.runtime import Runtime"),
        ("coder_nb.cli", "import coder_nb as cnb"),
    ],
)
def test_what_keeps_the_rules_passes(module: str, source: str) -> None:
    assert violations(module, source) == []
