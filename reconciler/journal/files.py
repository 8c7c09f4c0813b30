"""
Files around the journal: private, synced, and replaced whole or not at all.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from reconciler.errors import Broken, ConfigError, StorageFault

#: SQLite's own files beside a database.
SIDE_FILES = ("-wal", "-shm", "-journal")


class Identity(NamedTuple):
    """Which file this is, whatever it is called."""

    device: int
    inode: int


def beside(path: Path, ending: str) -> Path:
    """The file next to a database whose name is the database's plus *ending*."""
    return path.with_name(path.name + ending)


def private_folder(folder: Path) -> None:
    """
    Make a folder for us alone (0700), or accept one that nobody else may write to.

    Raises:
        ConfigError: Others may put files there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise ConfigError(
            f"anybody may write to {folder}, where the journal is",
            next_step=f"chmod o-w {folder}",
            path=str(folder),
        )


def private_file(path: Path) -> None:
    """
    See to it that only we may read a file.

    Raises:
        ConfigError: It is somebody else's and open to others, or has a second name.
    """
    found = path.stat()
    if found.st_nlink > 1:
        raise ConfigError(
            f"{path} has {found.st_nlink} names (hard links)",
            next_step="Remove the others: a journal has one name.",
            path=str(path),
        )
    if found.st_mode & 0o077:
        try:
            path.chmod(0o600)
        except PermissionError:
            raise ConfigError(
                f"others may read {path}", next_step=f"chmod 0600 {path}", path=str(path)
            ) from None


def create_private(path: Path) -> None:
    """Make an empty file that is ours alone; FileExistsError if there is one."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk. OSError if that fails: it is final."""
    fileno = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fileno)
    finally:
        os.close(fileno)


def sync_names(path: Path) -> None:
    """
    Have the name of a file on the disk, and the names of the folders that it is in.

    A folder that we made may be as new as the file, so every folder above is synced in which we
    could have made one, up to where this file system is mounted. OSError is final.
    """
    device = path.parent.stat().st_dev
    for folder in path.parents:
        if folder.stat().st_dev != device or not os.access(folder, os.R_OK | os.W_OK):
            break
        sync(folder)


def identity(path: Path) -> Identity:
    """
    Which file *path* names now.

    Raises:
        StorageFault: None, or one with a second name.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise StorageFault(f"{path} is gone ({error.strerror})", path=str(path)) from None
    if found.st_nlink != 1:
        raise StorageFault(f"{path} has {found.st_nlink} names (hard links)", path=str(path))
    return Identity(found.st_dev, found.st_ino)


class Tip(NamedTuple):
    """The journal's end at some moment, kept outside the database: it cannot end before it."""

    seq: int
    hash: bytes


def write_tip(database: Path, tip: Tip) -> None:
    """Replace the side file, synced. The rows that it names must be on the disk before."""
    path, new = beside(database, ".tip"), beside(database, ".tip.new")
    new.unlink(missing_ok=True)
    fileno = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fileno, f"{tip.seq} {tip.hash.hex()}\n".encode())
        os.fsync(fileno)
    finally:
        os.close(fileno)
    new.replace(path)


def read_tip(database: Path) -> Tip | None:
    """
    What the side file says; None if there is none.

    Raises:
        Broken: It says nothing that we wrote.
    """
    path = beside(database, ".tip")
    try:
        # Neither through a link, nor waiting for whom a pipe waits for, nor more than we write.
        fileno = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            seq, digest = os.read(fileno, 200).decode("ascii").split()
        finally:
            os.close(fileno)
        return Tip(int(seq), bytes.fromhex(digest))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in {errno.ELOOP, errno.EISDIR}:
            raise
        raise Broken(
            f"{path} cannot be read",
            next_step="If the journal verifies and is complete, remove that file.",
            path=str(path),
        ) from None


def resolved(path: Path) -> Path:
    """
    A path without ``~``, links and dots.

    Raises:
        ConfigError: It leads in a circle.
    """
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{path} leads nowhere: {error}", path=str(path)) from None


def free_bytes(path: Path) -> int:
    """What a file system still takes from us, in bytes."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
