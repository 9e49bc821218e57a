"""Where a SQLite store may lie: a file of the user's own, on a disk of this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import psutil

from coder_nb.errors import StoreError, StoreOnNetwork
from coder_nb.store.faults import damaged

_NETWORK = (
    "nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afpfs", "afs", "ceph", "glusterfs", "lustre", "gpfs",
    "beegfs", "orangefs", "pvfs2", "ncpfs", "webdav", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph",
    "fuse.davfs2", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.blobfuse2",
)  # fmt: skip


def prepare_file(path: Path) -> Path:
    """Makes the file, readable by its user only, unless it is there; refuses what SQLite would silently spoil."""
    kind = network_type(str(path), _mounts())
    if kind is not None:
        raise StoreOnNetwork(
            f"The store {path} lies on a network file system ({kind}), where SQLite loses data: set "
            "CODER_NB_DATABASE to a path on a local disk, or to a PostgreSQL (`postgresql://...`)."
        )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_or_check(path)
    except OSError as error:
        raise StoreError(
            f"The store {path} cannot be made or written ({error.strerror}): set CODER_NB_DATABASE to a path that "
            "you may write."
        ) from error
    wal = path.with_name(path.name + "-wal")
    if path.stat().st_size == 0 and wal.exists() and wal.stat().st_size > 0:
        # SQLite takes an empty file for a new database, and deletes the log beside it.
        raise damaged(path, "it is empty, and the log beside it is not")
    return path


def _make_or_check(path: Path) -> None:
    # A file that is there is not opened here: closing it again would drop the locks that SQLite holds on it for
    # another store of this process, as POSIX has it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise IsADirectoryError(errno.EISDIR, "it is no file") from None
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None


def identity(path: Path) -> tuple[tuple[int, int], ...]:
    """Which files an open store consists of, as its paths name them now; none where one of them is not there."""
    try:
        found = [os.stat(f"{path}{end}") for end in ("", "-wal", "-shm")]
    except OSError:
        return ()
    return tuple((each.st_dev, each.st_ino) for each in found)


def _mounts() -> list[tuple[str, str]]:
    try:
        return [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    except (OSError, psutil.Error):
        return []  # a sandbox that hides its mounts: then SQLite itself has to notice


def network_type(path: str, mounts: list[tuple[str, str]]) -> str | None:
    """The type of the network file system that holds a path, by (mount point, type); None where it is a local one."""
    best, kind = -1, ""
    for point, fstype in mounts:
        inside = path == point or path.startswith(point.rstrip(os.sep) + os.sep)
        if inside and len(point) >= best:  # of two at one place the later hides the earlier
            best, kind = len(point), fstype.lower()
    return kind if kind in _NETWORK else None
