"""The wheel, built from the sdist and installed where there is no Node."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]
Network = dict[str, str]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sdist(source: Path, run: Run, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with a Node that the build brings itself."""
    out = tmp_path_factory.mktemp("sdist")
    run(
        sys.executable,
        "-m",
        "build",
        "--sdist",
        "--outdir",
        out,
        cwd=source,
        env={**network, "PATH": "/usr/bin:/bin"},
    )
    return next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, run: Run, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist where nothing can be found on the PATH."""
    out = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps")
    run(*pip, "--wheel-dir", out, sdist, cwd=out, env={**network, "PATH": str(out)})
    return next(out.glob("*.whl"))


def test_the_sdist_holds_the_built_front_end_and_none_of_its_tools(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert [name for name in names if "/labextension/" in name or "/coder_nb/static/" in name]
    assert not [name for name in names if "node_modules" in name or "/.venv" in name or "/.tools" in name]


def test_the_wheel_is_pure_and_holds_all_that_is_needed(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for part in (
        "coder_nb/py.typed",
        "coder_nb/recordings/first-steps.jsonl",
        "coder_nb/recordings/practice/summary.py",
        "coder_nb/recordings/history/README.md",
    ):
        assert part in names
    assert {
        name.split("/")[3] for name in names if name.startswith("coder_nb/recordings/history/") and "jsonl" in name
    } == {
        "claude",
        "codex",
        "qwen",
    }
    assert [name for name in names if name.endswith("etc/jupyter/jupyter_server_config.d/coder_nb.json")]
    assert not [name for name in names if name.startswith(("tests", "frontend", "scripts"))]


def test_the_installed_wheel_enables_both_extensions(
    source: Path, wheel: Path, run: Run, network: Network, tmp_path: Path
) -> None:
    env = {**network, "HOME": str(tmp_path), "PATH": str(tmp_path)}
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path, env=env)
    pip = (
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-compile",
        "-c",
        source / "requirements" / "ci.txt",
    )
    run(*pip, f"coder-nb[lab] @ {wheel.as_uri()}", cwd=tmp_path, env=env)
    server = run(python, "-m", "jupyter", "server", "extension", "list", cwd=tmp_path, env=env)
    assert any("jupyter_extension" in line and "enabled" in line for line in server.splitlines()), server
    assert any("jupyter_extension" in line and "OK" in line for line in server.splitlines()), server
    lab = run(python, "-m", "jupyter", "labextension", "list", cwd=tmp_path, env=env)
    assert any("coder-nb" in line and "enabled" in line and "OK" in line for line in lab.splitlines()), lab
    assert "node" not in {path.name for path in (tmp_path / "venv" / "bin").iterdir()}
