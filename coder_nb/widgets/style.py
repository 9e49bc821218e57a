"""The style of static output. It paints its own ground, so that its contrast holds on any page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

LIGHT: Mapping[str, str] = {
    "fg": "#1f2328",
    "muted": "#57606a",
    "bg": "#ffffff",
    "soft": "#f4f6f8",
    "line": "#d0d7de",
    "accent": "#0550ae",
    "add-fg": "#0f5323",
    "add-bg": "#dcf7e3",
    "add-word": "#b5ebc4",
    "del-fg": "#86101f",
    "del-bg": "#ffe9e7",
    "del-word": "#ffd0cc",
    "warn": "#7a4b00",
    "keyword": "#a40e26",
    "string": "#0a3069",
    "number": "#0550ae",
    "name": "#6639ba",
}
DARK: Mapping[str, str] = {
    "fg": "#e6edf3",
    "muted": "#9da7b1",
    "bg": "#111418",
    "soft": "#1b2027",
    "line": "#3d444d",
    "accent": "#79c0ff",
    "add-fg": "#a5f0b5",
    "add-bg": "#12301c",
    "add-word": "#1a4a2b",
    "del-fg": "#ffc1ba",
    "del-bg": "#3c1518",
    "del-word": "#66242a",
    "warn": "#e3b341",
    "keyword": "#ff9a92",
    "string": "#a5d6ff",
    "number": "#79c0ff",
    "name": "#d2a8ff",
}
PAIRS: tuple[tuple[str, str], ...] = (
    *(
        (word, ground)
        for word in ("fg", "muted", "accent", "warn", "keyword", "string", "number", "name")
        for ground in ("bg", "soft")
    ),
    *(
        (word, ground)
        for word in ("fg", "keyword", "string", "number", "name")
        for ground in ("add-bg", "del-bg", "add-word", "del-word")
    ),
    ("muted", "add-bg"),
    ("muted", "del-bg"),
    *((word, "bg") for word in ("add-fg", "del-fg")),
    ("add-fg", "soft"),
    ("del-fg", "soft"),
)
"""What is written on what; a test measures the contrast of each."""


def _variables(theme: Mapping[str, str]) -> str:
    return ";".join(f"--cnb-{name}:{value}" for name, value in theme.items())


def _rules() -> str:
    text = (files("coder_nb.widgets") / "output.css").read_text(encoding="utf-8")
    return re.sub(r"\s*([{};,])\s*", r"\1", re.sub(r"/\*.*?\*/", "", text)).strip()


CSS = (
    f".cnb{{{_variables(LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{.cnb{{{_variables(DARK)}}}}}"
    f'[data-jp-theme-light="true"] .cnb,.vscode-light .cnb{{{_variables(LIGHT)}}}'
    f'[data-jp-theme-light="false"] .cnb,.vscode-dark .cnb{{{_variables(DARK)}}}' + _rules()
)
"""By the page's theme where it says which it has, else by the reader's preference."""
