"""A program that stands where ``opencode serve`` does, as far as supervision goes: it listens, and says events.

``/scripted/checks`` says how often it was asked how it is; after ``/scripted/checks/ill`` it answers that once with an
error, after ``/scripted/checks/deaf`` always.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

HEALTH = "/global/health"
ANSWERS: dict[str, Any] = {
    HEALTH: {"healthy": True, "version": "9.9.9"},
    "/agent": [{"name": "build", "mode": "primary"}, {"name": "plan", "mode": "primary"}],
    "/config/providers": {"providers": []},
    "/session/status": {},
}


class Checks:
    """How often it was asked how it is and for a session, and whether it is to answer badly once."""

    count = 0
    sessions = 0
    ill = False
    deaf = False


def answer(path: str) -> tuple[int, Any]:
    """The status and the body for a path."""
    if path.startswith("/scripted/checks"):
        Checks.ill |= path.endswith("/ill")
        Checks.deaf |= path.endswith("/deaf")
        return 200, Checks.count
    if path == HEALTH:
        ill, Checks.ill = Checks.ill, False
        Checks.count += 1
        return (500, {}) if ill or Checks.deaf else (200, ANSWERS[path])
    if path == "/session":
        Checks.sessions += 1
        return 200, {"id": f"ses_scripted{Checks.sessions}"}
    return 200, ANSWERS.get(path)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, kept alive: requests one after another."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        lines = head.decode().split("\r\n")
        path = lines[0].split(" ")[1].partition("?")[0]
        length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
        await reader.readexactly(length)
        if path == "/global/event":
            await say_events(writer)
        status, said = answer(path)
        body = json.dumps(said).encode()
        header = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(header.encode() + body)
        await writer.drain()


async def say_events(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        data = b'data: {"payload": {"type": "server.connected", "properties": {}}}\n\n'
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()
        await asyncio.sleep(0.05)


async def main() -> None:
    port = int(sys.argv[sys.argv.index("--port") + 1])
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    sys.stdout.write(f"opencode server listening on http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
