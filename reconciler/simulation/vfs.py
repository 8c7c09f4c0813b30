"""
SQLite's own view of the disk, with somebody looking over its shoulder.

The very library that Python's `sqlite3` runs on gets one more file system. It is SQLite's own
for Unix but for five calls, which `Observer` sees, and may refuse, before they pass: open, write,
truncate, sync and delete. Locks, reads and shared memory are untouched, so the code that runs is
the code of production, and its files are real ones. A hook on ``openDirectory``, which SQLite
calls only to sync a folder, tells when the names in it are made durable.

    with watching(observer):  # for every connection that is opened meanwhile
        Journal.open(...)
"""

from __future__ import annotations

import _sqlite3
import atexit
import ctypes
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, Structure, c_char_p, c_int, c_int64, c_void_p
from typing import Any, Final, Protocol

#: Under this name, and as the default while somebody watches.
NAME: Final = "watched"

OPEN_CREATE: Final = 0x4
OK: Final = 0
IOERR: Final = 10


class Observer(Protocol):
    """Sees what SQLite does to files. *key* is whatever `opened` gave the file."""

    def refuses(self, what: str, path: str) -> int:
        """SQLite's code for the error to give instead of doing *what* to *path*; 0: do it."""

    def cut(self, size: int) -> int:
        """How much of a write of *size* bytes lands although it was refused."""

    def opened(self, path: str, *, made: bool) -> object | None:
        """A file was opened, or made. None: it is none of ours, and is not watched."""

    def wrote(self, key: Any, offset: int, data: bytes) -> None:
        """Bytes went into the file; nothing says that they are on the disk."""

    def truncated(self, key: Any, size: int) -> None:
        """The file was cut off."""

    def synced(self, key: Any, *, done: bool) -> None:
        """The file was synced; or not *done*: that failed, and its bytes may be lost for good."""

    def deleted(self, path: str) -> None:
        """The name is gone."""

    def folder_synced(self, folder: str) -> None:
        """The names in a folder are on the disk."""


_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
_OpenDirectory = CFUNCTYPE(c_int, c_char_p, c_void_p)
_SetSystemCall = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GetSystemCall = CFUNCTYPE(c_void_p, c_void_p, c_char_p)


