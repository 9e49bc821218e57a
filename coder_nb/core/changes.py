"""What a turn did to files, and what was decided about it, as values."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from msgspec.structs import replace

from coder_nb.core.entries import Value
from coder_nb.core.hunks import Hunk

Operation = Literal["create", "edit", "delete", "rename"]
ChangeStatus = Literal["pending", "applied", "rejected", "reverted", "superseded", "conflict"]

_SECRET = (
    *(
        ".env",
        ".env.*",
        "*.env",
        ".envrc",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.kdbx",
        "*.jks",
        "*.keystore",
        "*.ppk",
    ),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".pypirc", ".htpasswd"),
    *("credentials", "credentials.json", ".git-credentials", "client_secret*.json", "service-account*.json"),
    *("secrets.json", "secrets.toml", "secrets.yaml", "secrets.yml", "token.json", "kubeconfig", "*.tfstate"),
)
_NOT_SECRET = ("*.example", "*.sample", "*.template", "*.dist", "*.pub")


class CellDelta(Value):
    """What a change did to one cell of a notebook."""

    operation: Literal["create", "edit", "delete"]
    cell_type: str
    number: int
    """The cell's place among the notebook's cells, from 1: among the new ones, or the old ones where it was deleted."""
    cell_id: str = ""
    hunks: tuple[Hunk, ...] = ()
    """What changed in its source."""
    note: str = ""
    """What else changed, in words: outputs, metadata, its kind, its place."""


class FileDelta(Value):
    """What differs in one file between the base of a worktree and the worktree as it is."""

    path: str
    """Relative to the repository's root, with ``/``."""
    operation: Operation
    touched: bool = True
    """Whether it changed after the checkpoint that was asked about; otherwise it had been like this before."""
    old_path: str | None = None
    additions: int | None = None
    deletions: int | None = None
    binary: bool = False
    old_mode: str | None = None
    new_mode: str | None = None
    old_blob: str | None = None
    new_blob: str | None = None
    hunks: tuple[Hunk, ...] = ()
    cells: tuple[CellDelta, ...] | None = None
    note: str = ""


class Change(Value):
    """What a turn did to one file, and what was decided about it."""

    id: str
    session_id: str
    chat_id: str
    turn_id: str
    path: str
    """Relative to the repository's root, with ``/``."""
    operation: Operation
    agent: str | None = None
    old_path: str | None = None
    status: ChangeStatus = "pending"
    additions: int | None = None
    deletions: int | None = None
    binary: bool = False
    old_mode: str | None = None
    new_mode: str | None = None
    old_blob: str | None = None
    new_blob: str | None = None
    hunks: tuple[Hunk, ...] = ()
    cells: tuple[CellDelta, ...] | None = None
    """The same by the cells of a notebook; None for what is none."""
    note: str = ""
    """What to know before applying: a conflict, a secret file, a checkout that moved on."""
    created_at: int = 0
    decided_at: int | None = None


class Clash(Value):
    """A place where the checkout and a change differ from what both began with; lines are without their ends."""

    line: int
    """Where it begins in the checkout's file, from 1."""
    yours: tuple[str, ...]
    base: tuple[str, ...]
    theirs: tuple[str, ...]


class Preview(Value):
    """What applying a change would do to the checkout as it is now."""

    change_id: str
    outcome: Literal["clean", "merges", "done", "conflict"]
    """``clean``: the file is as the agent found it. ``merges``: yours has changed, elsewhere. ``done``: it has the
    change already. ``conflict``: nothing would be written."""
    note: str = ""
    clashes: tuple[Clash, ...] = ()


class FileContent(Value):
    """A file of a change, before or after it."""

    media_type: str
    size: int
    text: str | None = None
    base64: str | None = None
    """The bytes of an image."""
    note: str = ""
    """Why neither is given."""


def is_secret(path: str) -> bool:
    """Whether a file's name says that it holds keys or passwords."""
    name = path.rsplit("/", 1)[-1].lower()
    return any(fnmatchcase(name, p) for p in _SECRET) and not any(fnmatchcase(name, p) for p in _NOT_SECRET)


_OF_FILE = tuple(name for name in FileDelta.__struct_fields__ if name in Change.__struct_fields__)


def as_it_is(delta: FileDelta, change: Change) -> Change:
    """A change with all that git says of its file now."""
    return replace(change, **{name: getattr(delta, name) for name in _OF_FILE})
