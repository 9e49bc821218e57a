"""The built front end, as files of this package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

MISSING = (
    "The front end of coder-nb is not built: "
    "install a released version, or run `npm ci && npm run build` in `frontend/`."
)


@cache
def loader() -> str:
    """The small module that a widget carries; where the front end is not built, one that says so."""
    text = _read("loader.js")
    if text is not None:
        return text
    return f"export default {{ render({{ el }}) {{ el.textContent = {MISSING!r}; }} }};"


def front_end() -> tuple[str, str]:
    """The module itself, and an empty sentence; or nothing, and the sentence that says why."""
    text = _read("coder-nb.js")
    return ("", MISSING) if text is None else (text, "")


def _read(name: str) -> str | None:
    try:
        return (files("coder_nb") / "static" / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
