"""What befalls a server and its agents: deaths, pauses, a slow disk, broken connections."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence

import psutil
from chaos.schedule import Step
from chaos.world import World

LOOKS = 200
"""How often it is looked whether git is called."""


class Trouble:
    """Makes it, one step after another; whatever was paused goes on at last, but for agents that are to stay deaf."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def live(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await asyncio.sleep(step.pause)
            self._world.note(f"trouble: {step}")
            await getattr(self, f"_{step.deed}")(step)

    async def _kill_agent(self, step: Step) -> None:
        self._signal(self._world.agents(), step, signal.SIGKILL)

    async def _freeze_agent(self, step: Step) -> None:
        self._signal(self._world.agents(), step, signal.SIGSTOP)

    async def _pause_agent(self, step: Step) -> None:
        await self._pause(self._world.agents(), step)

    async def _slow_git(self, step: Step) -> None:
        """The next call of git is slow, as on a slow disk; each takes a moment only, so that one is looked out for."""
        for _ in range(LOOKS):
            if found := self._world.gits():
                return await self._pause(found, step)
            await asyncio.sleep(0.01)

    async def _pause_server(self, step: Step) -> None:
        with contextlib.suppress(psutil.Error):
            await self._pause([psutil.Process(self._world.server.process.pid)], step)

    async def _kill_keeper(self, step: Step) -> None:
        self._signal(self._keepers(holders=False), step, signal.SIGKILL)

    async def _kill_holder(self, step: Step) -> None:
        self._signal(self._keepers(holders=True), step, signal.SIGKILL)

    async def _lock_store(self, step: Step) -> None:
        await asyncio.to_thread(self._world.lock_store, 0.1 + step.choice / 1000)

    async def _cut(self, step: Step) -> None:
        self._world.note(f"{self._world.door.cut()} connections are cut")

    def _keepers(self, *, holders: bool) -> list[psutil.Process]:
        server = self._world.server.process.pid
        found = []
        for process in self._world.keepers():
            with contextlib.suppress(psutil.Error):
                if (process.ppid() != server) == holders:
                    found.append(process)
        return found

    def _signal(self, processes: Sequence[psutil.Process], step: Step, number: signal.Signals) -> None:
        if processes:
            chosen = processes[step.choice % len(processes)]
            with contextlib.suppress(psutil.Error):
                chosen.send_signal(number)  # of psutil: not to another that has its number by now
                self._world.note(f"{number.name} to {chosen.pid}")

    async def _pause(self, processes: Sequence[psutil.Process], step: Step) -> None:
        self._signal(processes, step, signal.SIGSTOP)
        await asyncio.sleep(0.1 + step.choice / 1000)
        self._signal(processes, step, signal.SIGCONT)
