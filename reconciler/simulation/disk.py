"""
A disk with a memory: what was written, in which order, and what was synced when.

    with Disk(root) as disk:  # root is a folder; what is in it now counts as on the disk
        Journal.open(root / "journal.db", ...)
    disk.ops  # every change of a file or of a name beneath root

SQLite is seen through `vfs`, and what Python's `os` does to files through stand-ins for the
functions in CALLS, while the ``with`` lasts. Both then do the real thing, to real files: nothing
in the code under test is changed, mocked or told. `images` makes what a power loss leaves of it.

A disk can also fail: see `Fault`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

from reconciler.simulation import vfs

Kind = Literal["write", "truncate", "sync", "unsynced", "name", "unname", "rename", "sync_names"]

#: Node of every folder. Files count from 1.
FOLDER: Final = 0

#: Ends of the names of files that hold nothing for longer than their users live.
SHARED_MEMORY: Final = "-shm"


class Op(NamedTuple):
    """One change. Names are relative to the root."""

    kind: Kind
    node: int = FOLDER
    at: int = 0  # of a write: offset. Of a truncate: new size.
    data: bytes = b""
    name: str = ""
    to: str = ""  # of a rename

    def __str__(self) -> str:
        where = f" {self.name}" if self.name else f" file {self.node}"
        more = f" {len(self.data)} bytes at {self.at}" if self.kind == "write" else ""
        return f"{self.kind}{where}{' to ' + self.to if self.to else ''}{more}"


class Fault(NamedTuple):
    """What the disk answers from the *at*-th request on (from 0), once or *lasting*."""

    at: int
    error: Literal["io", "full", "readonly"]
    lasting: bool = False
    only: str = ""  # such requests alone count: open, make, write, truncate, sync, delete, rename


#: What the disk answers -> to SQLite, by request ("": any other), and to `os`.
CODES: Final = {
    "io": {
        "open": sqlite3.SQLITE_CANTOPEN,
        "make": sqlite3.SQLITE_CANTOPEN,
        "write": sqlite3.SQLITE_IOERR_WRITE,
        "truncate": sqlite3.SQLITE_IOERR_TRUNCATE,
        "sync": sqlite3.SQLITE_IOERR_FSYNC,
        "": sqlite3.SQLITE_IOERR_DELETE,
    },
    "full": {"make": sqlite3.SQLITE_CANTOPEN, "sync": sqlite3.SQLITE_IOERR_FSYNC,
             "open": vfs.OK, "delete": vfs.OK, "": sqlite3.SQLITE_FULL},
    "readonly": {"open": vfs.OK, "make": sqlite3.SQLITE_CANTOPEN, "sync": vfs.OK,
                 "delete": sqlite3.SQLITE_IOERR_DELETE, "": sqlite3.SQLITE_READONLY},
}  # fmt: skip
ERRNO: Final = {"io": errno.EIO, "full": errno.ENOSPC, "readonly": errno.EROFS}


class Disk:
    """Everything that happens beneath *root* between ``__enter__`` and ``__exit__``."""

    def __init__(self, root: Path, *, fault: Fault | None = None) -> None:
        self.root = str(root.resolve())
        self.ops: list[Op] = []
        self.requests: Counter[str] = Counter()  # that could have been refused, by kind
        self.refused = 0
        self.fault = fault
        self.names: dict[str, int] = {}  # as they are now
        self._nodes = FOLDER
        for folder, folders, files in os.walk(self.root):
            for name in folders:
                self.names[self._within(os.path.join(folder, name))] = FOLDER
            for name in files:
                if not name.endswith(SHARED_MEMORY):
                    self.names[self._within(os.path.join(folder, name))] = self._node()
        self.at_first = dict(self.names)
        self.bytes_at_first = {
            node: Path(self.root, name).read_bytes()
            for name, node in self.names.items()
            if node != FOLDER
        }
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        calls = _Calls(self)
        for name in CALLS:
            self._stack.callback(setattr, os, name, getattr(os, name))
            setattr(os, name, calls.instead_of(name, getattr(os, name)))
        self._stack.enter_context(vfs.watching(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def heal(self) -> None:
        """No fault from now on."""
        self.fault = None

    # What `vfs` and `_Calls` tell.

    def refuses(self, what: str, path: str) -> int:
        """SQLite's code for what is wrong with the disk; 0 if all is well."""
        if not self.is_ours(path):
            return vfs.OK
        fault = self.fault
        number = self.requests[fault.only if fault else ""]
        self.requests[what] += 1
        self.requests[""] += 1
        if fault is None or fault.only not in ("", what):
            return vfs.OK
        if number == fault.at or (fault.lasting and number > fault.at):
            codes = CODES[fault.error]
            code = codes.get(what, codes[""])
            self.refused += code != vfs.OK
            return code
        return vfs.OK

    def cut(self, size: int) -> int:
        """A full disk takes half."""
        return size // 2 if self.fault is not None and self.fault.error == "full" else 0

    def is_ours(self, path: str) -> bool:
        """Whether *path* is beneath the root."""
        return path.startswith(self.root + os.sep)

    def opened(self, path: str, *, made: bool) -> int | None:
        """Node of a file; None if it is elsewhere."""
        if not self.is_ours(path):
            return None
        name = self._within(path)
        if made:
            self.names[name] = node = self._node()
            self.ops.append(Op("name", node, name=name))
        return self.names.get(name)

    def wrote(self, node: int, offset: int, data: bytes) -> None:
        """Bytes are in the file, and no sync has put them on the disk."""
        self.ops.append(Op("write", node, offset, data))

    def truncated(self, node: int, size: int) -> None:
        """The file was cut off, or made longer with zeros."""
        self.ops.append(Op("truncate", node, size))

    def synced(self, node: int, *, done: bool) -> None:
        """What was written is on the disk; or the sync failed, and what was written is in doubt."""
        self.ops.append(Op("sync" if done else "unsynced", node))

    def deleted(self, path: str) -> None:
        """A name of ours is gone."""
        if self.is_ours(path):
            name = self._within(path)
            self.ops.append(Op("unname", self.names.pop(name, FOLDER), name=name))

    def folder_synced(self, folder: str) -> None:
        """The names in *folder* are on the disk."""
        if self.is_ours(folder + os.sep):
            self.ops.append(Op("sync_names", name=self._within(folder)))

    def named(self, path: str, node: int) -> None:
        """A file or folder has one more name."""
        name = self._within(path)
        self.names[name] = node
        self.ops.append(Op("name", node, name=name))

    def renamed(self, old: str, new: str) -> None:
        """A file has another name, in one step; who had that name before has lost it."""
        name, to = self._within(old), self._within(new)
        node = self.names.pop(name)
        self.names[to] = node
        self.ops.append(Op("rename", node, name=name, to=to))

    def node_of(self, path: str) -> int | None:
        """Node of a name; None if it is none of ours."""
        return self.names.get(self._within(path)) if self.is_ours(path) else None

    def made_folder(self, path: str) -> None:
        """There is a new folder."""
        if self.is_ours(path):
            self.named(path, FOLDER)

    def _within(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def _node(self) -> int:
        self._nodes += 1
        return self._nodes


#: The functions of `os` that change files, and are seen. Others would go unnoticed, but then
#: `images.now` is not what is in the folder: a test compares.
CALLS: Final = (
    "open", "close", "write", "pwrite", "ftruncate", "fsync", "fdatasync", "link", "rename",
    "replace", "unlink", "remove", "mkdir",
)  # fmt: skip


class _Calls:
    """Stand-ins for functions of `os`."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.files: dict[int, tuple[int | None, str]] = {}  # descriptor -> node, path
        self.offsets: dict[int, int] = {}

    def instead_of(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        alike = {"fdatasync": "fsync", "replace": "rename", "remove": "unlink"}
        stand_in = getattr(self, "_" + alike.get(name, name))

        def call(*values: Any, **more: Any) -> Any:
            return stand_in(real, *values, **more)

        return call

    def _ask(self, what: str, path: str) -> None:
        if self.disk.refuses(what, path):
            fault = self.disk.fault
            number = ERRNO[fault.error if fault else "io"]
            raise OSError(number, os.strerror(number), path)

    def _open(self, real: Any, path: Any, flags: int, *values: Any, **more: Any) -> int:
        where = os.path.abspath(os.fspath(path))
        disk = self.disk
        if not disk.is_ours(where) and where != disk.root:
            return int(real(path, flags, *values, **more))
        new = bool(flags & os.O_CREAT) and not os.path.lexists(where)
        if not os.path.isdir(where):
            self._ask("make" if new else "open", where)
        fileno = int(real(path, flags, *values, **more))
        self.files[fileno] = (disk.opened(where, made=new), where)
        self.offsets[fileno] = 0
        return fileno

    def _close(self, real: Any, fileno: int) -> None:
        self.files.pop(fileno, None)
        real(fileno)

    def _write(self, real: Any, fileno: int, data: bytes) -> int:
        if fileno not in self.files:
            return int(real(fileno, data))
        done = self._put(real, fileno, data, self.offsets[fileno])
        self.offsets[fileno] += done
        return done

    def _pwrite(self, real: Any, fileno: int, data: bytes, offset: int) -> int:
        if fileno not in self.files:
            return int(real(fileno, data, offset))
        return self._put(lambda _, part: real(fileno, part, offset), fileno, data, offset)

    def _put(self, real: Any, fileno: int, data: bytes, offset: int) -> int:
        node, path = self.files[fileno]
        self._ask("write", path)
        done = int(real(fileno, data))
        self.disk.wrote(node or FOLDER, offset, bytes(data[:done]))
        return done

    def _ftruncate(self, real: Any, fileno: int, size: int) -> None:
        if fileno in self.files:
            node, path = self.files[fileno]
            self._ask("truncate", path)
            self.disk.truncated(node or FOLDER, size)
        real(fileno, size)

    def _fsync(self, real: Any, fileno: int) -> None:
        if fileno in self.files:
            node, path = self.files[fileno]
            try:
                self._ask("sync", path)
            except OSError:
                if node:
                    self.disk.synced(node, done=False)
                raise
            if node:
                self.disk.synced(node, done=True)
            else:
                self.disk.folder_synced(path)
        real(fileno)

    def _link(self, real: Any, old: Any, new: Any, **more: Any) -> None:
        old_path, new_path = os.path.abspath(os.fspath(old)), os.path.abspath(os.fspath(new))
        self._ask("make", new_path)
        real(old, new, **more)
        node = self.disk.node_of(old_path)
        if node:
            self.disk.named(new_path, node)

    def _rename(self, real: Any, old: Any, new: Any, **more: Any) -> None:
        old_path, new_path = os.path.abspath(os.fspath(old)), os.path.abspath(os.fspath(new))
        self._ask("rename", new_path)
        real(old, new, **more)
        if self.disk.node_of(old_path) is not None:
            self.disk.renamed(old_path, new_path)

    def _unlink(self, real: Any, path: Any, **more: Any) -> None:
        where = os.path.abspath(os.fspath(path))
        if os.path.lexists(where):
            self._ask("delete", where)
        real(path, **more)
        if self.disk.node_of(where) is not None:
            self.disk.deleted(where)

    def _mkdir(self, real: Any, path: Any, *values: Any, **more: Any) -> None:
        where = os.path.abspath(os.fspath(path))
        if not os.path.lexists(where):
            self._ask("make", where)
        real(path, *values, **more)
        self.disk.made_folder(where)
