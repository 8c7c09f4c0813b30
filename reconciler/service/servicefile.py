"""
The small file beside the database by which other processes find a running service.

It holds an address and a token, so it is readable by its owner only. It proves nothing: whether
a service runs is told by the lock.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Where the service is, and the word that opens its door."""

    url: str
    token: str
    pid: int

    def __repr__(self) -> str:
        return f"Found(url={self.url!r}, pid={self.pid})"


class ServiceFile:
    """``<database>.service``."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".service")

    def write(self, url: str, token: str) -> None:
        """Replace the file whole, for its owner's eyes only."""
        new = self.path.with_name(self.path.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(Found(url=url, token=token, pid=os.getpid())))
        new.replace(self.path)

    def read(self) -> Found | None:
        """What the file says; None when there is none, or it makes no sense."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Found)
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return None

    def remove(self) -> None:
        """The service is gone."""
        with contextlib.suppress(OSError):
            self.path.unlink()
