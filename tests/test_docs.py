"""The documents name everything that a user can call, set, type or ask for, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

import coder_nb
from coder_nb import errors, widgets
from coder_nb.analysis import columns, history, reference, summing, tables
from coder_nb.analysis.views import MEASURES
from coder_nb.backends.registry import KNOWN
from coder_nb.core.permissions import MODES
from coder_nb.kernel.magics import HELP
from coder_nb.kernel.options import OPTIONS
from coder_nb.settings import Settings
from jupyter_extension.routes import ROUTES, STREAM
from jupyter_extension.traits import field_docs

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
REFERENCE = PAGES["reference.md"]
FRAMES = {
    f"{module.__name__}.{name}": table
    for module in (columns, tables, summing, history)
    for name, table in vars(module).items()
    if name.isupper() and isinstance(table, tuple) and isinstance(table[0], columns.Column)
}


def plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


@pytest.mark.parametrize("name", coder_nb.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"\b{name}\b", REFERENCE)


@pytest.mark.parametrize("name", widgets.__all__)
def test_every_widget_is_in_the_reference(name: str) -> None:
    assert f"`{name}(" in REFERENCE or f"widgets.{name}(" in REFERENCE


@pytest.mark.parametrize("name", [n for cls in (coder_nb.Session, coder_nb.Turn) for n in vars(cls) if n[0] != "_"])
def test_every_call_of_a_session_and_a_turn_is_in_the_reference(name: str) -> None:
    known = ("id", "path", "name", "info", "main", "message", "done", "prompt", "chat")
    assert name in known or f".{name}" in REFERENCE


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_in_the_reference_with_what_it_means(name: str) -> None:
    row = next((line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |")), "")
    assert plain(field_docs(Settings)[name]) in row
    default = msgspec.to_builtins(Settings())[name]
    assert (f"`{msgspec.json.encode(default).decode()}`" if default != "" else "empty") in row


def test_the_reference_has_no_setting_that_is_not_there() -> None:
    table = REFERENCE.partition("## Settings")[2].partition("### Agents")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(Settings.__struct_fields__)


@pytest.mark.parametrize("name", FRAMES)
def test_every_column_is_in_the_reference_with_what_it_is(name: str) -> None:
    for column in FRAMES[name]:
        assert f"| `{column.name}` | {column.kind} | {column.what} |" in REFERENCE


def test_the_reference_has_the_frames_as_they_are_declared() -> None:
    assert reference.written(REFERENCE) == REFERENCE, "run python -m coder_nb.analysis.reference"


def test_every_measure_is_in_the_reference_with_what_it_is() -> None:
    for name, what in MEASURES.items():
        assert f"| `{name}` | {what} |" in REFERENCE


def test_every_magic_and_option_is_in_the_reference() -> None:
    for word in re.findall(r"^%coder (\w+)", HELP, re.MULTILINE):
        assert f"`%coder {word}" in REFERENCE
    for option in OPTIONS:
        assert f"`{option}" in REFERENCE


def test_every_permission_mode_is_in_the_reference() -> None:
    for mode in MODES:
        assert f"| `{mode}` |" in REFERENCE


def test_every_route_is_in_the_protocol_with_who_may() -> None:
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in PAGES["protocol.md"].splitlines()]
    said = {(row[1], re.sub(r"\{\w+\}", "{}", row[0].strip("`")), row[3]) for row in rows if len(row) == 4}
    for route in ROUTES:
        assert (route.method, re.sub(r"\{\w+\}", "{}", route.path), route.may) in said, route.path
    assert ("WebSocket", re.sub(r"\{\w+\}", "{}", STREAM), "read") in said


@pytest.mark.parametrize("spec", KNOWN, ids=lambda spec: spec.name)
def test_every_agent_is_in_the_readme_and_the_tested_ones_with_how_to_install_them(spec: object) -> None:
    name, install, tested = (getattr(spec, field) for field in ("name", "install", "tested"))
    assert f"`{name}`" in PAGES["README.md"]
    if tested and install:
        assert f"| `{name}` | `{install}` |" in PAGES["README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    folder = ROOT if (ROOT / page).exists() else ROOT / "docs"
    for target in re.findall(r"""(?:\]\(|src="|srcset=")([^)"#]+)[)"]""", PAGES[page]):
        assert "://" in target or (folder / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_script_and_module_that_is_named_is_there(page: str) -> None:
    for path in re.findall(r"`(?:python3 )?((?:scripts|coder_nb|tests|frontend|requirements)/[\w./-]+)`", PAGES[page]):
        assert (ROOT / path).exists(), path


def test_every_error_says_what_to_do_or_what_happened() -> None:
    for cls in errors.by_code().values():
        assert str(cls()).endswith((".", ")"))
