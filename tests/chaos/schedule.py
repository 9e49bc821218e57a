"""What happens in a chaos run: made of a seed alone, so that it can be run again."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple


class Step(NamedTuple):
    """One deed; `choice` says with which of those that are there at that moment."""

    pause: float
    """Seconds before it."""
    deed: str
    choice: int
    text: str = ""

    def __str__(self) -> str:
        return f"+{self.pause:.2f} {self.deed} {self.choice}" + (f" {self.text!r}" if self.text else "")


Schedule = Mapping[str, tuple[Step, ...]]
"""What each actor does, one deed after another; the actors act at the same time."""

PERSON = {
    "prompt": 12,
    "stop": 4,
    "go_on": 3,
    "withdraw": 1,
    "steer": 1,
    "look_away": 3,
    "freeze": 1,
    "edit": 2,
    "apply": 2,
    "reject": 1,
    "another": 1,
    "fork": 1,
    "export": 1,
}
"""What people do, and how often beside the rest."""

TROUBLE = {
    "kill_agent": 4,
    "pause_agent": 3,
    "freeze_agent": 2,
    "kill_holder": 1,
    "kill_keeper": 1,
    "pause_server": 2,
    "lock_store": 3,
    "slow_git": 2,
    "cut": 4,
}
"""What befalls them, and how often beside the rest."""

TURNS = (
    "say {n}; write made-{n}.txt text {n}",
    "think hm; stream 30 5; usage 100 20",
    "write made-{n}.txt text {n}; usage 10 2; say {n}",
    "write deep/made-{n}.txt text {n}; plan one, two; say done",
    "run sleep 0.3; say {n}",
    "stream 400 1",
    "huge 300000; usage 7 7",
    "stderr 200000; say {n}",
    "garbage; badutf8; say {n}",
    "grandchild; say {n}",
    "recall",
    "run sleep 30",
    "say {n}; hang",
    "say {n}; late 200",
    "say {n}; deaf",
    "say {n}; half",
    "say {n}; kill",
    "die 3",
    "fail no more of it",
    "end refusal",
)
"""What agents are told, each with a number of its own."""
ASKING = ("ask may I {n}; say {n}", "write asked-{n}.txt text {n}; say {n}", "choose red, green; say {n}")
"""What they are told where somebody is asked first."""


def schedule(seed: int, *, people: int, steps: int, seconds: float, real: bool = False) -> Schedule:
    """The deeds of some people and of the trouble that they have, each about so many in about so many seconds.

    With `real`, a third of the prompts are for an agent that is no script.
    """
    actors = {f"person {number}": PERSON for number in range(people)} | {"trouble": TROUBLE}
    return {
        name: _steps(random.Random(f"{seed} {name}"), deeds, name, steps, 2 * seconds / steps, real)
        for name, deeds in actors.items()
    }


def told(made: Schedule) -> str:
    """A schedule as it is read."""
    return "\n".join(f"{name}: " + " · ".join(map(str, steps)) for name, steps in made.items())


def _steps(
    chance: random.Random, deeds: Mapping[str, int], name: str, count: int, longest: float, real: bool
) -> tuple[Step, ...]:
    made: list[Step] = []
    for number in range(count):
        deed = "prompt" if not made and "prompt" in deeds else chance.choices(list(deeds), list(deeds.values()))[0]
        text = ""
        if deed == "prompt":
            asking = chance.random() < 0.15
            own = f"{name.rpartition(' ')[2]}-{number}"
            text = ("ask:" if asking else "") + chance.choice(ASKING if asking else TURNS).format(n=own)
            if real and chance.random() < 1 / 3:
                text = f"opencode:tell me of {own}"
        made.append(Step(round(chance.uniform(0, longest), 2), deed, chance.randrange(1000), text))
    return tuple(made)
