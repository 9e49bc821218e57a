"""What the SDK starts in place of Claude's program: it passes all bytes to the runtime, which starts the real one.

This file is a program, ``python -I -S stand_in.py SOCKET ARGUMENT...``, and imports the standard library only. Over the
socket go, first, a length of four bytes and JSON with the arguments and those variables that the SDK has set; then what
the SDK writes, and back what Claude says. The end of either side is the end of the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import sys
import threading

HEAD = struct.Struct("!I")
PREFIXES = ("CLAUDE", "TRACEPARENT", "TRACESTATE")
"""How the variables begin that the SDK sets."""


def to_runtime(link: socket.socket) -> None:
    """Passes on what the SDK writes, then the end of it."""
    with contextlib.suppress(OSError):
        while data := os.read(0, 1 << 16):
            link.sendall(data)
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_WR)


def main() -> None:
    """Runs until Claude's output ends."""
    link = socket.socket(socket.AF_UNIX)
    link.connect(sys.argv[1])
    env = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
    head = json.dumps({"arguments": sys.argv[2:], "env": env}).encode()
    link.sendall(HEAD.pack(len(head)) + head)
    threading.Thread(target=to_runtime, args=(link,), daemon=True).start()
    with contextlib.suppress(OSError):
        while data := link.recv(1 << 16):
            view = memoryview(data)
            while view:
                view = view[os.write(1, view) :]


if __name__ == "__main__":
    main()
    os._exit(0)  # its thread may still be reading what nobody writes any more
