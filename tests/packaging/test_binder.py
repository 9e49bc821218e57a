"""Binder: the image that repo2docker would build for this repository, made here without docker, plays the lessons."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import InvalidRequirement, Requirement

ROOT = Path(__file__).parents[2]
Run = Callable[..., str]
Network = dict[str, str]
pytestmark = pytest.mark.slow
BASE = ("jupyterlab", "notebook", "ipykernel", "ipywidgets", "jupyterhub", "jupyter-offlinenotebook", "nbclient")
"""What the image has before anything of ours comes."""
_PACKAGE = re.compile(r"/(?:noarch|linux-64)/(?P<name>.+)-(?P<version>[^-]+)-[^-]+\.(?:conda|tar\.bz2)")


@pytest.fixture(scope="module")
def repo2docker(run: Run, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has repo2docker."""
    place = tmp_path_factory.mktemp("repo2docker")
    python = place / "bin" / "python"
    run(sys.executable, "-m", "venv", place, cwd=place, env=network)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile")
    run(*pip, "-r", ROOT / "requirements" / "binder.txt", cwd=place, env=network)
    return python


def test_repo2docker_installs_this_repository_after_copying_it(
    repo2docker: Path, clone: Path, run: Run, network: Network
) -> None:
    dockerfile = run(repo2docker, "-m", "repo2docker", "--no-build", "--debug", ".", cwd=clone, env=network)
    copied = dockerfile.index(" src/ ${REPO_DIR}/")
    assert dockerfile.index('install --no-cache-dir -r "binder/requirements.txt"') > copied
    assert "environment for python=3.11" in dockerfile


def test_the_image_plays_the_lessons_and_has_the_extension(
    repo2docker: Path, clone: Path, run: Run, network: Network, tmp_path: Path
) -> None:
    env = {**network, "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "CODER_NB_REPLAY_PACE": "0", "LANG": "C.UTF-8"}
    image = tmp_path / "image"
    python = image / "bin" / "python"
    lock = tmp_path / "image.txt"
    code = "import repo2docker, pathlib; print(pathlib.Path(repo2docker.__file__).parent)"
    package = Path(run(repo2docker, "-c", code, cwd=tmp_path, env=network).strip())
    lock.write_text("\n".join(pins(package)))
    run(sys.executable, "-m", "venv", image, cwd=tmp_path, env=env)
    pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile")
    run(*pip, "-c", lock, "pip", cwd=tmp_path, env=env)
    run(*pip, "-c", lock, *BASE, cwd=tmp_path, env=env)
    run(*pip, "-r", "binder/requirements.txt", cwd=clone, env=env)
    versions = run(python, "-m", "pip", "freeze", cwd=clone, env=env)
    assert "ipykernel==7.0.1" in versions, "the image's own packages were replaced"
    extensions = run(python, "-m", "jupyter", "server", "extension", "list", cwd=clone, env=env)
    assert re.search(r"jupyter_extension.*enabled", extensions)
    shown = run(python, "scripts/lesson/play.py", "notebooks/01-first-steps.ipynb", cwd=clone, env=env)
    assert "748.0" in shown
    shown = run(python, "scripts/lesson/play.py", "notebooks/02-what-agents-cost.ipynb", cwd=clone, env=env)
    assert "Cost by day and model: $1.45 in all" in shown


def pins(package: Path) -> list[str]:
    """The versions of the image's lock, as pip understands them."""
    lock = (package / "buildpacks" / "conda" / "environment.py-3.11-linux-64.lock").read_text()
    found = []
    for match in _PACKAGE.finditer(lock):
        try:
            found.append(str(Requirement(f"{match['name']}=={match['version']}")))
        except InvalidRequirement:  # of a system library, which pip knows nothing of
            continue
    return found