class _Vfs(Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_ = (
        ("iVersion", c_int), ("szOsFile", c_int), ("mxPathname", c_int), ("pNext", c_void_p),
        ("zName", c_char_p), ("pAppData", c_void_p), ("xOpen", c_void_p), ("xDelete", c_void_p),
        ("xAccess", c_void_p), ("xFullPathname", c_void_p), ("xDlOpen", c_void_p),
        ("xDlError", c_void_p), ("xDlSym", c_void_p), ("xDlClose", c_void_p),
        ("xRandomness", c_void_p), ("xSleep", c_void_p), ("xCurrentTime", c_void_p),
        ("xGetLastError", c_void_p), ("xCurrentTimeInt64", c_void_p),
        ("xSetSystemCall", c_void_p), ("xGetSystemCall", c_void_p), ("xNextSystemCall", c_void_p),
    )  # fmt: skip


class _Methods(Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_ = (
        ("iVersion", c_int), ("xClose", c_void_p), ("xRead", c_void_p), ("xWrite", c_void_p),
        ("xTruncate", c_void_p), ("xSync", c_void_p), ("xFileSize", c_void_p), ("xLock", c_void_p),
        ("xUnlock", c_void_p), ("xCheckReservedLock", c_void_p), ("xFileControl", c_void_p),
        ("xSectorSize", c_void_p), ("xDeviceCharacteristics", c_void_p), ("xShmMap", c_void_p),
        ("xShmLock", c_void_p), ("xShmBarrier", c_void_p), ("xShmUnmap", c_void_p),
        ("xFetch", c_void_p), ("xUnfetch", c_void_p),
    )  # fmt: skip


class _File(Structure):
    """``sqlite3_file``: what is behind it belongs to SQLite's own file system."""

    _fields_ = (("pMethods", c_void_p),)


class _Watched:
    """One open file: who sees it, what they call it, and SQLite's own methods for it."""

    __slots__ = ("close", "key", "observer", "own_at", "path", "sync", "truncate", "write")

    def __init__(self, observer: Observer, key: object, path: str, own_at: int) -> None:
        methods = _Methods.from_address(own_at)
        self.own_at = own_at
        self.observer = observer
        self.key = key
        self.path = path
        self.close = _Close(methods.xClose)
        self.write = _Write(methods.xWrite)
        self.truncate = _Truncate(methods.xTruncate)
        self.sync = _Sync(methods.xSync)


def library() -> ctypes.CDLL:
    """
    The SQLite that Python's `sqlite3` runs on, and no other copy of it.

    Raises:
        RuntimeError: This Python hides it, or another one was found.
    """
    try:
        found = ctypes.CDLL(_sqlite3.__file__)
        version = found.sqlite3_libversion
    except (AttributeError, OSError) as error:
        raise RuntimeError(f"this Python hides its SQLite: {error}") from error
    version.restype = c_char_p
    if version().decode() != sqlite3.sqlite_version:
        raise RuntimeError(f"found SQLite {version().decode()}, not {sqlite3.sqlite_version}")
    found.sqlite3_vfs_find.restype = c_void_p
    found.sqlite3_vfs_find.argtypes = [c_char_p]
    found.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
    found.sqlite3_vfs_unregister.argtypes = [c_void_p]
    return found


class _Shim:
    """The registered file system. There is one a process, and it is never taken apart."""

    def __init__(self) -> None:
        self.library = library()
        self.base_at = self.library.sqlite3_vfs_find(b"unix")
        self.base = _Vfs.from_address(self.base_at)
        self.observer: Observer | None = None
        self.files: dict[int, _Watched] = {}
        self.broken: BaseException | None = None  # an error in a hook, which C cannot pass on
        self._tables: dict[int, _Methods] = {}  # address of SQLite's own -> ours
        self._open = _Open(self.base.xOpen)
        self._delete = _Delete(self.base.xDelete)
        get = _GetSystemCall(self.base.xGetSystemCall)
        self._directory_at = get(self.base_at, b"openDirectory")
        self._directory = _OpenDirectory(self._directory_at)
        self._hooks: list[Any] = []  # so that none is collected while C knows its address
        self.vfs = _Vfs()
        ctypes.memmove(ctypes.byref(self.vfs), self.base_at, ctypes.sizeof(_Vfs))
        self.vfs.pNext = None
        self.vfs.zName = NAME.encode()
        self.vfs.xOpen = self._hook(_Open, self._opening)
        self.vfs.xDelete = self._hook(_Delete, self._deleting)
        self._directory_hook = self._hook(_OpenDirectory, self._opening_folder)
        atexit.register(self._let_go)

    def start(self, observer: Observer) -> None:
        self.observer = observer
        self.broken = None
        self.library.sqlite3_vfs_register(ctypes.addressof(self.vfs), 1)
        self._set_directory(self._directory_hook)

    def stop(self) -> None:
        self._set_directory(self._directory_at)
        self.library.sqlite3_vfs_unregister(ctypes.addressof(self.vfs))
        self.library.sqlite3_vfs_register(self.base_at, 1)
        self.observer = None

    def _let_go(self) -> None:
        """
        Give what is still open SQLite's own methods: ours do not outlive the interpreter.

        It closes connections after it has let go of us. Each holds the address of our file system,
        so that stays where it is, and does what SQLite's own does.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.vfs))
        self.vfs.xOpen, self.vfs.xDelete = self.base.xOpen, self.base.xDelete
        for at, file in self.files.items():
            _File.from_address(at).pMethods = file.own_at
        self.files.clear()

    def _set_directory(self, at: int | None) -> None:
        _SetSystemCall(self.base.xSetSystemCall)(self.base_at, b"openDirectory", at)

    def _hook(self, kind: Any, function: Callable[..., int]) -> int:
        """*function* as C calls it; an error in it fails the call, and is raised later."""

        def call(*values: Any) -> int:
            try:
                return function(*values)
            except BaseException as error:
                self.broken = self.broken or error
                return IOERR

        held = kind(call)
        self._hooks.append(held)
        return ctypes.cast(held, c_void_p).value or 0

    # What SQLite calls.

    def _opening(self, vfs: int, name_at: int | None, at: int, flags: int, out: int | None) -> int:
        path = ctypes.string_at(name_at).decode() if name_at else ""
        observer = self.observer
        if observer is None or not path:
            return int(self._open(vfs, name_at, at, flags, out))
        new = bool(flags & OPEN_CREATE) and not os.path.lexists(path)
        if code := observer.refuses("make" if new else "open", path):
            _File.from_address(at).pMethods = None
            return code
        if code := int(self._open(vfs, name_at, at, flags, out)):
            return code
        if (key := observer.opened(path, made=new)) is not None:
            file = _File.from_address(at)
            self.files[at] = _Watched(observer, key, path, file.pMethods)
            file.pMethods = ctypes.addressof(self._methods(file.pMethods))
        return OK

    def _methods(self, at: int) -> _Methods:
        """SQLite's own methods at *at*, with four of them ours."""
        if at not in self._tables:
            ours = _Methods()
            ctypes.memmove(ctypes.byref(ours), at, ctypes.sizeof(_Methods))
            ours.xClose = self._hook(_Close, self._closing)
            ours.xWrite = self._hook(_Write, self._writing)
            ours.xTruncate = self._hook(_Truncate, self._truncating)
            ours.xSync = self._hook(_Sync, self._syncing)
            self._tables[at] = ours
        return self._tables[at]

    def _closing(self, at: int) -> int:
        return int(self.files.pop(at).close(at))

    def _writing(self, at: int, data_at: int, size: int, offset: int) -> int:
        file = self.files[at]
        code = file.observer.refuses("write", file.path)
        if code:
            size = file.observer.cut(size)
        if size:
            if failed := file.write(at, data_at, size, offset):
                return int(failed)
            file.observer.wrote(file.key, offset, ctypes.string_at(data_at, size))
        return code

    def _truncating(self, at: int, size: int) -> int:
        file = self.files[at]
        code = file.observer.refuses("truncate", file.path) or int(file.truncate(at, size))
        if code == OK:
            file.observer.truncated(file.key, size)
        return code

    def _syncing(self, at: int, flags: int) -> int:
        file = self.files[at]
        # The sync of the folder, if SQLite makes one, comes after that of the file: so does its
        # hook, which is called inside of `sync`.
        if code := file.observer.refuses("sync", file.path):
            file.observer.synced(file.key, done=False)
            return code
        file.observer.synced(file.key, done=True)
        return int(file.sync(at, flags))

    def _deleting(self, vfs: int, name: bytes, sync: int) -> int:
        observer, path = self.observer, name.decode()
        if observer is None:
            return int(self._delete(vfs, name, sync))
        if code := observer.refuses("delete", path):
            return code
        if os.path.lexists(path):
            observer.deleted(path)
        return int(self._delete(vfs, name, sync))

    def _opening_folder(self, name: bytes, out: int) -> int:
        if self.observer is not None:
            self.observer.folder_synced(os.path.dirname(name.decode()))
        return int(self._directory(name, out))


_shim: _Shim | None = None
_busy = threading.Lock()


@contextmanager
def watching(observer: Observer) -> Iterator[None]:
    """
    Let *observer* see every file that SQLite opens meanwhile, until that file is closed.

    One at a time in a process. An error inside an observer is raised here, at the end.
    """
    global _shim
    with _busy:
        _shim = _shim or _Shim()
        _shim.start(observer)
        try:
            yield
        finally:
            _shim.stop()
        if _shim.broken is not None:
            raise _shim.broken
