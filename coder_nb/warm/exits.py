"""Why a process ended, in plain words; pure."""

from __future__ import annotations

import re
import signal

_SIGNALS = {
    "SIGKILL": "it was killed (SIGKILL), as the system does when memory runs out",
    "SIGTERM": "it was told to end (SIGTERM)",
    "SIGINT": "it was interrupted (SIGINT)",
    "SIGHUP": "its terminal went away (SIGHUP)",
    "SIGSEGV": "it crashed (SIGSEGV)",
    "SIGABRT": "it gave up after a fault of its own (SIGABRT)",
    "SIGILL": "it was built for another processor (SIGILL)",
    "SIGBUS": "it crashed (SIGBUS)",
    "SIGPIPE": "it wrote to something that was closed (SIGPIPE)",
}
_CODES = {
    0: "it ended as if it were done",
    126: "its program cannot be executed (exit code 126)",
    127: "its program, or one that it needs, was not found (exit code 127)",
}
_LONGEST_LINE = 300
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")


def cause(returncode: int | None) -> str:
    """Half a sentence on how a process ended; `returncode` is negative for a signal, None while it is not known."""
    if returncode is None:
        return "it closed its output"
    if returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        return _SIGNALS.get(name, f"it was ended by {name}")
    return _CODES.get(returncode, f"it ended with exit code {returncode}")


def last_words(stderr: str) -> str:
    """The last line of a standard error that says something, shortened; empty where there is none."""
    lines = [line.strip() for line in _CONTROLS.sub("", stderr.replace("\r", "\n")).splitlines()]
    last = next((line for line in reversed(lines) if any(c.isalnum() for c in line)), "")
    return last if len(last) <= _LONGEST_LINE else last[: _LONGEST_LINE - 1] + "…"


def explain(name: str, returncode: int | None, stderr: str = "", *, cure: str = "") -> str:
    """The sentences that a person reads when an agent's process ended by itself, with the cure."""
    words = last_words(stderr)
    said = f", saying “{words}”" if words else ""
    return f"{name} stopped working: {cause(returncode)}{said}. {cure or 'Prompt again to start it afresh.'}"
