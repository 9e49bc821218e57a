"""The command `coder-nb`: the same session, agents and store as in a notebook, from a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import coder_nb
from coder_nb.core.permissions import MODES
from coder_nb.errors import CoderError

if TYPE_CHECKING:
    import pandas as pd

    from coder_nb.client.history import History

TOLD_OF_USAGE = ("responses", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_usd")
TOLD_OF_SESSIONS = ("started", "agent", "project", "prompts", "tool_calls", "cost_usd", "title", "session_id")


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
    sessions = commands.add_parser("sessions", help="conversations with their sums, the latest first")
    _chosen(sessions)
    sessions.set_defaults(run=_sessions)
    usage = commands.add_parser("usage", help="tokens and cost by day, model, project or anything else")
    usage.add_argument(
        "--by", default="agent,model", help="what to sum by: day, week, month, block, model, project ..."
    )
    usage.add_argument("--tz", help="whose days they are, as Europe/Berlin; by default UTC")
    _chosen(usage)
    usage.set_defaults(run=_usage)
    export = commands.add_parser("export", help="write the frames into a folder, or a chat into a file")
    export.add_argument("target", help="a folder; or with --chat a file that ends with .jsonl, .md or .html")
    export.add_argument("--chat", help="the id of a chat that ran here")
    export.add_argument(
        "--format", choices=("parquet", "csv", "jsonl", "otel"), default="parquet", help="of the frames"
    )
    export.add_argument("--text", action="store_true", help="with what was said, and what tools were given and gave")
    export.add_argument("--no-redact", action="store_true", help="leave secrets as they are")
    _chosen(export, table=False)
    export.set_defaults(run=_export)
    prompt = commands.add_parser("prompt", help="prompt an agent and wait for its turn")
    _prompted(prompt)
    prompt.set_defaults(run=_prompt)
    users = commands.add_parser(
        "postgres-users", help="let users of a PostgreSQL database see their own, and what was shared with them"
    )
    users.add_argument("database", metavar="URL", help="of the database, for the owner of its tables")
    users.add_argument("users", nargs="+", metavar="USER", help="a database user; made where there is none")
    users.set_defaults(run=_postgres_users)
    return parser


def _prompted(prompt: argparse.ArgumentParser) -> None:
    """What an agent is asked, and where it works."""
    prompt.add_argument("text")
    prompt.add_argument("--agent", help="who takes the turn")
    prompt.add_argument("--path", default=".", help="the directory to work on")
    prompt.add_argument("--chat", default="main", help="the chat's name")
    prompt.add_argument("--model", help="one of the agent's models")
    prompt.add_argument("--mode", choices=MODES, help="what the agent may do without asking")
    prompt.add_argument("--apply", action="store_true", help="write what it changed into the directory")


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


def _chosen(parser: argparse.ArgumentParser, *, table: bool = True) -> None:
    """The options by which all that is told of histories is chosen, and shown."""
    parser.add_argument("--agent", action="append", help="of this agent only; may be given again")
    parser.add_argument("--project", help="of this directory, with all beneath it, or of this name")
    parser.add_argument("--since", help="from this day on: 2026-10-31, or 2026-10")
    parser.add_argument("--until", help="before this day")
    parser.add_argument(
        "--here", action="store_true", help="only what ran here, not what agents left on disk elsewhere"
    )
    if table:
        parser.add_argument("--json", action="store_true", help="as JSON")


def _history(options: argparse.Namespace, **more: Any) -> History:
    roots: dict[str, str] | None = {} if options.here else None
    given = {"agent": options.agent, "project": options.project, "since": options.since, "until": options.until}
    return coder_nb.everything(**given, roots=roots, **more)


def _usage(options: argparse.Namespace) -> None:
    keys = [key.strip() for key in options.by.split(",") if key.strip()]
    found = _history(options).by(*keys, tz=options.tz).reset_index()
    columns = [*found.columns[: len(keys)], *TOLD_OF_USAGE]
    _show(found, columns, json=options.json)


def _sessions(options: argparse.Namespace) -> None:
    found = _history(options).sessions.sort_values("started", ascending=False, na_position="last")
    _show(found, TOLD_OF_SESSIONS, json=options.json)


def _export(options: argparse.Namespace) -> None:
    redact = not options.no_redact
    if options.chat:
        print(coder_nb.chat(options.chat).export(options.target, redact=redact))
        return
    for file in _history(options, text=options.text).export(options.target, format=options.format, redact=redact):
        print(file)


def _show(frame: pd.DataFrame, columns: Sequence[str] | None = None, *, json: bool = False) -> None:
    if json:
        print(frame.to_json(orient="records", date_format="iso", force_ascii=False, default_handler=str))
        return
    shown = frame if columns is None else frame[list(columns)]
    text = shown.astype(object).where(shown.notna(), "")
    print("Nothing yet." if shown.empty else text.to_string(index=False, float_format=lambda cost: f"{cost:,.4f}"))


if __name__ == "__main__":
    sys.exit(main())
