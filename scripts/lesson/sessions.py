"""The sessions of the second lesson: what is asked, and what the scripted model does about it. Our own texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_HEIGHTS = (1.2, 2.9, 4.1, 4.1, 2.2, 1.1, 1.9, 3.4, 4.3, 3.0, 1.6, 0.9, 2.1, 3.9, 3.1, 1.4)
TIDES = {
    "tides.py": '''\
"""High and low waters of a harbour."""

import csv


def read(path="heights.csv"):
    """The times and the heights in metres, in their order."""
    with open(path) as file:
        return [(row["time"], float(row["height_m"])) for row in csv.DictReader(file)]


def high_waters(rows):
    """The times and heights at which the water stood highest."""
    return [b for a, b, c in zip(rows, rows[1:], rows[2:]) if a[1] < b[1] > c[1]]


def low_waters(rows):
    """The times and heights at which the water stood lowest."""
    return [b for a, b, c in zip(rows, rows[1:], rows[2:]) if a[1] > b[1] < c[1]]


def mean_range(rows):
    """The mean difference between high and low water, in metres."""
    highs = [height for _, height in high_waters(rows)]
    lows = [height for _, height in low_waters(rows)]
    return sum(highs) / len(highs) - sum(lows) / len(lows)
''',
    "test_tides.py": """\
import unittest

from tides import high_waters, mean_range, read


class Tides(unittest.TestCase):
    def test_there_are_three_high_waters(self):
        self.assertEqual(len(high_waters(read())), 3)

    def test_the_range_is_plausible(self):
        self.assertTrue(1 < mean_range(read()) < 5)
""",
    "heights.csv": "time,height_m\n"
    + "".join(
        f"2026-10-{1 + hour // 24:02}T{hour % 24:02}:00,{height}\n"
        for hour, height in zip(range(0, 48, 3), _HEIGHTS, strict=True)
    ),
}
FERRY = {
    "ferry.py": '''\
"""The timetable of the ferry."""

DEPARTURES = ["06:15", "09:00", "12:30", "17:45", "22:10"]


def next_departure(now):
    """When the next ferry leaves after a time of day."""
    for departure in DEPARTURES:
        if departure > now:
            return departure
    return None


def wait(now):
    """How many minutes it is until then."""
    departure = next_departure(now)
    hours, minutes = (int(a) - int(b) for a, b in zip(departure.split(":"), now.split(":")))
    return 60 * hours + minutes
''',
    "test_ferry.py": """\
import unittest

from ferry import next_departure, wait


class Ferry(unittest.TestCase):
    def test_the_next_one_is_later(self):
        self.assertEqual(next_departure("09:00"), "12:30")

    def test_the_wait_is_in_minutes(self):
        self.assertEqual(wait("12:00"), 30)
""",
}
PROJECTS = {"tides": TIDES, "ferry": FERRY}


@dataclass(frozen=True)
class Turn:
    """A prompt, when it was said to be made, and the model's responses: calls of tools, then a text."""

    when: str
    prompt: str
    responses: Sequence[Any]
    thinks: int = 250
    """Tokens of each response beside what it says."""
    cold: bool = False
    """Whether the provider's cache has forgotten the conversation."""


@dataclass(frozen=True)
class Session:
    agent: str
    model: str
    project: str
    turns: Sequence[Turn]
    fork_of: int | None = None
    """The place of the session that it goes on from, in a conversation of its own."""


@dataclass(frozen=True)
class Call:
    tool: str
    given: dict[str, Any]


@dataclass(frozen=True)
class SubAgent:
    """A call of Claude's sub-agents, and what the sub-agent does."""

    given: dict[str, Any]
    responses: Sequence[Any]


STOP = "…"
"""The answer that never ends, because the user stops it."""
TESTS = "python3 -m unittest"


class Claude:
    @staticmethod
    def read(name: str) -> Call:
        return Call("Read", {"file_path": f"{{work}}/{name}"})

    @staticmethod
    def edit(name: str, old: str, new: str) -> Call:
        return Call("Edit", {"file_path": f"{{work}}/{name}", "old_string": old, "new_string": new})

    @staticmethod
    def write(name: str, text: str) -> Call:
        return Call("Write", {"file_path": f"{{work}}/{name}", "content": text})

    @staticmethod
    def run(command: str) -> Call:
        return Call("Bash", {"command": command, "description": "Run a command"})


