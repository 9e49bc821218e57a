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
    return _read("loader.js") or _SAYS_SO


@cache
def front_end() -> str:
    """The module itself, for a page whose server has none; where it is not built, one that says so."""
    return _read("coder.js") or _SAYS_SO


_SAYS_SO = f"export default {{ render({{ el }}) {{ el.textContent = {MISSING!r}; }} }};"


def _read(name: str) -> str | None:
    try:
        return (files("coder_nb") / "static" / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
