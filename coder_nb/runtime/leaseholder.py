"""The leases of this runtime: taken when a session is first run here, renewed while it lives, given up when told so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from coder_nb.errors import LeaseLost, StoreError
from coder_nb.store.base import Lease, Leases, Owner

_log = logging.getLogger("coder_nb.lease")


class Leaseholder:
    """Holds at most one lease for each working directory."""

    def __init__(
        self,
        leases: Leases,
        owner: Owner,
        *,
        ttl: float,
        taken: Callable[[Lease], Awaitable[None]],
        lost: Callable[[Lease], Awaitable[None]],
    ) -> None:
        """`taken` is awaited before a new lease is given out, to settle what a dead runner left; `lost` after that."""
        self._leases, self._owner, self._ttl = leases, owner, ttl
        self._taken, self._lost = taken, lost
        self._held: dict[str, Lease] = {}
        self._used: dict[str, float] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def hold(self, path: str) -> Lease:
        """The lease of a working directory; raises `RunElsewhere` where another living process has it."""
        async with self._alone(path):
            held = self._held.get(path)
            if held is None:
                held = await self._leases.acquire(path, self._owner, ttl=self._ttl)
                try:
                    await self._taken(held)
                except BaseException:  # who could settle it is not to wait until it expires
                    await self._give_back(held)
                    raise
                self._held[path] = held
            self._used[path] = time.monotonic()
            return held

    def held(self, path: str) -> Lease | None:
        return self._held.get(path)

    async def runner(self, path: str) -> str | None:
        """In words, who runs a working directory where it is not this runtime; None otherwise."""
        if path in self._held:
            return None
        holder = await self._leases.holder(path)
        return None if holder is None or holder.runtime_id == self._owner.runtime_id else holder.label

    async def keep(self) -> None:
        """Renews for ever. What another process took is reported as lost at once (a paused process wakes up here)."""
        while True:
            await asyncio.sleep(self._ttl / 3)
            for lease in list(self._held.values()):
                try:
                    await self._renew(lease)
                except StoreError as error:
                    _log.warning("the lease of a session could not be renewed: %s", error.message)
                except Exception:  # else no lease would be renewed any more
                    _log.exception("the loss of a lease could not be dealt with")

    async def _renew(self, lease: Lease) -> None:
        try:
            await self._leases.renew(lease, ttl=self._ttl)
        except LeaseLost:
            await self.drop(lease)

    async def drop(self, lease: Lease) -> None:
        """Forgets a lease that another process has taken."""
        if self._held.pop(lease.path, None) is not None:
            await self._lost(lease)

    async def release(self, path: str) -> None:
        """Gives a lease back, so that any process may run the session."""
        async with self._alone(path):
            lease = self._held.pop(path, None)
            if lease is not None:
                await self._give_back(lease)

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._leases.release(lease)
        except StoreError as error:
            _log.warning("a lease could not be given back, it will expire: %s", error.message)

    async def release_all(self) -> None:
        for path in list(self._held):
            await self.release(path)

    def _alone(self, path: str) -> asyncio.Lock:
        """By which a lease is taken and given back, one after another; other directories do not wait for it."""
        return self._locks.setdefault(path, asyncio.Lock())

    def unused_for(self, seconds: float) -> list[str]:
        """The directories whose lease nobody has asked for in that time."""
        now = time.monotonic()
        return [path for path in self._held if now - self._used[path] >= seconds]
