"""Records the chat of the first lesson anew: opencode, really, in the practice repository, with a scripted model.

    CODER_NB_TEST_AGENTS=.tools/agents/node_modules/.bin .venv/bin/python scripts/lesson/record.py

What the model says is in `script.py`; the tools, the times and what they give are the agent's. opencode's list of
things to do is told as the plan that it is. Left out are the lists of commands and modes, which are no part of what
happened.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import script

import coder_nb as cnb
from coder_nb.core import codec
from coder_nb.core.entries import Commands, Entry, Mode, Plan, PlanItem, Raw, ToolCall, Usage
from coder_nb.recordings import FIRST_STEPS, make_practice
from coder_nb.testing import real_agents

CHUNK, LATENCY = 6, 60
"""The model's pace: characters, and the milliseconds between two such pieces."""
LEFT_OUT = (Commands, Mode, Raw)


def fixtures() -> list[dict[str, Any]]:
    """The script as the scripted model takes it: the n-th response of the conversation."""
    found = []
    responses = [response for turn in script.TURNS.values() for response in turn]
    for index, response in enumerate(responses):
        said: dict[str, Any] = {"content": response.text, "usage": usage(index, response)}
        if response.reasoning:
            said["reasoning"] = response.reasoning
        if response.tool:
            said["toolCalls"] = [{"name": response.tool, "arguments": response.arguments}]
        match = {"toolName": "todowrite", "turnIndex": index}
        found.append({"match": match, "response": said, "latency": LATENCY, "chunkSize": CHUNK})
    return [*found, *real_agents.otherwise("Puffins")]


def usage(index: int, response: script.Response) -> dict[str, int]:
    """About the tokens that a model would count, at four characters each."""
    said = len(response.text + response.reasoning + str(response.arguments)) // 4
    return {"prompt_tokens": 9000 + 600 * index, "completion_tokens": said, "total_tokens": 9000 + 600 * index + said}


def told(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries that are recorded; the list of things to do becomes a plan, and a scripted model costs nothing."""
    plan_id = None
    for entry in entries:
        body = entry.body
        if isinstance(body, ToolCall) and body.original_name == "todowrite":
            items = tuple(PlanItem(todo["content"], todo["status"], todo["priority"]) for todo in body.input["todos"])
            plan_id = plan_id or entry.id
            yield msgspec.structs.replace(entry, id=plan_id, body=Plan(items), native_id=None)
        elif isinstance(body, Usage):
            yield msgspec.structs.replace(entry, body=msgspec.structs.replace(body, cost_nanousd=0))
        elif not isinstance(body, LEFT_OUT):
            yield entry


def patch(entry: Entry, root: Path) -> bytes | None:
    """What a call left in the files it edited."""
    body = entry.body
    if not isinstance(body, ToolCall) or body.tool_kind != "edit" or body.status != "completed":
        return None
    paths = [root / location.path for location in body.locations]
    files = [{"path": str(p.relative_to(root)), "content": p.read_text(), "mode": "100644"} for p in paths]
    return msgspec.json.encode({"patch": {"entry": entry.id, "files": files}})


def record(folder: Path) -> bytes:
    place = make_practice(folder / "puffins")
    with real_agents.scripted_model(folder / "model", fixtures()) as model:
        fields = real_agents.entry("opencode", model.url)
        fields["env"] |= {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder / "data")}
        fields["argv"] = [real_agents.program("opencode"), "acp"]
        cnb.configure(database=str(folder / "store.sqlite"), agents={"opencode": fields})
        session = cnb.session(str(place))
        rows: list[bytes] = []
        for prompt in script.TURNS:
            turn = session.run(prompt, agent="opencode", on_permission=lambda asked: True, display=False, timeout=180)
            print(turn)
            root = Path(session.info.worktree or "")
            for entry in told(turn.transcript):
                written = patch(entry, root)
                rows += [b'{"entry":%s}' % codec.encode(entry), *([written] if written else [])]
        version = subprocess.run([fields["argv"][0], "--version"], capture_output=True, text=True).stdout.strip()
        header = {
            "format": "coder-nb.chat",
            "version": codec.FORMAT,
            "chat": {"id": session.main.id, "session_id": session.id, "title": session.main.info.title},
            "session": {"id": session.id, "owner": "", "path": "puffins"},
            "origin": f"This is a recording of opencode {version} with a scripted model, made for this lesson. "
            "Now no model is asked, no command is run, and nothing is charged.",
        }
        text = b"\n".join([msgspec.json.encode(header), *rows]) + b"\n"
        return text.replace(f"{root}/".encode(), b"").replace(str(root).encode(), b".")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="coder-nb-") as temporary:
        data = record(Path(temporary).resolve())
        cnb.close()
    FIRST_STEPS.write_bytes(data)
    print(f"{FIRST_STEPS}: {len(data)} bytes")
