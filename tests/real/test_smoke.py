"""The smokes for people with accounts, played against a scripted model, so that they work when somebody needs them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, says, scripted_model, writes

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parents[2] / "scripts" / "smoke"


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("smoke", str(SCRIPT))
    spec = importlib.util.spec_from_loader("smoke", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "agent",
    [
        "goose",
        *(
            pytest.param(
                name,
                marks=pytest.mark.skipif(
                    "CODER_NB_TEST_LONG" not in os.environ, reason="long tier: scripts/test --long"
                ),
            )
            for name in real_agents.OVER_ACP
            if name not in ("goose", "qwen")  # qwen's tool wants a whole path, which nobody knows beforehand
        ),
    ],
)
def test_the_smokes_play(agent: str, tmp_path: Path) -> None:
    try:
        for needed in (agent, "llmock", "node"):
            real_agents.program(needed)
    except real_agents.Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))
    smoke = script()
    count = "\n".join(map(str, range(1, 400)))
    fixtures = [
        *says(agent, smoke.RECALL, "hello.txt"),  # the first: what is asked last may come with all that went before
        *writes(agent, smoke.WRITE, Path("hello.txt"), "hi\n"),
        *writes(agent, smoke.DENIED, Path("denied.txt"), "no\n"),
        *says(agent, smoke.COUNT, count, latency=50, chunk=4),
    ]
    with scripted_model(tmp_path / "model", [*fixtures, *otherwise()]) as model:
        entry = json.dumps({agent: real_agents.entry(agent, model.url)})
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--agent", agent, "--limit", "60", "--agents", entry],
            env=real_agents.environ(tmp_path / "home") | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith(f"{agent} works.")
