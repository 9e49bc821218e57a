"""What the tests of packaging share: the checkout as somebody clones it, and environments made from nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = ("PIP_", "SSL_", "REQUESTS_", "NODE_EXTRA_CA_CERTS", "HTTP", "http", "NO_PROXY", "no_proxy", "NPM_CONFIG_")
"""Variables that say how the network is reached; all others of the caller are left out."""

Run = Callable[..., str]


@pytest.fixture(scope="session")
def network() -> dict[str, str]:
    """The caller's way to the network, and nothing else of the caller's environment."""
    return {name: value for name, value in os.environ.items() if name.startswith(NETWORK)}


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs a program and gives what it printed; fails the test with that where it does not succeed."""
    return _run


def _run(*words: object, cwd: Path, env: dict[str, str], timeout: float = 240) -> str:
    command = [str(word) for word in words]
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh repository with the checkout as it is now, without anything that git ignores."""
    place = tmp_path_factory.mktemp("source") / "coder-nb"
    place.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "As it is now")):
        subprocess.run(["git", *words], cwd=place, check=True)
    return place


@pytest.fixture
def clone(source: Path, tmp_path: Path) -> Path:
    """A fresh clone."""
    place = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(source), str(place)], check=True)
    return place


@pytest.fixture
def bare(tmp_path: Path, network: dict[str, str]) -> dict[str, str]:
    """The environment of a bare machine: an empty home, and Python and git alone on the PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    git = shutil.which("git")
    assert git is not None, "git is not installed"
    (programs / "git").symlink_to(git)
    home = tmp_path / "home"
    home.mkdir()
    return {**network, "HOME": str(home), "PATH": str(programs), "LANG": "C.UTF-8"}
