"""
One writer a journal: a lock that the kernel lets go of when its holder dies.

The words in the lock file are for people. What counts is the lock, never the words.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

from reconciler.errors import ConfigError, NotLeader


class Lock:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, path: Path, fileno: int) -> None:
        self.path = path
        self._fileno = fileno

    @classmethod
    def take(cls, database: Path, *, what: str) -> Lock:
        """
        Become the only writer of *database*, at once or not at all.

        Args:
            database: The lock file stands beside it and is never removed.
            what: What we do with it, one word, for those who find it locked.

        Raises:
            NotLeader: Another process has it; the message names it.
            ConfigError: The file system has no locks.
        """
        path = database.with_name(database.name + ".lock")
        while True:
            fileno = _open(path)
            try:
                _flock(fileno, path, database)
                if _same_file(fileno, path):  # else it was replaced while we waited for none
                    break
            except BaseException:
                os.close(fileno)
                raise
            os.close(fileno)
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        words = f"{what}, pid {os.getpid()} on {socket.gethostname()}, since {now}\n"
        os.ftruncate(fileno, 0)
        os.pwrite(fileno, words.encode(), 0)
        return cls(path, fileno)

    def is_ours(self) -> bool:
        """Whether the lock file is still the one that we hold."""
        return self._fileno >= 0 and _same_file(self._fileno, self.path)

    def release(self) -> None:
        """Let go. Harmless when repeated."""
        if self._fileno >= 0:
            os.close(self._fileno)
            self._fileno = -1


def _open(path: Path) -> int:
    """The lock file, made if need be. Its words are replaced, so it must be no file of others."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fileno = os.open(path, flags, 0o600)
        if stat.S_ISREG(os.fstat(fileno).st_mode):
            return fileno
        os.close(fileno)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise
    raise ConfigError(
        f"{path} is a link, or no file at all",
        next_step="Remove it; the journal makes its own.",
        path=str(path),
    )


def is_held(database: Path) -> bool:
    """Whether some process writes *database* now. Takes nothing, writes nothing."""
    try:
        fileno = os.open(database.with_name(database.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fileno, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fileno)
    return False


def began_within(database: Path, seconds: int, *, what: str) -> bool:
    """Whether the process that writes *database* does *what*, and has not done it for longer."""
    path = database.with_name(database.name + ".lock")
    try:
        words, taken_ns = path.read_text(errors="replace"), path.stat().st_mtime_ns
    except OSError:
        return False
    is_new = time.time_ns() - taken_ns < seconds * 1_000_000_000
    return words.startswith(f"{what},") and is_new and is_held(database)


def _flock(fileno: int, path: Path, database: Path) -> None:
    try:
        fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise ConfigError(
                f"{path.parent} is on a file system without locks ({error.strerror})",
                next_step="Put the journal on a local disk.",
                path=str(path),
            ) from error
        holder = os.pread(fileno, 500, 0).decode(errors="replace").strip()
        raise NotLeader(
            f"{database} is in use by {holder or 'another process'}",
            path=str(database),
            holder=holder,
        ) from None


def _same_file(fileno: int, path: Path) -> bool:
    try:
        there, here = os.stat(path), os.fstat(fileno)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
