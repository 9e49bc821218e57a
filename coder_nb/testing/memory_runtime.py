"""A runtime in memory, whose turns are played by a function of the test: every verb, no agent, no file, no process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from coder_nb.core import questions
from coder_nb.core.agents import AgentCommands, AgentInfo, AgentOffer, AgentSessionInfo
from coder_nb.core.attention import Attention, ChatAttention
from coder_nb.core.audit import AuditRow, row
from coder_nb.core.changes import Change, ChangeStatus, FileContent, Preview
from coder_nb.core.checkpoints import CheckpointInfo
from coder_nb.core.entries import (
    AnyBody,
    Delta,
    End,
    Entry,
    Offer,
    Page,
    Permission,
    PermissionOption,
    Question,
    Text,
    ToolKind,
    TurnEnded,
    TurnStarted,
    Usage,
    UserMessage,
)
from coder_nb.core.health import AgentLog, Health, LiveAgent
from coder_nb.core.parts import choose, halves, is_whole
from coder_nb.core.permissions import Answerer
from coder_nb.core.prompts import Prompt
from coder_nb.core.risk import Risk, WorktreeInfo
from coder_nb.core.rules import SCOPES, Always, AnyCovers, Does, Rule, Scope
from coder_nb.core.sessions import ChatInfo, Isolation, SessionInfo, TurnInfo, doing
from coder_nb.core.stream import PROTOCOL, ChangesFrame, DeltaFrame, Frame, Hello, PageFrame, StateFrame
from coder_nb.core.usage import UsageRow
from coder_nb.errors import Conflict, EmptyPrompt, NotFound, UnknownAgent
from coder_nb.ids import new_id

T = TypeVar("T")
OPTIONS = (
    PermissionOption(id="once", label="Allow", kind="allow_once"),
    PermissionOption(id="no", label="Reject", kind="reject_once"),
)
OFFERS = (Offer(id="commands", label="ls …", text="commands that begin with `ls`"),)
AGENTS = (
    AgentInfo(name="replay", label="Replay", backend="replay", available=True, version="1", default=True),
    AgentInfo(name="goose", label="Goose", backend="acp", available=False, reason="not found", cure="install it"),
)


class Stage:
    """What a test's function plays one turn on."""

    def __init__(self, runtime: MemoryRuntime, chat_id: str, prompt: Prompt, turn_id: str) -> None:
        self.prompt = prompt
        self.turn_id = turn_id
        self._runtime, self._chat_id = runtime, chat_id

    def put(self, body: AnyBody, *, entry_id: str | None = None, open: bool = False) -> Entry:
        """Commits an entry of the turn, or a new state of one."""
        agent = self.prompt.agent or "replay"
        return self._runtime.commit(
            self._chat_id, body, turn_id=self.turn_id, agent=agent, entry_id=entry_id, open=open
        )

    def delta(self, entry: Entry, offset: int, text: str) -> None:
        """Says live text that is not committed yet."""
        delta = Delta(epoch="memory", entry_id=entry.id, offset=offset, text=text)
        self._runtime.tell(self._chat_id, DeltaFrame(deltas=(delta,)))

    def change(self, path: str, **fields: object) -> Change:
        """Records what the turn did to a file."""
        made = Change(
            id=new_id(),
            session_id=self._runtime.chats[self._chat_id].session_id,
            chat_id=self._chat_id,
            turn_id=self.turn_id,
            path=path,
            operation="edit",
            agent=self.prompt.agent or "replay",
            created_at=1,
        )
        made = replace(made, **fields)
        self._runtime.changed[self._chat_id].append(made)
        self._runtime.tell(self._chat_id, ChangesFrame(changes=tuple(self._runtime.changed[self._chat_id])))
        return made

    async def ask(self, title: str, *, asking: Answerer, kind: ToolKind = "execute") -> tuple[str | None, str]:
        """Asks for a permission; returns the option chosen and by whom."""
        body = Permission(
            request_id=new_id(),
            title=title,
            tool="terminal",
            tool_kind=kind,
            options=OPTIONS,
            offers=OFFERS,
            scopes=SCOPES,
        )
        entry = self.put(body, open=True)
        answer: asyncio.Future[tuple[str | None, str]] = asyncio.get_running_loop().create_future()
        self._runtime.waiting[body.request_id] = answer
        self._runtime.update(self._chat_id, asking=asking, asks="permission")
        option, by = await answer
        self._runtime.update(self._chat_id, asking=None, asks=None)
        status = "allowed" if option == "once" else "denied"
        self.put(replace(body, status=status, option_id=option, by=by), entry_id=entry.id)
        return option, by

    @property
    def always(self) -> Always | None:
        """The rule that was asked for with the latest answer."""
        return self._runtime.said_always[-1]

    async def question(self, text: str, *, asking: Answerer, **fields: Any) -> tuple[tuple[str, ...], str]:
        """Asks a question; returns the answer, empty where it was declined, and by whom."""
        body = replace(Question(request_id=new_id(), text=text), **fields)
        entry = self.put(body, open=True)
        answer: asyncio.Future[tuple[tuple[str, ...], str]] = asyncio.get_running_loop().create_future()
        self._runtime.questions[body.request_id] = (body, answer)
        self._runtime.update(self._chat_id, asking=asking, asks="question")
        said, by = await answer
        self._runtime.update(self._chat_id, asking=None, asks=None)
        self.put(replace(body, status="answered" if said else "declined", answer=said, by=by), entry_id=entry.id)
        return said, by

    async def forever(self) -> None:
        """Goes on until the turn is stopped."""
        await asyncio.get_running_loop().create_future()


