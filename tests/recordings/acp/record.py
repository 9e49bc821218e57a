"""Records what the real agents say over ACP, for the golden tests: ``python tests/recordings/acp/record.py``.

Three turns each: a file is written with permission, another is refused, an answer is stopped. Paths become those of a
user's home, and the vendors' own descriptions of their commands are cut.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coder_nb.backends.acp.backend import AcpBackend
from coder_nb.backends.base import Asked, Opening
from coder_nb.backends.events import PermissionAsked, TextDelta
from coder_nb.backends.processes import Child
from coder_nb.backends.registry import registry
from coder_nb.ids import new_id
from coder_nb.settings import Settings
from coder_nb.testing import real_agents
from coder_nb.testing.real_agents import otherwise, says, scripted_model, writes
from coder_nb.warm.process import Keeper

HOME = "/home/user"
_VENDORS = ("description", "availableSkillDetails", "availableSkills")


class Recorder:
    """A spawner whose children's frames are kept, both ways, in their order."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self.lines: list[tuple[str, bytes]] = []

    async def spawn(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], name: str) -> Child:
        child = await self._keeper.spawn(argv, cwd=cwd, env=env, name=name)
        read, write = child.read, child.write

        async def heard(limit: int = 65536) -> bytes:
            data = await read(limit)
            self.lines.append(("incoming", data))
            return data

        async def said(data: bytes) -> None:
            self.lines.append(("outgoing", data))
            await write(data)

        child.read, child.write = heard, said  # type: ignore[method-assign]
        return child


async def record(agent: str, root: Path) -> list[dict[str, Any]]:
    cwd = root / "work"
    cwd.mkdir()
    fixtures = [
        *writes(agent, "make hello", cwd / "hello.txt", "hi\n"),
        *writes(agent, "make other", cwd / "other.txt", "hi\n")[:1],
        *says(agent, "count slowly", "one two three four five six seven eight nine ten " * 10, latency=100, chunk=4),
        *otherwise(),
    ]
    keeper = Keeper(new_id())
    recorder = Recorder(keeper)
    with scripted_model(root / "model", fixtures) as model:
        settings = Settings(agents={agent: real_agents.entry(agent, model.url)}, start_timeout=60.0, start_tries=1)
        env = real_agents.environ(root / "home")
        backend = AcpBackend(settings, registry(settings.agents), recorder, environ=env)
        opening = Opening(agent=agent, chat_id="c", cwd=cwd)
        session = await backend.open(opening, idle_events=lambda event: None)
        for prompt, answer in (("make hello", "allow_once"), ("make other", "reject_once"), ("count slowly", "")):
            async for event in session.prompt(Asked(text=prompt, user_text=prompt)):
                if isinstance(event, PermissionAsked):
                    await session.answer(event.request_id, next(o.id for o in event.options if o.kind == answer))
                if isinstance(event, TextDelta) and not answer:
                    await session.cancel()
        await session.close()
    await keeper.close()
    place = str(root).encode()
    return [
        {"dir": way, "m": cut(json.loads(line.replace(place, HOME.encode()).replace(place[1:], HOME[1:].encode())))}
        for way, line in _lines(recorder.lines)
    ]


def _lines(chunks: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Whole lines, each where its end stands; what is incoming comes in chunks of any size."""
    lines: list[tuple[str, bytes]] = []
    rest = b""
    for way, data in chunks:
        if way == "outgoing":
            lines.append((way, data))
            continue
        *whole, rest = (rest + data).split(b"\n")
        lines += [(way, line) for line in whole if line.strip()]
    return lines


def cut(value: Any) -> Any:
    """Without the vendors' descriptions, and with three of each long list of choices."""
    if isinstance(value, list):
        return [cut(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: cut(item) for key, item in value.items() if key not in _VENDORS or isinstance(item, dict)}
    for key in ("options", "availableModels"):
        if isinstance(kept.get(key), list) and len(kept[key]) > 5:
            kept[key] = kept[key][:3]
    if isinstance(kept.get("availableCommands"), list):
        names = ("name", "input")
        kept["availableCommands"] = [{n: c[n] for n in names if n in c} for c in kept["availableCommands"][:3]]
    return kept


def main(agents: Sequence[str]) -> None:
    for agent in agents:
        with tempfile.TemporaryDirectory() as folder:
            frames = asyncio.run(record(agent, Path(folder)))
        file = Path(__file__).with_name(f"{agent}.jsonl")
        file.write_text("".join(json.dumps(frame) + "\n" for frame in frames))
        sys.stdout.write(f"{file.name}: {len(frames)} frames\n")


if __name__ == "__main__":
    main(sys.argv[1:] or real_agents.OVER_ACP)
