"""The command `coder-nb`: the same session, agents and store as in a notebook, from a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import coder_nb
from coder_nb.core.permissions import MODES
from coder_nb.errors import CoderError

if TYPE_CHECKING:
    import pandas as pd


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 where it failed, 130 where it was interrupted."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except CoderError as error:
        print(f"coder-nb: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("coder-nb: stopped.", file=sys.stderr)
        return 130
    finally:
        coder_nb.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coder-nb", description="Coding agents, with their sessions kept as data.")
    parser.add_argument("--version", action="version", version=f"coder-nb {coder_nb.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    agents = commands.add_parser("agents", help="which agents there are, and what those need that cannot be used")
    agents.set_defaults(
        run=lambda options: _show(coder_nb.agents(), ["agent", "available", "version", "reason", "cure"])
    )
    sessions = commands.add_parser("sessions", help="all sessions, the latest first")
    sessions.set_defaults(run=lambda options: _show(coder_nb.sessions(), ["created", "name", "path", "title"]))
    usage = commands.add_parser("usage", help="tokens and cost, by agent and model")
    usage.set_defaults(run=lambda options: _show(_by_model(coder_nb.usage())))
    prompt = commands.add_parser("prompt", help="prompt an agent and wait for its turn")
    prompt.add_argument("text")
    prompt.add_argument("--agent", help="who takes the turn")
    prompt.add_argument("--path", default=".", help="the directory to work on")
    prompt.add_argument("--chat", default="main", help="the chat's name")
    prompt.add_argument("--model", help="one of the agent's models")
    prompt.add_argument("--mode", choices=MODES, help="what the agent may do without asking")
    prompt.add_argument("--apply", action="store_true", help="write what it changed into the directory")
    prompt.set_defaults(run=_prompt)
    users = commands.add_parser(
        "postgres-users", help="let users of a PostgreSQL database see their own, and what was shared with them"
    )
    users.add_argument("database", metavar="URL", help="of the database, for the owner of its tables")
    users.add_argument("users", nargs="+", metavar="USER", help="a database user; made where there is none")
    users.set_defaults(run=_postgres_users)
    return parser


def _postgres_users(options: argparse.Namespace) -> None:
    import asyncio

    from coder_nb.store.roles import set_up

    made = asyncio.run(set_up(options.database, options.users))
    print(f"Users who see their own, and what was shared with them: {', '.join(options.users)}.")
    if made:
        print(f"New, and without a password yet: {', '.join(made)}. Give each one with psql's \\password.")


def _prompt(options: argparse.Namespace) -> None:
    chat = coder_nb.session(options.path).chat(options.chat)
    turn = chat.run(options.text, agent=options.agent, model=options.model, mode=options.mode)
    print(turn)
    changes = turn.changes
    if options.apply:
        changes.apply()
    if changes:
        print(f"\n{changes.diff}", end="")


def _by_model(usage: pd.DataFrame) -> pd.DataFrame:
    counted = usage[usage["counted"].astype(bool)]
    sums = counted.groupby(["agent", "model"], dropna=False, observed=True)
    return sums[["input_tokens", "output_tokens", "cost_usd"]].sum(min_count=1).reset_index()


def _show(frame: pd.DataFrame, columns: list[str] | None = None) -> None:
    shown = frame if columns is None else frame[columns]
    print("Nothing yet." if shown.empty else shown.to_string(index=False, na_rep=""))


if __name__ == "__main__":
    sys.exit(main())
