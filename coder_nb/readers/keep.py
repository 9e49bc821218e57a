"""What agents delete after a while, kept: a copy of each file, compressed, in a folder that is read like theirs.

For each of an agent's own folders there is one that has its files under the same names. A copy is made again when its
file has changed, and is left as it is when the file is gone; where both are there, the agent's own is read. Databases
are not copied, as the agents that have one delete nothing from it by themselves.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from coder_nb.errors import MissingExtra
from coder_nb.readers.base import Note, Reader, Sought

KINDS = (".jsonl", ".json")
BESIDE = (".meta.json", ".project_root", "projects.json")
"""Small files of which what stands beside them needs to be read, by how their names end."""
ROOT = ".root"
"""Names the folder that a folder of copies is of."""
_PLACE = ".zst"


def keep(reader: Reader, roots: Iterable[Path], folder: Path, note: Note) -> int:
    """Copies what has changed since the last time; returns how many files that were.

    Raises `MissingExtra` where there is nothing to compress them by.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra.of("keep=True", "pyarrow", "analysis") from error
    copied = 0
    for root in dict.fromkeys(Path(root).resolve() for root in roots):
        place = _place(folder, reader.agent, root)
        for source in reader.sources(root, Sought(), note):
            if source.path.suffix not in KINDS or not source.path.is_relative_to(root):
                continue
            copy = _copy(place, root, source.path)
            if copy.exists() and copy.stat().st_mtime_ns // 1_000_000 == source.mtime:
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            draft = copy.with_name(f".{copy.name}.{os.getpid()}")
            with source.path.open("rb") as file, pa.output_stream(str(draft), compression="zstd") as packed:
                shutil.copyfileobj(file, packed, 1 << 20)
            os.utime(draft, ns=(source.mtime * 1_000_000,) * 2)
            os.replace(draft, copy)
            copied += 1
        if place.exists():
            (place / ROOT).write_text(str(root), encoding="utf-8")
            _keep_beside(root, place)
    return copied


def kept_roots(agent: str, folder: Path) -> Iterator[Path]:
    """The folders that have what was kept of an agent."""
    if (folder / agent).is_dir():
        yield from sorted(place for place in (folder / agent).iterdir() if (place / ROOT).exists())


def original(path: Path, place: Path) -> Path | None:
    """The file that a copy in one of these folders is of."""
    try:
        root = Path((place / ROOT).read_text(encoding="utf-8"))
    except OSError:
        return None
    return root / path.relative_to(place).with_suffix("")


def _place(folder: Path, agent: str, root: Path) -> Path:
    return folder / agent / hashlib.blake2b(os.fsencode(root), digest_size=6).hexdigest()


def _copy(place: Path, root: Path, path: Path) -> Path:
    copy = place / path.relative_to(root)
    return copy.with_name(copy.name + _PLACE)


def _keep_beside(root: Path, place: Path) -> None:
    """The small files beside those that were copied."""
    for found, _, _ in os.walk(place):
        folder = Path(found)
        theirs = root / folder.relative_to(place)
        for file in theirs.iterdir() if theirs.is_dir() else ():
            if file.name.endswith(BESIDE) and file.is_file():
                shutil.copy2(file, folder / file.name)
