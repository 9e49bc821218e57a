"""In a worktree, the notebook's Python imports the worktree's packages, also those installed editable elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coder_nb.worktrees.python import environment, import_roots

BACKEND = """
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    import os
    name = "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("thing.pth", os.path.join(os.getcwd(), "src") + "\\n")
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n")
        wheel.writestr("thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("thing-1.0.dist-info/RECORD", "")
    return name

build_wheel = build_editable
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n[project]\nname = "thing"\n'


@pytest.mark.anyio
async def test_an_editable_install_of_the_checkout_is_imported_from_the_worktree(desk: Any, tmp_path: Path) -> None:
    desk.checkout.write("pyproject.toml", PROJECT)
    desk.checkout.write("backend.py", BACKEND)
    desk.checkout.write("src/thing/__init__.py", "WHERE = 'the checkout'\n")
    desk.checkout.commit()
    python = installed(tmp_path / "venv", desk.checkout.root)
    state = await desk.ensure()
    (state.root / "src" / "thing" / "__init__.py").write_text("WHERE = 'the worktree'\n")
    env = os.environ | environment(str(python), state.checkout, state.root, os.environ)
    assert env["VIRTUAL_ENV"] == str(tmp_path / "venv")
    for folder in (state.root, state.root / "src", tmp_path):
        said = told(folder, env)
        assert said.split(" ", 2)[:2] == ["the", "worktree"]
        assert said.strip().endswith(str(tmp_path / "venv"))
    in_place = environment(str(python), state.checkout, state.checkout, os.environ)
    assert "PYTHONPATH" not in in_place


def told(folder: Path, env: dict[str, str]) -> str:
    """Which of the two a Python finds that an agent would start."""
    command = ["python", "-c", "import thing, sys; print(thing.WHERE, sys.prefix)"]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True).stdout


def installed(venv: Path, project: Path) -> Path:
    """The Python of a throwaway environment in which a project is installed editable, by pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--python", str(python)]
    done = subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--no-index", "-e", str(project)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return python


def test_the_finders_that_setuptools_writes_are_understood(tmp_path: Path) -> None:
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    checkout = tmp_path / "checkout"
    mapping = {"thing": f"{checkout}/lib/thing", "deep.part": f"{checkout}/x/deep/part", "other": "/elsewhere/other"}
    (site / "__editable___thing_1_finder.py").write_text(
        f"from __future__ import annotations\nMAPPING: dict[str, str] = {mapping!r}\nNAMESPACES = {{}}\n"
    )
    (site / "broken.pth").write_text("import sys; sys.path\n# comment\n\nnot/there\n")
    (site / "__editable___bad_finder.py").write_text("MAPPING = (\n")
    assert import_roots(tmp_path / "venv", checkout) == [Path("lib"), Path("x")]


def test_another_interpreter_comes_first_on_the_path_and_ours_is_left_to_itself(tmp_path: Path) -> None:
    given = {"PATH": f"/usr/bin{os.pathsep}/opt/py/bin"}
    assert environment("/opt/py/bin/python", tmp_path, tmp_path, given) == {
        "PATH": f"/opt/py/bin{os.pathsep}/usr/bin", "VIRTUAL_ENV": "",
    }  # fmt: skip
    assert environment(sys.executable, tmp_path, tmp_path, given) == {}