class Qwen:
    @staticmethod
    def read(name: str) -> Call:
        return Call("read_file", {"file_path": f"{{work}}/{name}"})

    @staticmethod
    def edit(name: str, old: str, new: str) -> Call:
        return Call("edit", {"file_path": f"{{work}}/{name}", "old_string": old, "new_string": new})

    @staticmethod
    def write(name: str, text: str) -> Call:
        return Call("write_file", {"file_path": f"{{work}}/{name}", "content": text})

    @staticmethod
    def run(command: str) -> Call:
        return Call("run_shell_command", {"command": command, "description": "Run a command", "is_background": False})


class Codex:
    @staticmethod
    def run(command: str) -> Call:
        return Call("exec_command", {"cmd": command})

    @staticmethod
    def patch(name: str, old: str, new: str) -> Call:
        lines = [f"-{line}" for line in old.splitlines()] + [f"+{line}" for line in new.splitlines()]
        body = "\n".join(["*** Begin Patch", f"*** Update File: {name}", "@@", *lines, "*** End Patch"])
        return Call("exec_command", {"cmd": f"apply_patch <<'EOF'\n{body}\nEOF"})


OPUS, SONNET, GPT, DEEPSEEK = "claude-opus-4-8", "claude-sonnet-4-6", "gpt-5.3-codex", "deepseek-chat"
_RISE = "def rise(rows):\n    pass\n\n\ndef mean_range(heights):"
_NIGHT = "    return (60 * hours + minutes) % 1440"
_HIGH = "if a[1] < b[1] > c[1]]"
_HIGH_FIXED = "if a[1] < b[1] >= c[1]]"
_LOW = "if a[1] > b[1] < c[1]]"
_LOW_FIXED = "if a[1] > b[1] <= c[1]]"

