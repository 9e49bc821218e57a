"""The notebook's Python as the agents' Python, whose imports come from the worktree and not from the checkout."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

_SITES = ("lib/python3*/site-packages", "lib/python3/dist-packages", "Lib/site-packages")


def environment(python: str, checkout: Path, worktree: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that let a program find an interpreter first, and the worktree's packages before the checkout's.

    `python` is the interpreter's own path, links and all, as a virtual environment is known by it. Agents find that of
    this very process anyway.
    """
    program = Path(python)
    prefix = program.parent.parent
    found: dict[str, str] = {}
    if program.parent != Path(sys.executable).parent:
        others = [part for part in environ.get("PATH", "").split(os.pathsep) if part and part != str(program.parent)]
        found["PATH"] = os.pathsep.join([str(program.parent), *others])
        found["VIRTUAL_ENV"] = str(prefix) if (prefix / "pyvenv.cfg").is_file() else ""
    if worktree != checkout:
        roots = [str(worktree / root) for root in import_roots(prefix, checkout)]
        if roots:
            found["PYTHONPATH"] = os.pathsep.join(roots)
    return found


def import_roots(prefix: Path, checkout: Path) -> list[Path]:
    """The folders of a checkout, relative to it, from which an installation imports what was installed editable."""
    found: dict[Path, None] = {}
    for pattern in _SITES:
        for site in sorted(prefix.glob(pattern)):
            for place in _editable(site):
                if place.is_absolute() and place.is_relative_to(checkout) and not place.is_relative_to(site):
                    found[place.relative_to(checkout)] = None
    return list(found)


def _editable(site: Path) -> Iterator[Path]:
    """Where packages lie that are installed editable: folders named in ``.pth`` files, or by setuptools' finders."""
    for file in sorted(site.glob("*.pth")):
        for line in _text(file).splitlines():
            if line.strip() and not line.startswith(("#", "import ", "import\t")):
                yield Path(os.path.realpath(site / line.strip()))
    for file in sorted(site.glob("__editable___*_finder.py")):
        for name, place in _mapping(_text(file)).items():
            parts = name.split(".")
            if Path(place).parts[-len(parts) :] == tuple(parts):
                yield Path(os.path.realpath(Path(place).parents[len(parts) - 1]))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mapping(source: str) -> dict[str, str]:
    """What a finder that setuptools wrote maps: packages to their folders."""
    try:
        body = ast.parse(source).body
        values = [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
        for node in values:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "MAPPING" and node.value is not None:
                found = ast.literal_eval(node.value)
                return {str(name): str(place) for name, place in found.items()}
    except (SyntaxError, ValueError, AttributeError):
        pass
    return {}
