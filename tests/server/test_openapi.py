"""The OpenAPI document and the table of routes say the same."""

from __future__ import annotations

import yaml

from jupyter_extension import openapi
from jupyter_extension.base import pattern
from jupyter_extension.routes import ROUTES, STREAM


def test_the_file_is_what_the_table_gives() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run `python -m jupyter_extension.openapi`"


def test_every_route_is_documented_and_nothing_else() -> None:
    paths = yaml.safe_load(openapi.FILE.read_text())["paths"]
    documented = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert documented == {(route.method, f"/{route.path}") for route in ROUTES} | {("GET", f"/{STREAM}")}


def test_every_reference_leads_somewhere() -> None:
    text = openapi.FILE.read_text()
    document = yaml.safe_load(text)
    for line in text.splitlines():
        if "#/components/" in line:
            place = document
            for step in line.split("#/")[1].strip("' ").split("/"):
                place = place[step]


def test_no_two_routes_match_one_address() -> None:
    paths = {route.path for route in ROUTES} | {STREAM}
    assert len({pattern(path) for path in paths}) == len(paths)