SESSIONS = (
    Session(
        "claude",
        SONNET,
        "tides",
        [
            Turn(
                "2026-11-02T09:12:00",
                "The first high water of 1 October is missing. Find out why, and fix it.",
                [
                    Claude.read("tides.py"),
                    Claude.read("heights.csv"),
                    Claude.edit("tides.py", _HIGH, _HIGH_FIXED),
                    Claude.run(TESTS),
                    "The water stood at 4.1 m in two readings in a row, and `high_waters` wanted a single highest one. "
                    "It now takes the first of them. The tests pass.",
                ],
            )
        ],
    ),
    Session(
        "qwen",
        DEEPSEEK,
        "tides",
        [
            Turn(
                "2026-11-02T14:31:00",
                "Write a short README for this project.",
                [
                    Qwen.read("tides.py"),
                    Qwen.write(
                        "README.md",
                        "# Tides\n\nHigh and low waters of a harbour, from a table of heights.\n\n"
                        "    from tides import high_waters, mean_range, read\n\n    mean_range(read())\n\n"
                        "`heights.csv` has a reading every three hours.\n",
                    ),
                    "I wrote a README with an example.",
                ],
            )
        ],
    ),
    Session(
        "codex",
        GPT,
        "ferry",
        [
            Turn(
                "2026-11-03T10:05:00",
                "After 22:10 next_departure gives None. It should be the first ferry of the next day.",
                [
                    Codex.run("cat ferry.py test_ferry.py"),
                    Codex.patch("ferry.py", "    return None", "    return DEPARTURES[0]"),
                    Codex.run(TESTS),
                    "After the last ferry the first one of the next day is returned. The tests pass.",
                ],
                thinks=420,
            )
        ],
    ),
    Session(
        "claude",
        OPUS,
        "tides",
        [
            Turn(
                "2026-11-04T11:20:00",
                "Add a function that says how long the water rises, from low to high.",
                [
                    Claude.edit("tides.py", "def mean_range(heights):", _RISE),
                    Claude.read("tides.py"),
                    Claude.edit("tides.py", "def mean_range(heights):", _RISE),
                    Claude.edit(
                        "tides.py",
                        "def mean_range(rows):",
                        "def rises(rows):\n"
                        '    """From when until when the water rises."""\n'
                        "    turns = sorted(low_waters(rows) + high_waters(rows))\n"
                        "    pairs = zip(turns, turns[1:])\n"
                        "    return [(low[0], high[0]) for low, high in pairs if low[1] < high[1]]\n\n\n"
                        "def mean_range(rows):",
                    ),
                    Claude.run("pytest -q"),
                    Claude.run(TESTS),
                    "`rises` gives the times between which the water rises. The tests pass.",
                ],
                thinks=600,
            )
        ],
    ),
    Session(
        "claude",
        SONNET,
        "ferry",
        [Turn("2026-11-05T16:40:00", "Rewrite the timetable so that it knows about weekends.", [STOP])],
    ),
    Session(
        "qwen",
        DEEPSEEK,
        "ferry",
        [
            Turn(
                "2026-11-06T09:30:00",
                "wait() is negative after the last ferry. Fix it, with a test.",
                [
                    Qwen.read("ferry.py"),
                    Qwen.edit("ferry.py", "    return 60 * hours - minutes", _NIGHT),
                    Qwen.edit("ferry.py", "    return 60 * hours + minutes", _NIGHT),
                    Qwen.read("test_ferry.py"),
                    Qwen.edit(
                        "test_ferry.py",
                        '        self.assertEqual(wait("12:00"), 30)\n',
                        '        self.assertEqual(wait("12:00"), 30)\n\n'
                        "    def test_after_the_last_one_it_is_the_night(self):\n"
                        '        self.assertEqual(wait("23:15"), 420)\n',
                    ),
                    Qwen.run(TESTS),
                    "From 23:15 it is now 420 minutes until 06:15, and a test says so.",
                ],
                thinks=180,
            )
        ],
    ),
    Session(
        "claude",
        OPUS,
        "tides",
        [
            Turn(
                "2026-11-09T08:52:00",
                "How do other libraries find high waters in noisy data? Have somebody look at ours first, then "
                "propose what to change.",
                [
                    SubAgent(
                        {
                            "description": "Look at the code",
                            "prompt": "Read tides.py and its test, and say what happens to a reading that is wrong.",
                            "subagent_type": "general-purpose",
                            "model": "haiku",
                            "run_in_background": False,
                        },
                        [
                            Claude.read("tides.py"),
                            Claude.read("test_tides.py"),
                            "A single reading that is too high counts as a high water of its own. No test has one.",
                        ],
                    ),
                    Claude.read("tides.py"),
                    "They smooth the readings first, or they want a high water to stand out from its neighbours by "
                    "some height. I propose the second: `prominence`, 0.3 m by default. Shall I?",
                ],
                thinks=1400,
            ),
            Turn(
                "2026-11-09T09:03:00",
                "Yes, do that.",
                [
                    Claude.edit(
                        "tides.py",
                        'def high_waters(rows):\n    """The times and heights at which the water stood highest."""\n',
                        "def high_waters(rows, prominence=0.3):\n"
                        '    """The times and heights at which the water stood highest, by so many metres."""\n',
                    ),
                    Claude.edit("tides.py", "[b for a, b, c in zip(rows)", "[b for a, b, c in triples(rows)"),
                    Claude.edit(
                        "tides.py",
                        f"zip(rows, rows[1:], rows[2:]) {_HIGH_FIXED}",
                        f"zip(rows, rows[1:], rows[2:]) {_HIGH_FIXED[:-1]}\n"
                        "            and b[1] - min(height for _, height in rows) > prominence]",
                    ),
                    Claude.run(TESTS),
                    "A high water must now stand at least 0.3 m above the lowest reading. The tests pass.",
                ],
                thinks=900,
            ),
            Turn(
                "2026-11-09T12:47:00",
                "Now add a test with a reading that is wrong.",
                [
                    Claude.read("test_tides.py"),
                    Claude.edit(
                        "test_tides.py",
                        "    def test_the_range_is_plausible(self):\n",
                        "    def test_a_ripple_is_no_high_water(self):\n"
                        '        rows = [("a", 1.0), ("b", 1.1), ("c", 1.0)]\n'
                        "        self.assertEqual(high_waters(rows), [])\n\n"
                        "    def test_the_range_is_plausible(self):\n",
                    ),
                    Claude.run(TESTS),
                    "Done: a ripple of 0.1 m is no high water.",
                ],
                thinks=500,
                cold=True,
            ),
        ],
    ),
    Session(
        "codex",
        GPT,
        "ferry",
        [
            Turn(
                "2026-11-09T10:20:00",
                "Which test would break if a departure was added at 12:15?",
                [
                    Codex.run("cat test_ferry.py"),
                    Codex.run("pytest -q"),
                    Codex.run(TESTS),
                    "Both: the next departure after 09:00 and the wait at 12:00 would change.",
                ],
                thinks=380,
            )
        ],
    ),
    Session(
        "claude",
        OPUS,
        "tides",
        [
            Turn(
                "2026-11-10T09:15:00",
                "Let us try the other way: smooth the readings instead, in a function of its own.",
                [
                    Claude.edit(
                        "tides.py",
                        "def rises(rows):\n",
                        "def smooth(rows):\n"
                        '    """The readings, each the mean of itself and its neighbours."""\n'
                        "    triples = zip(rows, rows[1:], rows[2:])\n"
                        "    return [(b[0], (a[1] + b[1] + c[1]) / 3) for a, b, c in triples]\n\n\n"
                        "def rises(rows):\n",
                    ),
                    Claude.run(TESTS),
                    "`smooth` is there beside it, so that you can compare the two on your data.",
                ],
                thinks=800,
                cold=True,
            )
        ],
        fork_of=6,
    ),
    Session(
        "claude",
        SONNET,
        "ferry",
        [
            Turn(
                "2026-11-11T13:02:00",
                "Add a departure at 15:20.",
                [
                    Claude.read("ferry.py"),
                    Claude.edit("ferry.py", '"12:30", "17:45"', '"12:30", "15:20", "17:45"'),
                    Claude.run(TESTS),
                    "There is a ferry at 15:20 now. The tests pass.",
                ],
            )
        ],
    ),
    Session(
        "qwen",
        DEEPSEEK,
        "tides",
        [
            Turn(
                "2026-11-12T09:45:00",
                "Give the README a section about the prominence of a high water.",
                [
                    Qwen.edit("README.md", "reading every 3 hours", "reading every three hours"),
                    Qwen.read("README.md"),
                    Qwen.edit(
                        "README.md",
                        "`heights.csv` has a reading every three hours.\n",
                        "`heights.csv` has a reading every three hours.\n\n## Prominence\n\n"
                        "A high water stands out by 0.3 m or more; `high_waters(rows, prominence=0.5)` wants half "
                        "a metre.\n",
                    ),
                    "The README says what the prominence is.",
                ],
                thinks=160,
            )
        ],
    ),
    Session(
        "codex",
        GPT,
        "tides",
        [
            Turn(
                "2026-11-12T15:10:00",
                "Fix low_waters as high_waters was fixed: two equal readings.",
                [
                    Codex.run("sed -n 1,30p tides.py"),
                    Codex.patch(
                        "tides.py",
                        f"    return [b for a, b, c in zip(rows, rows[1:], rows[2:]) {_LOW}",
                        f"    return [b for a, b, c in zip(rows, rows[1:], rows[2:]) {_LOW_FIXED}",
                    ),
                    Codex.run(TESTS),
                    "`low_waters` takes the first of two equal readings as well. The tests pass.",
                ],
                thinks=520,
            )
        ],
    ),
    Session(
        "qwen",
        DEEPSEEK,
        "ferry",
        [Turn("2026-11-13T17:20:00", "Translate all texts into Welsh.", [STOP])],
    ),
    Session(
        "claude",
        SONNET,
        "tides",
        [
            Turn(
                "2026-11-14T10:30:00",
                "Is there a test that the first reading of the day can be a high water?",
                [
                    Claude.run("grep -n 'def test' test_tides.py"),
                    "No. And it cannot be one: `high_waters` looks at both neighbours of a reading, and the first one "
                    "has only one.",
                ],
            )
        ],
    ),
)