Play = Callable[[Stage], Awaitable["TurnEnded | End | None"]]


async def echo(stage: Stage) -> End:
    """The turn of an agent that says what it was told."""
    stage.put(Text(text=f"You said: {stage.prompt.text}"))
    return "completed"


class Table(dict[str, T]):
    """What there is by its id; an id that nothing has is `NotFound`."""

    def __missing__(self, key: str) -> T:
        raise NotFound


class MemoryRuntime:
    """Implements `core.verbs.Verbs`; `play` is called once a turn, and what it returns is the turn's end."""

    def __init__(self, play: Play = echo) -> None:
        self.play = play
        self.chats = Table[ChatInfo]()
        self.changed = Table[list[Change]]()
        self.waiting: dict[str, asyncio.Future[tuple[str | None, str]]] = {}
        self.questions: dict[str, tuple[Question, asyncio.Future[tuple[tuple[str, ...], str]]]] = {}
        self.attended: list[str] = []
        self.ruled: list[Rule] = []
        self.said_always: list[Always | None] = []
        self.offered: tuple[AgentCommands, ...] = ()
        self.offering: tuple[AgentOffer, ...] = ()
        self._ended: dict[str, int] = {}
        """At which revision each chat's last turn ended."""
        self.closed = False
        self._sessions = Table[SessionInfo]()
        self._log = Table[dict[str, Entry]]()
        self._turns = Table[list[TurnInfo]]()
        self._readers: dict[str, set[asyncio.Queue[Frame]]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    # what a stage does

    def commit(
        self, chat_id: str, body: AnyBody, *, turn_id: str, agent: str | None, entry_id: str | None, open: bool
    ) -> Entry:
        log = self._log[chat_id]
        known = log.get(entry_id or "")
        rev = self.chats[chat_id].rev + 1
        entry = Entry(
            id=entry_id or new_id(),
            chat_id=chat_id,
            body=body,
            turn_id=turn_id,
            pos=known.pos if known else len(log) + 1,
            rev=rev,
            ts=1_700_000_000_000 + rev,
            agent=agent,
            open=open,
        )
        log[entry.id] = entry
        self.chats[chat_id] = replace(self.chats[chat_id], rev=rev)
        self.tell(chat_id, PageFrame(page=Page(entries=(entry,), rev=rev)))
        return entry

    def update(self, chat_id: str, **fields: object) -> ChatInfo:
        chat = replace(self.chats[chat_id], **fields)
        self.chats[chat_id] = replace(chat, attention=doing(chat))
        self.tell(chat_id, StateFrame(chat=self.chats[chat_id]))
        return self.chats[chat_id]

    def tell(self, chat_id: str, frame: Frame) -> None:
        for queue in self._readers[chat_id]:
            queue.put_nowait(frame)

    # the verbs

    async def health(self) -> Health:
        running = sum(not task.done() for task in self._running.values())
        return Health(protocol=PROTOCOL, version="memory", runtime_id="memory", status="ok", turns_running=running)

    async def agents(self) -> tuple[AgentInfo, ...]:
        return AGENTS

    async def open_session(
        self,
        path: str,
        *,
        name: str = "main",
        new: bool = False,
        isolation: Isolation | None = None,
        base: str | None = None,
    ) -> SessionInfo:
        for session in self._sessions.values():
            if (session.path, session.name) == (path, name) and not new:
                return session
        session = SessionInfo(id=new_id(), owner="me", path=path, name=f"{name}-2" if new else name, created_at=1)
        self._sessions[session.id] = session
        return session

    async def sessions(self) -> tuple[SessionInfo, ...]:
        return tuple(reversed(self._sessions.values()))

    async def get_session(self, session_id: str) -> SessionInfo:
        return self._sessions[session_id]

    async def open_chat(self, session_id: str, *, name: str = "main", new: bool = False) -> ChatInfo:
        session = self._sessions[session_id]
        for chat in self.chats.values():
            if (chat.session_id, chat.name) == (session_id, name) and not new:
                return chat
        chat = ChatInfo(id=new_id(), session_id=session_id, name=name, run_status="idle")
        self.chats[chat.id] = chat
        self._log[chat.id], self.changed[chat.id], self._turns[chat.id] = {}, [], []
        self._readers[chat.id] = set()
        self._sessions[session_id] = replace(session, chats=(*session.chats, chat.id))
        return chat

    async def get_chat(self, chat_id: str) -> ChatInfo:
        return self.chats[chat_id]

    async def prompt(self, chat_id: str, prompt: Prompt) -> ChatInfo:
        chat = self.chats[chat_id]
        if not prompt.text.strip():
            raise EmptyPrompt
        if prompt.agent is not None and prompt.agent not in {agent.name for agent in AGENTS}:
            raise UnknownAgent
        held = chat.held and bool(chat.queued)
        self.update(chat_id, queued=(*chat.queued, prompt), held=held)
        self._run_next(chat_id)
        return self.chats[chat_id]

    async def stop(self, chat_id: str) -> bool:
        await self.get_chat(chat_id)
        task = self._running.get(chat_id)
        if task is None or task.done():
            return False
        if self.chats[chat_id].queued:
            self.update(chat_id, held=True)
        task.cancel()
        return True

    async def steer(self, chat_id: str, text: str) -> bool:
        await self.get_chat(chat_id)
        return False

    async def commands(self, chat_id: str) -> tuple[AgentCommands, ...]:
        await self.get_chat(chat_id)
        return self.offered

    async def go_on(self, chat_id: str) -> ChatInfo:
        self.update(chat_id, held=False)
        self._run_next(chat_id)
        return self.chats[chat_id]

    async def withdraw(self, chat_id: str, prompt_id: str) -> bool:
        queued = self.chats[chat_id].queued
        left = tuple(prompt for prompt in queued if prompt.id != prompt_id)
        if len(left) == len(queued):
            return False
        self.update(chat_id, queued=left)
        return True

    async def answer(
        self, chat_id: str, request_id: str, option_id: str | None, *, by: str, always: Always | None = None
    ) -> bool:
        await self.get_chat(chat_id)
        self.said_always.append(always)
        waiting = self.waiting.pop(request_id, None)
        if waiting is None or waiting.done():
            return False
        waiting.set_result((option_id, by))
        return True

    async def reply(self, chat_id: str, request_id: str, answer: Sequence[str] | None, *, by: str) -> bool:
        await self.get_chat(chat_id)
        asked, waiting = self.questions.get(request_id, (None, None))
        if asked is None or waiting is None or waiting.done():
            return False
        if answer is not None:
            questions.check(asked.choices, answer, multiple=asked.multiple, custom=asked.custom)
        waiting.set_result((tuple(answer or ()), by))
        return True

    async def attend(self, chat_id: str, *, who: str, prompt_id: str | None = None) -> None:
        await self.get_chat(chat_id)
        self.attended.append(prompt_id or who)

    async def rules(self, session_id: str | None = None) -> tuple[Rule, ...]:
        if session_id is not None:
            await self.get_session(session_id)
        return tuple(rule for rule in self.ruled if session_id is None or rule.revoked_at is None)

    async def make_rule(
        self, covers: AnyCovers, *, does: Does, scope: Scope, session_id: str | None = None, by: str
    ) -> Rule:
        if session_id is not None:
            await self.get_session(session_id)
        rule = Rule(id=new_id(), does=does, scope=scope, covers=covers, session_id=session_id, by=by, created_at=1)
        self.ruled.append(rule)
        return rule

    async def revoke(self, rule_id: str, *, by: str) -> bool:
        place = next(place for place, rule in enumerate(self.ruled) if rule.id == rule_id)
        done = self.ruled[place].revoked_at is None
        self.ruled[place] = replace(self.ruled[place], revoked_at=2, revoked_by=by)
        return done

    async def audit(self, chat_id: str | None = None) -> tuple[AuditRow, ...]:
        chats = self.chats.values() if chat_id is None else [self.chats[chat_id]]
        return tuple(
            row(entry, entry.body, session_id=chat.session_id, path=self._sessions[chat.session_id].path)
            for chat in chats
            for entry in self._log[chat.id].values()
            if isinstance(entry.body, Permission)
        )

    async def offers(self, chat_id: str) -> tuple[AgentOffer, ...]:
        await self.get_chat(chat_id)
        return self.offering

    async def attention(self) -> tuple[ChatAttention, ...]:
        return tuple(self._doing(chat) for chat in self.chats.values())

    async def seen(self, chat_id: str, rev: int) -> bool:
        chat = self.chats[chat_id]
        if not chat.unseen or rev < self._ended.get(chat_id, 0):
            return False
        self.update(chat_id, unseen=False)
        return True

    def _doing(self, chat: ChatInfo) -> ChatAttention:
        now, session = chat.attention or Attention(), self._sessions[chat.session_id]
        return ChatAttention(
            chat_id=chat.id,
            session_id=session.id,
            path=session.path,
            session=session.name,
            chat=chat.name,
            state=now.state,
            why=now.why,
            turn_id=chat.turn_id,
        )

    async def turns(self, chat_id: str) -> tuple[TurnInfo, ...]:
        return tuple(self._turns[chat_id])

    async def read(self, chat_id: str, *, after: int = 0, before: int | None = None, limit: int = 500) -> Page:
        entries = list(self._log[chat_id].values())
        rev = self.chats[chat_id].rev
        if before is not None:
            return Page(entries=tuple(sorted((e for e in entries if e.pos < before), key=_pos)[-limit:]), rev=rev)
        later = sorted((entry for entry in entries if entry.rev > after), key=lambda entry: entry.rev)
        page = tuple(later[:limit])
        return Page(entries=page, rev=page[-1].rev if page else rev, more=len(later) > limit)

    async def stream(self, chat_id: str, *, after: int | None = None, tail: int = 200) -> AsyncIterator[Frame]:
        queue: asyncio.Queue[Frame] = asyncio.Queue()
        chat = self.chats[chat_id]
        if after is None:
            page = await self.read(chat_id, before=1 << 53, limit=tail)
        else:
            page = await self.read(chat_id, after=after, limit=1 << 30)
        self._readers[chat_id].add(queue)
        try:
            yield Hello(
                protocol=PROTOCOL,
                runtime_id="memory",
                epoch="memory",
                chat=chat,
                session=self._sessions[chat.session_id],
                first_pos=page.entries[0].pos if page.entries else 0,
            )
            yield PageFrame(page=page)
            while True:
                yield await queue.get()
        finally:
            self._readers[chat_id].discard(queue)

    async def changes(self, chat_id: str) -> tuple[Change, ...]:
        return tuple(self.changed[chat_id])

    async def apply(
        self,
        chat_id: str,
        change_ids: Sequence[str],
        *,
        hunks: Mapping[str, Sequence[str]] | None = None,
        to: str = "",
        commit: str = "",
    ) -> tuple[Change, ...]:
        return self._decide(chat_id, change_ids, "applied", hunks or {})

    async def reject(
        self, chat_id: str, change_ids: Sequence[str], *, hunks: Mapping[str, Sequence[str]] | None = None
    ) -> tuple[Change, ...]:
        return self._decide(chat_id, change_ids, "rejected", hunks or {})

    async def revert(self, chat_id: str, change_ids: Sequence[str]) -> tuple[Change, ...]:
        applied = [change.id for change in self.changed[chat_id] if change.status == "applied"]
        return self._decide(chat_id, [i for i in change_ids if i in applied], "reverted", {})

    async def preview(self, chat_id: str) -> tuple[Preview, ...]:
        pending = [change for change in self.changed[chat_id] if change.status in ("pending", "conflict")]
        return tuple(Preview(change_id=change.id, outcome="clean") for change in pending)

    async def content(self, chat_id: str, change_id: str, *, old: bool = False) -> FileContent:
        await self.get_chat(chat_id)
        text = "before\n" if old else "after\n"
        return FileContent(media_type="text/plain", size=len(text), text=text)

    async def usage(self, chat_id: str | None = None) -> tuple[UsageRow, ...]:
        logs = self._log.values() if chat_id is None else [self._log[chat_id]]
        return tuple(
            UsageRow(
                entry_id=entry.id,
                chat_id=entry.chat_id,
                session_id=self.chats[entry.chat_id].session_id,
                turn_id=entry.turn_id,
                agent=entry.agent,
                ts=entry.ts,
                tokens=entry.body.tokens,
                model=entry.body.model,
                cost_nanousd=entry.body.cost_nanousd,
                cost_source=entry.body.cost_source,
                counted=entry.body.counted,
                native_id=entry.body.native_id,
            )
            for entry in itertools.chain.from_iterable(log.values() for log in logs)
            if isinstance(entry.body, Usage)
        )

    async def agent_sessions(self, session_id: str) -> tuple[AgentSessionInfo, ...]:
        await self.get_session(session_id)
        chats = [chat for chat in self.chats.values() if chat.session_id == session_id]
        return tuple(
            AgentSessionInfo(chat_id=chat.id, agent="replay", backend="replay", status="warm") for chat in chats
        )

    async def pool(self) -> tuple[LiveAgent, ...]:
        return tuple(
            LiveAgent(key=f"{chat.id}.replay", agent="replay", chat_id=chat.id, state="idle", title=chat.title)
            for chat in self.chats.values()
        )

    async def evict(self, key: str) -> bool:
        return False

    async def restart(self, key: str) -> bool:
        return False

    async def agent_log(self, key: str) -> AgentLog:
        return AgentLog(key=key)

    async def checkpoints(self, chat_id: str) -> tuple[CheckpointInfo, ...]:
        await self.get_chat(chat_id)
        return ()

    async def restore(self, chat_id: str, turn_id: str, *, files: bool = True, conversation: bool = True) -> str:
        raise NotFound

    async def risk(self, session_id: str) -> Risk:
        return Risk(session_id=self._sessions[session_id].id)

    async def stash(self, session_id: str) -> Risk:
        return await self.risk(session_id)

    async def keep_branch(self, session_id: str, name: str) -> Risk:
        return await self.risk(session_id)

    async def close_session(self, session_id: str, *, force: bool = False) -> None:
        await self.get_session(session_id)

    async def delete_session(self, session_id: str, *, force: bool = False) -> None:
        for chat_id in self._sessions[session_id].chats:
            del self.chats[chat_id]
        del self._sessions[session_id]

    async def close_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self.get_chat(chat_id)

    async def delete_chat(self, chat_id: str, *, force: bool = False) -> None:
        await self.get_chat(chat_id)
        del self.chats[chat_id]

    async def worktrees(self) -> tuple[WorktreeInfo, ...]:
        return ()

    async def reap(self, *, dry_run: bool = False) -> tuple[WorktreeInfo, ...]:
        return ()

    async def close(self) -> None:
        self.closed = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # turns

    def _run_next(self, chat_id: str) -> None:
        chat, running = self.chats[chat_id], self._running.get(chat_id)
        if chat.held or not chat.queued or (running is not None and not running.done()):
            return
        self._running[chat_id] = asyncio.get_running_loop().create_task(self._run(chat_id), name=f"turns of {chat_id}")

    async def _run(self, chat_id: str) -> None:
        stopped = False
        while not stopped and self.chats[chat_id].queued and not self.chats[chat_id].held:
            stopped = await self._turn(chat_id)

    async def _turn(self, chat_id: str) -> bool:
        """Plays one turn; returns whether it was stopped."""
        prompt, *rest = self.chats[chat_id].queued
        turn = TurnInfo(
            id=new_id(),
            chat_id=chat_id,
            prompt_id=prompt.id,
            agent=prompt.agent or "replay",
            state="running",
            started_at=1,
        )
        self._turns[chat_id].append(turn)
        stage = Stage(self, chat_id, prompt, turn.id)
        self.update(chat_id, queued=tuple(rest), run_status="running", turn_id=turn.id)
        began = TurnStarted(agent=turn.agent, model=prompt.model, mode=prompt.mode, effort=prompt.effort)
        stage.put(replace(began, prompt_id=prompt.id, cell=prompt.cell))
        stage.put(UserMessage(text=prompt.text, prompt_id=prompt.id, attachments=prompt.attachments))
        stopped = False
        try:
            said = await self.play(stage) or "completed"
        except asyncio.CancelledError:
            said, stopped = "cancelled", True
        body = said if isinstance(said, TurnEnded) else TurnEnded(end=said)
        self._turns[chat_id][-1] = replace(
            turn, state=body.end, end=body.end, message=body.message, code=body.code, ended_at=2
        )
        stage.put(body)
        self._ended[chat_id] = self.chats[chat_id].rev
        self.update(chat_id, run_status="idle", turn_id=None, asking=None, unseen=True)
        return stopped

    def _decide(
        self, chat_id: str, ids: Sequence[str], status: ChangeStatus, hunks: Mapping[str, Sequence[str]]
    ) -> tuple[Change, ...]:
        changes = self.changed[chat_id]
        touched = []
        for index, change in enumerate(changes):
            if change.id not in ids:
                continue
            chosen = choose(change, hunks.get(change.id, ()))
            if change.note:
                changes[index] = replace(change, status="conflict")
            elif chosen and not is_whole(change, chosen):
                part, changes[index] = halves(change, chosen, "middle", named="second")
                touched.append(replace(part, id=new_id(), status=status, decided_at=3))
            else:
                changes[index] = replace(change, status=status, decided_at=3)
            touched.append(changes[index])
        changes += [change for change in touched if change not in changes]
        if not changes and ids:
            raise Conflict
        return tuple(touched)


def _pos(entry: Entry) -> int:
    return entry.pos
