"""
What a power loss may leave of a `Disk`.

A disk owes us what was synced: the bytes of a file up to its last sync, the names in a folder up
to the last sync of that folder. Of everything after that, any part may be there. An image is one
such outcome, drawn by a `Damage` from a seed.

The one kindness that is assumed is SQLite's own (powersafe overwrite): a write that is cut short
does not touch bytes outside of its range. Renames are atomic: never both names, never none.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path, PurePosixPath
from random import Random
from typing import Final, NamedTuple

from reconciler.simulation.disk import FOLDER, SHARED_MEMORY, Disk, Op

SECTOR: Final = 512


class Damage(StrEnum):
    """Ways to lose what was not synced."""

    LOST = "lost"  # all of it
    KEPT = "kept"  # none of it: what a killed process leaves
    PREFIX = "prefix"  # what came after some moment, across all files
    SUBSET = "subset"  # any of it: later changes are there, earlier ones are not
    SECTOR = "sector"  # any sector of any write
    TORN = "torn"  # a subset, and each write may end at any byte of it
    GARBAGE = "garbage"  # any sector, and some hold what nobody wrote
    NAMES_LOST = "names lost"  # bytes are there, new, changed and deleted names are not
    NAMES_KEPT = "names kept"  # names are there, the bytes of their files are not
    NAMES_ANY = "names any"  # any of the names, a subset of the bytes


class Image(NamedTuple):
    """Files and folders by their names relative to the root."""

    files: dict[str, bytes]
    folders: tuple[str, ...]

    def likeness(self) -> int:
        """
        A number that equal images share, and other ones hardly.

        Shared memory is left out: whoever opens the database first empties it.
        """
        found = zlib.crc32(repr(self.folders).encode())
        for name, content in sorted(self.files.items()):
            if not name.endswith(SHARED_MEMORY):
                found = zlib.crc32(content, zlib.crc32(name.encode(), found))
        return found

    def put(self, root: Path) -> None:
        """Make *root* be this image, and nothing else."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700, parents=True)
        for folder in self.folders:
            (root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in self.files.items():
            fileno = os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(fileno, "wb", buffering=0) as file:
                file.write(content)


class Platter:
    """The disk at one moment of a recorded life: what it owes us, and what it has been told."""

    def __init__(self, disk: Disk) -> None:
        self.done = 0  # operations taken in
        self._ops = disk.ops
        self._names = dict(disk.at_first)
        self._bytes = {node: bytearray(raw) for node, raw in disk.bytes_at_first.items()}
        self._changes: dict[int, list[tuple[int, Op]]] = {}  # of bytes, by node, with their number
        self._renames: list[tuple[int, Op]] = []  # of names

    def forward(self, to: int, draw: Random | None = None) -> None:
        """
        Take in operations up to number *to*, which is not taken in itself.

        Args:
            to: As many operations are done then.
            draw: For what a failed sync leaves: a subset, decided at once. Without it: nothing.
        """
        while self.done < to:
            self._take(self.done, self._ops[self.done], draw)
            self.done += 1

    def _take(self, number: int, op: Op, draw: Random | None) -> None:
        match op.kind:
            case "write" | "truncate":
                self._changes.setdefault(op.node, []).append((number, op))
            case "sync" | "unsynced":
                base = self._bytes.setdefault(op.node, bytearray())
                for _, change in self._changes.pop(op.node, ()):
                    if op.kind == "sync" or (draw is not None and draw.random() < 0.5):
                        _apply(base, change, change.data)
            case "sync_names":
                rest = []
                for pair in self._renames:
                    if str(PurePosixPath(pair[1].name).parent) == op.name:
                        _rename(self._names, pair[1])
                    else:
                        rest.append(pair)
                self._renames = rest
            case _:
                self._renames.append((number, op))

    def pending(self) -> int:
        """Changes that may be lost now."""
        return len(self._renames) + sum(map(len, self._changes.values()))

    def image(self, damage: Damage, draw: Random) -> Image:
        """One outcome of losing power now."""
        names = dict(self._names)
        share = draw.choice((0.1, 0.5, 0.9))
        border = draw.randrange(self.done + 1)
        for number, op in self._renames:
            if _keeps_name(damage, number < border, draw, share):
                _rename(names, op)
        folders = {name for name, node in names.items() if node == FOLDER}
        there = {
            name: node
            for name, node in names.items()
            if all(str(above) in folders for above in PurePosixPath(name).parents if above.name)
        }
        contents: dict[int, bytes] = {}
        for node in sorted({*there.values()} - {FOLDER}):
            content = bytearray(self._bytes.get(node, b""))
            for number, op in self._changes.get(node, ()):
                _damage(content, op, damage, number < border, draw, share)
            contents[node] = bytes(content)
        files = {name: contents[node] for name, node in there.items() if node != FOLDER}
        if damage is not Damage.LOST:  # SQLite's shared memory outlives nothing, but its file may
            for name in [name for name in files if name.endswith("-wal")]:
                files[name.removesuffix("-wal") + SHARED_MEMORY] = draw.randbytes(
                    draw.choice((0, 100, 32_768))
                )
        return Image(files, tuple(sorted(name for name in there if there[name] == FOLDER)))


def now(disk: Disk) -> Image:
    """The files as every program sees them: nothing is lost."""
    platter = Platter(disk)
    platter.forward(len(disk.ops), None)
    image = platter.image(Damage.KEPT, Random(0))
    files = {name: raw for name, raw in image.files.items() if not name.endswith(SHARED_MEMORY)}
    return image._replace(files=files)


def moments(disk: Disk, chosen: Iterator[tuple[int, Damage, str]]) -> Iterator[tuple[int, Image]]:
    """
    Images of many moments, in one pass.

    Args:
        disk: A recorded life.
        chosen: Operations done, kind of damage and seed; the first never decreases.
    """
    platter = Platter(disk)
    for done, damage, seed in chosen:
        platter.forward(done)
        yield done, platter.image(damage, Random(seed))


def _keeps_name(damage: Damage, before: bool, draw: Random, share: float) -> bool:
    match damage:
        case Damage.LOST | Damage.NAMES_LOST:
            return False
        case Damage.KEPT | Damage.NAMES_KEPT:
            return True
        case Damage.PREFIX:
            return before
        case Damage.NAMES_ANY:
            return draw.random() < 0.5
        case _:
            return draw.random() < share


def _damage(
    content: bytearray, op: Op, damage: Damage, before: bool, draw: Random, share: float
) -> None:
    """Let *op* happen to a file, or some of it."""
    match damage:
        case Damage.LOST | Damage.NAMES_KEPT:
            return
        case Damage.KEPT | Damage.NAMES_LOST:
            _apply(content, op, op.data)
        case Damage.PREFIX:
            if before:
                _apply(content, op, op.data)
        case Damage.SUBSET | Damage.NAMES_ANY:
            if draw.random() < share:
                _apply(content, op, op.data)
        case Damage.TORN:
            if draw.random() < share:
                whole = op.kind != "write" or draw.random() < 0.5
                _apply(content, op, op.data if whole else op.data[: draw.randrange(len(op.data))])
        case Damage.SECTOR | Damage.GARBAGE:
            if op.kind != "write":
                if draw.random() < share:
                    _apply(content, op, op.data)
                return
            for start, end in _sectors(op.at, len(op.data)):
                if draw.random() < share:
                    part = op.data[start:end]
                    if damage is Damage.GARBAGE and draw.random() < 0.2:
                        part = draw.randbytes(len(part))
                    _apply(content, op._replace(at=op.at + start), part)


def _sectors(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Parts of a write, as offsets in it, that each lie in one sector of the disk."""
    start = 0
    while start < size:
        end = min(size, start + SECTOR - (offset + start) % SECTOR)
        yield start, end
        start = end


def _apply(content: bytearray, op: Op, data: bytes) -> None:
    if op.kind == "truncate":
        if op.at < len(content):
            del content[op.at :]
        else:
            content.extend(bytes(op.at - len(content)))
    elif data:
        if op.at > len(content):
            content.extend(bytes(op.at - len(content)))
        content[op.at : op.at + len(data)] = data


def _rename(names: dict[str, int], op: Op) -> None:
    if op.kind == "name":
        names[op.name] = op.node
    elif op.kind == "unname":
        if names.get(op.name) == op.node:
            del names[op.name]
    else:
        if names.get(op.name) == op.node:
            del names[op.name]
        names[op.to] = op.node
