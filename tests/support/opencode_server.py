"""A program that stands where ``opencode serve`` does, as far as supervision goes: it listens, and says events."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

ANSWERS: dict[str, Any] = {
    "/global/health": {"healthy": True, "version": "9.9.9"},
    "/session": {"id": "ses_scripted"},
    "/agent": [{"name": "build", "mode": "primary"}, {"name": "plan", "mode": "primary"}],
    "/config/providers": {"providers": []},
    "/session/status": {},
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, kept alive: requests one after another."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        lines = head.decode().split("\r\n")
        path = lines[0].split(" ")[1].partition("?")[0]
        length = next((int(line[15:]) for line in lines if line.lower().startswith("content-length:")), 0)
        await reader.readexactly(length)
        if path == "/global/event":
            await say_events(writer)
        body = json.dumps(ANSWERS.get(path)).encode()
        header = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
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
