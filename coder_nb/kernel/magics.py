"""`%coder` and `%%coder`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from coder_nb import door
from coder_nb.client.chat import Chat
from coder_nb.client.turn import Turn
from coder_nb.errors import CoderError, InvalidOption
from coder_nb.kernel.options import parse

HELP = """\
%%coder [agent] [--chat NAME] [--session PATH] [--model MODEL] [--effort EFFORT] [--mode MODE] [--no-display]
                       prompt an agent with the rest of the cell
%coder agents          which agents there are, and what those need that cannot be used
%coder sessions        all sessions
%coder attention       what each chat is doing, and which want you
%coder session [PATH]  the session that the magics use from now on
%coder status          what runs, and where
%coder changes         what was changed, to apply or reject
%coder usage           tokens and cost
%coder rules           what agents may do here without asking
%coder audit           every permission that was asked for, and who answered
%coder stop            stop the running turn
%coder retry           send the prompt of the last turn again, where that failed or was stopped"""


@magics_class
class CoderMagics(Magics):
    """The magics, and the session that they use."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._path = "."
        self._chat_name = "main"
        self._commands: Mapping[str, Callable[[str], Any]] = {
            "agents": lambda rest: door.agents(),
            "sessions": lambda rest: door.sessions(),
            "attention": lambda rest: door.attention(),
            "session": self._use,
            "status": self._status,
            "changes": lambda rest: self._chat().changes,
            "usage": lambda rest: self._chat().usage(),
            "rules": lambda rest: door.session(self._path).rules(),
            "audit": lambda rest: door.audit(),
            "stop": self._stop,
            "retry": lambda rest: self._chat().retry().wait(),
        }

    @no_var_expand
    @line_magic
    def coder(self, line: str) -> Any:
        """Looks at agents, sessions, changes and usage, and stops what runs; bare, it prints what there is."""
        word, _, rest = line.strip().partition(" ")
        if not word or word in ("help", "-h", "--help", "?"):
            print(HELP)
            return None
        command = self._commands.get(word)
        if command is None:
            raise InvalidOption(f"%coder knows no {word!r}: it knows {', '.join(self._commands)}.")
        return command(rest.strip())

    @no_var_expand
    @cell_magic("coder")  # type: ignore[arg-type]  # IPython's decorators take a name as well
    def coder_cell(self, line: str, cell: str) -> Turn:
        """Prompts an agent with the cell and blocks; in a notebook the cell is awaited instead."""
        return self.begin(line, cell).wait()

    def begin(self, line: str, cell: str) -> Turn:
        """Hands the cell in as a prompt; returns its turn."""
        options = parse(line)
        path = options.session if options.session != "." else self._path
        chat = door.session(path).chat(options.chat)
        self._path, self._chat_name = path, options.chat  # only what was found is gone on with
        return chat.prompt(
            cell,
            agent=options.agent,
            model=options.model,
            effort=options.effort,
            mode=options.mode,
            display=options.display,
        )

    def slash_commands(self, line: str) -> list[str]:
        """The names of the commands for a cell that begins with this line, of what is known; nothing is made for it."""
        options = parse(line.removeprefix("%%coder"))
        path = os.path.realpath(options.session if options.session != "." else self._path)
        link = door.link()
        chats = [chat for session in link.run(link.verbs.sessions) if session.path == path for chat in session.chats]
        offered = link.run(link.verbs.commands, chats[-1]) if chats else ()
        return [c.name for of in offered if options.agent in (None, of.agent) for c in of.commands]

    def _chat(self) -> Chat:
        return door.session(self._path).chat(self._chat_name)

    def _use(self, rest: str) -> Any:
        path = rest or self._path
        session = door.session(path)
        self._path = path
        return session

    def _status(self, rest: str) -> None:
        link = door.link()
        place = "the Jupyter server" if link.where == "server" else "this kernel"
        print(f"coder-nb {link.health.version}, agents run by {place}.")
        health = link.run(link.verbs.health)
        print(f"Agents live: {health.agents_live}. Turns running: {health.turns_running}. {health.detail}".rstrip())
        try:
            info = self._chat().info
        except CoderError as error:
            print(f"No session here: {error}")
            return
        waiting = f", {len(info.queued)} prompts waiting" if info.queued else ""
        held = "; held until `chat.go_on()`" if info.held else ""
        doing = info.attention.state if info.attention else info.run_status
        print(f"Chat {info.name!r} on {self._path}: {doing}{waiting}{held}.")

    def _stop(self, rest: str) -> None:
        print("Stopped." if self._chat().stop() else "Nothing runs.")
