"""What needs no page runs in Node; and the front end's source is sound."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FRONT_END = ROOT / "frontend"


@pytest.mark.parametrize("script", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.stem)
def test_every_case_of_the_script_passes(node: str, script: Path) -> None:
    run(node, "--disable-warning=ExperimentalWarning", "--test", str(script))


def test_the_types_are_right(node: str) -> None:
    compiler = FRONT_END / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        pytest.skip("the front end's packages are not installed: run `npm ci` in frontend/")
    run(node, str(compiler), "--noEmit", "--project", str(FRONT_END))


def test_the_package_has_the_version_of_the_project_and_its_lock_names_no_host() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (FRONT_END / "package-lock.json").read_text()
    assert json.loads((FRONT_END / "package.json").read_text())["version"] == project["version"]
    assert json.loads(lock)["version"] == project["version"]
    assert "resolved" not in lock
    assert "https://registry" not in lock


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
