"""What we add to a start: of Python by `import coder_nb`, of a Jupyter server by the extension, and its idle memory.

Starts are told by the least of some tries: whatever else the machine does only adds to them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.row import Row
from benchmarks.server import ROOT, server

IMPORTS = 15
SERVERS = 5
BUDGET = 45.0
"""Seconds after which no further server is started: two of each kind are the least."""


def measure() -> list[Row]:
    return [_import(), *_servers()]


def _import() -> Row:
    taken: dict[str, list[float]] = {"import coder_nb": [], "pass": []}
    for _ in range(IMPORTS):
        for statement, times in taken.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
            times.append(time.perf_counter() - start)
    ours, bare = (min(times) * 1e3 for times in taken.values())
    return Row("import coder_nb", ours, "ms", 150, bare, "over", "a bare Python")


def _servers() -> list[Row]:
    seconds: tuple[list[float], list[float]] = ([], [])
    worked: tuple[list[float], list[float]] = ([], [])
    memory: tuple[list[float], list[float]] = ([], [])
    began = time.monotonic()
    for tried in range(SERVERS):
        if tried >= 2 and time.monotonic() - began > BUDGET:
            break
        for index, extension in enumerate((True, False)):
            with server(extension=extension) as running:
                seconds[index].append(running.seconds)
                worked[index].append(running.worked)
                if extension:
                    running.await_runtime()
                family = [running.process, *running.process.children(recursive=True)]
                memory[index].append(sum(one.memory_info().rss for one in family))
    starts = [min(each) * 1e3 for each in seconds]
    works = [min(each) * 1e3 for each in worked]
    weights = [statistics.median(each) / 2**20 for each in memory]
    return [
        Row("a Jupyter server's start", starts[0], "ms", 150, starts[1], "over", "without the extension"),
        Row("its CPU time until it answers", works[0], "ms", None, works[1], "over", "without the extension"),
        Row("its idle memory", weights[0], "MiB", 80, weights[1], "over", "without the extension"),
    ]
