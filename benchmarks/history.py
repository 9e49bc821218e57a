"""A generated history of Claude Code as frames, against a bare msgspec pass over the same lines, and against ccusage.

All are measured cold, in turns: the files are dropped from the system's memory before each run. ccusage is measured
where it is on the PATH. `CODER_NB_BENCHMARK_MEGABYTES` sets how much there is to read.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.row import Row

MEGABYTES = int(os.environ.get("CODER_NB_BENCHMARK_MEGABYTES", "50"))
ROUNDS = 5
MODELS = ("claude-sonnet-4-5-20250929", "claude-opus-4-5-20251101", "claude-haiku-4-5-20251001")
START = 1_780_000_000


class Truth(NamedTuple):
    """What a history was made of."""

    responses: int
    output: int
    torn: int
    lines: int


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        os.environ["CODER_NB_DATABASE"] = str(Path(folder) / "data" / "store.sqlite")
        truth = generate(home, MEGABYTES)
        _check(home, truth)
        program = shutil.which("ccusage")
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):  # one after another, so that whatever else the machine does meets all of them
            times["bare"].append(_timed(home, lambda: _bare(home)))
            times["usage"].append(_in_a_process(home, "usage"))
            if program is not None:
                times["ccusage"].append(_timed(home, lambda: _ccusage(str(program), home)))
            times["all"].append(_in_a_process(home, "messages", "tool_calls", "sessions", "usage"))
        middle = {name: statistics.median(found) for name, found in times.items()}
        warm, appended = _again(home)
        peaks = [_peak(home, "usage"), _peak(home, "messages", "tool_calls", "sessions", "usage")]
    of = f"{MEGABYTES} MB, {truth.responses:,} responses, from the disk"
    theirs = middle.get("ccusage")
    rows = [
        Row("the usage frame of Claude's history", middle["usage"], "ms", None, middle["bare"], "ratio", f"bare; {of}")
    ]
    if theirs is not None:
        rows.append(
            Row("the same", middle["usage"], "ms", 1.05, theirs, "ratio", "ccusage daily, its process included")
        )
    return [
        *rows,
        Row("all frames of it, without text", middle["all"], "ms", 4, middle["bare"], "ratio", "a bare msgspec pass"),
        Row("the usage frame again, in the same kernel", warm, "ms", 60),
        Row("the same after a line was appended", appended, "ms", 50),
        Row("the peak memory of a process that makes the usage frame", peaks[0], "MiB", 300),
        Row("the same of all frames", peaks[1], "MiB", 300),
    ]


def _ccusage(program: str, home: Path) -> None:
    env = {**os.environ, "HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude")}
    subprocess.run([program, "claude", "daily", "--offline", "--json"], env=env, capture_output=True, check=True)


def _forget(home: Path) -> None:
    """Has the system drop the files from its memory, so that they come from the disk."""
    for path in home.rglob("*.jsonl"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _timed(home: Path, run: Callable[[], object]) -> float:
    _forget(home)
    gc.collect()
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


_PROGRAM = (
    "import sys, time\nfrom coder_nb.client.history import history\nfrom coder_nb.prices import price_of\n"
    "[history(agent='claude', roots='/nowhere').usage, *map(price_of, sys.argv[2].split())]\n"
    "start = time.perf_counter()\nfound = history(agent='claude', roots=sys.argv[1])\n"
    "frames = [getattr(found, name) for name in sys.argv[3:]]\n"
    "took = (time.perf_counter() - start) * 1e3\n"
    "peak = next(row.split()[1] for row in open('/proc/self/status') if row.startswith('VmHWM'))\n"
    "print(took, peak)"  # not by getrusage, which counts what its parent had before it was another program
)
"""The libraries are loaded, as in a kernel that has made any frame, and nothing is known of the files."""


def _run(home: Path, *frames: str) -> tuple[float, float]:
    """What frames take in a kernel that has read nothing yet, and nobody before it: milliseconds, and MiB at most."""
    shutil.rmtree(Path(os.environ["CODER_NB_DATABASE"]).parent, ignore_errors=True)
    argv = [sys.executable, "-c", _PROGRAM, str(home), " ".join(MODELS), *frames]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    took, peak = map(float, done.stdout.split())
    return took, peak / 1024


def _in_a_process(home: Path, *frames: str) -> float:
    _forget(home)
    return _run(home, *frames)[0]


def _peak(home: Path, *frames: str) -> float:
    return _run(home, *frames)[1]


def _again(home: Path) -> tuple[float, float]:
    """The usage frame in a kernel that has it, and after each of some lines has come to it."""
    path = sorted(home.rglob("*.jsonl"))[-1]
    line = next(line for line in path.read_text().splitlines() if '"usage"' in line)
    warm, appended = [], []
    _ours(home, "usage")
    for number in range(ROUNDS * 3):
        warm.append(_one(lambda: _ours(home, "usage")))
        value = json.loads(line)
        value["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(START + 10**8 + number))
        value["message"]["id"] = value["requestId"] = f"appended {number}"
        with path.open("a") as file:
            file.write(_json(value) + "\n")
        appended.append(_one(lambda: _ours(home, "usage")))
    return statistics.median(warm), statistics.median(appended)


def _one(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def _check(home: Path, truth: Truth) -> None:
    from coder_nb.client.history import history

    found = history(agent="claude", roots=home)
    usage = found.usage
    assert (len(usage), int(usage["output_tokens"].sum())) == (truth.responses, truth.output)
    assert list(found.quality["what"]) == ["torn line"] * truth.torn


def _ours(home: Path, *frames: str) -> None:
    from coder_nb.client.history import history

    found = history(agent="claude", roots=home)
    for name in frames:
        getattr(found, name)


class _Counts(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: _Counts | None = None


class _Line(msgspec.Struct):
    type: str = ""
    timestamp: str | None = None
    requestId: str | None = None
    message: _Message | None = None


def _bare(home: Path) -> None:
    """Decodes each line, and keeps the largest count of each response: the least that can be done."""
    decode = msgspec.json.Decoder(_Line).decode
    best: dict[tuple[str | None, str | None], _Counts] = {}
    for path in home.rglob("*.jsonl"):
        for data in path.read_bytes().split(b"\n"):
            try:
                line = decode(data)
            except msgspec.DecodeError:
                continue
            message = line.message
            if message is None or message.usage is None:
                continue
            key, known = (message.id, line.requestId), message.usage
            if key not in best or best[key].output_tokens < known.output_tokens:
                best[key] = known


# The history ---------------------------------------------------------------------------------------------------------


def generate(home: Path, megabytes: int) -> Truth:
    """Writes a history of about this size: sessions, sub-agents, partial counts first, torn last lines."""
    chance = random.Random(7)
    truth, size = Truth(0, 0, 0, 0), 0
    number = 0
    while size < megabytes * 1_000_000:
        number += 1
        session = f"{number:08x}-0000-4000-8000-{chance.randrange(16**12):012x}"
        folder = home / ".claude" / "projects" / f"-home-user-project-{number % 20}"
        paths = [folder / f"{session}.jsonl"]
        if number % 4 == 0:
            paths.append(folder / session / "subagents" / f"agent-{number:04x}.jsonl")
        for path in paths:
            lines = list(_session(chance, session, number % 20, None if path == paths[0] else f"{number:04x}"))
            torn = chance.random() < 0.02
            path.parent.mkdir(parents=True, exist_ok=True)
            data = "".join(f"{_json(line)}\n" for line, _ in lines) + ('{"type":"user","message":{"ro' * torn)
            path.write_text(data)
            size += len(data)
            counts = [count for _, count in lines if count is not None]
            grown = (len(counts), sum(counts), int(torn), len(lines))
            truth = Truth(*(a + b for a, b in zip(truth, grown, strict=True)))
    return truth


def _session(
    chance: random.Random, session: str, project: int, agent: str | None
) -> Iterator[tuple[dict[str, Any], int | None]]:
    """The lines of a file, the last one of each response with the response's output."""
    at = START + chance.randrange(10_000_000)
    model = chance.choice(MODELS)
    known = {"parentUuid": None, "isSidechain": agent is not None, "userType": "external", "sessionId": session}
    known |= {"cwd": f"/home/user/project-{project}", "version": "2.1.197", "gitBranch": "main", "entrypoint": "cli"}
    if agent is not None:
        known["agentId"] = agent
    for _ in range(chance.randrange(10, 34)):
        at += chance.randrange(5, 90)
        uuid = f"{chance.getrandbits(128):032x}"
        stamp = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at)), "uuid": uuid}
        name, used = f"msg_{uuid[:24]}", _usage(chance)
        blocks = _blocks(chance, uuid)
        for place, block in enumerate(blocks):
            last = place == len(blocks) - 1
            usage = used if last else used | {"output_tokens": chance.randrange(1, 27)}
            message = {"id": name, "type": "message", "role": "assistant", "model": model, "content": [block]}
            message |= {"stop_reason": "tool_use" if last else None, "usage": usage}
            line = known | stamp | {"type": "assistant", "requestId": f"req_{uuid[:20]}", "message": message}
            yield line | {"uuid": f"{uuid}{place}"}, used["output_tokens"] if last else None
        result = {"type": "tool_result", "tool_use_id": f"toolu_{uuid[:20]}", "content": _words(chance, 2500)}
        extra = {"toolUseResult": {"stdout": _words(chance, 1500), "stderr": "", "interrupted": False}}
        yield known | stamp | {"type": "user", "message": {"role": "user", "content": [result]}} | extra, None
        if chance.random() < 0.5:
            yield known | stamp | {"type": "attachment", "attachment": {"type": "todo", "content": []}}, None


