"""Going back, and the end of chats, sessions and worktrees."""

from __future__ import annotations

from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.sessions import SessionInfo
from coder_nb.runtime import deletion, reaper, restoring
from coder_nb.runtime.runner import Runner
from coder_nb.runtime.verbs.base import VerbGroup
from coder_nb.store.base import Lease


class Ends(VerbGroup):
    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        chat = await self._store.catalog.get_chat(chat_id)
        return await restoring.checkpoints(self._context, chat, await self._host.path_of(chat.session_id))

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._host.runner_of(chat)
        return await restoring.restore(
            self._context, lease, chat, runner, turn_id, files=files, conversation=conversation
        )

    async def risk(self, session_id: str) -> Risk:
        return await deletion.risk(self._context, await self._store.catalog.get_session(session_id))

    async def stash(self, session_id: str) -> Risk:
        return await deletion.stash(self._context, *await self._with_runner(session_id))

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        return await deletion.keep_branch(self._context, *await self._with_runner(session_id), name)

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        await deletion.close_session(self._context, *await self._with_runner(session_id), force=force)

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        await deletion.delete_session(self._context, *await self._with_runner(session_id), force=force)

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._host.runner_of(chat)
        await deletion.close_chat(self._context, lease, chat, runner, force=force)

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        chat = await self._store.catalog.get_chat(chat_id)
        lease, runner = await self._host.runner_of(chat)
        await deletion.delete_chat(self._context, lease, chat, runner, force=force)

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        return await reaper.reap(self._context, dry_run=True)

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        return await reaper.reap(self._context, dry_run=dry_run)

    async def _with_runner(self, session_id: str) -> tuple[Lease, SessionInfo, Runner]:
        session = await self._store.catalog.get_session(session_id)
        lease, runner = await self._host.worker(session_id)
        return lease, session, runner
