"""Serves the gallery of all views: `python frontend/gallery.py`, then open the address that it prints."""

from __future__ import annotations

import http.server
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parent.parent
THEMES = Path(sys.prefix) / "share" / "jupyter" / "lab" / "themes" / "@jupyterlab"


class Handler(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path: str) -> str:
        name = path.split("?")[0]
        if name.startswith("/theme/"):
            theme = name.removeprefix("/theme/").removesuffix(".css")
            return str(THEMES / f"theme-{theme}-extension" / "index.css")
        return str(ROOT / ("frontend" + name if name.startswith("/gallery") else name.lstrip("/")))

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@contextmanager
def serving(port: int = 0) -> Iterator[str]:
    """The address of the gallery while it is served, on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = Thread(target=server.serve_forever, name="gallery", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/gallery.html"
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    with serving(8123) as address:
        print(f"{address}?theme=light and ?theme=dark; ?open unfolds all, ?many=10000 is long. Enter ends it.")
        input()