def _blocks(chance: random.Random, uuid: str) -> list[dict[str, Any]]:
    tool = {"command": _words(chance, 200), "description": "Runs it"}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": _words(chance, 600)}]
    if chance.random() < 0.3:
        blocks.insert(0, {"type": "thinking", "thinking": _words(chance, 900), "signature": uuid * 10})
    return [*blocks, {"type": "tool_use", "id": f"toolu_{uuid[:20]}", "name": "Bash", "input": tool}]


def _usage(chance: random.Random) -> dict[str, Any]:
    hour, short = chance.randrange(2000), chance.randrange(2000)
    return {
        "input_tokens": chance.randrange(1, 50),
        "cache_creation_input_tokens": hour + short,
        "cache_read_input_tokens": chance.randrange(150_000),
        "output_tokens": chance.randrange(40, 3000),
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour},
        "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
        "service_tier": "standard",
    }


def _json(line: dict[str, Any]) -> str:
    """As JavaScript writes it."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False)


_TEXT = 'def total(rows):\n    """Sums up."""\n    return sum(row.cost for row in rows)  # \u20ac\n' * 80


def _words(chance: random.Random, size: int) -> str:
    start = chance.randrange(200)
    return _TEXT[start : start + chance.randrange(size // 2, size * 3 // 2)]
