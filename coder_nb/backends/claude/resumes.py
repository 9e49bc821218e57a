"""The folders that the SDK makes to resume a session from a store, with a copy of the user's credentials in each.

They are removed when a client ends, as are our own. Those of a process that was killed are removed from here, later.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import psutil

OURS = "coder-nb-claude-"
"""How the names of our own folders begin."""
_PREFIXES = ("claude-resume-", OURS)
_OWNER = ".coder-nb-owner"


def claim(folder: str | None) -> None:
    """Notes that a folder is this process's, if it is one of those."""
    if folder is None or not Path(folder).name.startswith(_PREFIXES):
        return
    process = psutil.Process()
    with contextlib.suppress(OSError):
        (Path(folder) / _OWNER).write_text(json.dumps({"pid": process.pid, "started": process.create_time()}))


def remove_those_of_the_dead(base: Path | None = None) -> list[Path]:
    """Removes the folders that dead processes of ours have left, and says which; what is not ours is left alone."""
    place = base or Path(tempfile.gettempdir())
    left = [folder for prefix in _PREFIXES for folder in place.glob(f"{prefix}*") if _is_left_behind(folder)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def _is_left_behind(folder: Path) -> bool:
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        owner = json.loads((folder / _OWNER).read_text())
        began = float(owner["started"])
        return abs(psutil.Process(owner["pid"]).create_time() - began) > 1.0
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return False
