"""
A record of everything that is said to an exchange and by it, and its re-run.

One JSON object a line. What came in: requests, messages, and the passing of time (`tick`, `later`),
each with the wall time at which it was looked at. What went out: answers and frames. An exchange
knows nothing but what came in, so a re-run of a tape says the same again, byte for byte; where it
doesn't, the exchange has changed.

No secret is on a tape: of a signature it says only whether it was right, and a re-run signs anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import auth
from .auth import Key
from .protocol import decode, encode

VERSION = 1
RIGHT, WRONG = "[right signature]", "[wrong signature]"
HIDDEN = "[hidden]"
KEPT_HEADERS = ("accept", "api-expires", "api-key", "api-nonce", "api-signature", "content-type")
_HEX = re.compile(r"\b[0-9a-fA-F]{64}\b")
_SECRET = re.compile(r'("secret"\s*:\s*")[^"]+(")')
Entry = dict[str, object]


class BadTape(ValueError):
    """The file is no tape, or cannot be one."""


@dataclass(slots=True)
class Writer:
    """Puts entries on a tape."""

    file: IO[bytes]

    @classmethod
    def to(cls, path: Path) -> Writer:
        """
        A new tape, in place of one that is there.

        Raises:
            BadTape: it cannot be written.
        """
        try:
            return cls(path.open("wb"))
        except OSError as problem:
            raise BadTape(f"{path} cannot be written: {problem.strerror}") from None

    def put(self, entry: Mapping[str, object]) -> None:
        self.file.write(encode(entry) + b"\n")

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def read(path: Path) -> Iterator[Entry]:
    """
    The entries of a tape, its head first. A last line that a killed process left is passed over.

    Raises:
        OSError: it cannot be read.
        BadTape: it is no tape.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = decode(line)
            except ValueError as problem:
                if not line.endswith(b"\n") and number > 1:
                    return
                raise BadTape(_broken(path, number, str(problem))) from None
            if number == 1 and (not isinstance(entry, dict) or entry.get("tape") != VERSION):
                raise BadTape(f"{path}, line 1: this is no tape, which begins with its version")
            if not isinstance(entry, dict):
                raise BadTape(_broken(path, number, f"it is a {type(entry).__name__}"))
            yield entry


def _broken(path: Path, number: int, why: str) -> str:
    return (
        f"{path}, line {number}: each line of a tape is one JSON object, and this is none ({why}); "
        "a tape that ends before it can be told again"
    )


def is_tape(path: Path) -> bool:
    """Whether a file begins as a tape does."""
    with path.open("rb") as file:
        return file.readline(20).startswith(b'{"tape":')


class Blanks:
    """Takes signatures out of what is written, and puts them in again for a re-run."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._secrets = {key.key: key.secret for key in keys}

    def credentials(
        self, given: Mapping[str, str], verb: str, target: str, body: bytes
    ) -> dict[str, str]:
        """Headers, or what stands for them, with a verdict in place of the signature."""
        kept = {name: _hide(given[name]) for name in KEPT_HEADERS if name in given}
        if "api-signature" in given:
            kept["api-signature"] = given["api-signature"]
            right = given["api-signature"] == self._sign(kept, verb, target, body)
            kept["api-signature"] = RIGHT if right else WRONG if given["api-signature"] else ""
        return kept

    def signed(
        self, kept: Mapping[str, str], verb: str, target: str, body: bytes
    ) -> dict[str, str]:
        """The same with a signature again."""
        found = dict(kept)
        if found.get("api-signature") == RIGHT:
            found["api-signature"] = self._sign(found, verb, target, body)
        return found

    def message(self, text: str, path: str) -> str:
        """A message of a websocket client; *path* is what it has to sign."""
        try:
            args = self._args(text)
        except ValueError:
            args = None
        if args is not None:
            right = self._sign(_named(args), "GET", path, b"")
            text = text.replace(args[2], RIGHT if args[2] == right else WRONG)
        return _hide(text)

    def said(self, text: str, path: str) -> str:
        """The message as a client would have sent it."""
        if RIGHT not in text:
            return text
        args = self._args(text)
        if args is None:
            return text
        return text.replace(RIGHT, self._sign(_named(args), "GET", path, b""))

    def frame(self, frame: bytes) -> str:
        """A frame of the exchange; an echo of credentials has a signature in it."""
        text = frame.decode()
        return text if text.startswith('{"table"') else _hide(text)

    @staticmethod
    def _args(text: str) -> list[str] | None:
        """The credentials in a message, None when it has none."""
        request = decode(text) if text.startswith("{") else None
        if not isinstance(request, dict) or request.get("op") != "authKeyExpires":
            return None
        args = request.get("args")
        if not isinstance(args, list) or len(args) < 3 or not args[2]:
            return None
        return [str(arg) for arg in args]

    def _sign(self, given: Mapping[str, str], verb: str, target: str, body: bytes) -> str:
        secret = self._secrets.get(given.get("api-key", ""), "")
        return auth.sign(secret, verb, target, given.get("api-expires", ""), body)


def hide(text: str) -> str:
    """Text without anything that looks like a signature or a secret."""
    return _hide(text)


def _hide(text: str) -> str:
    return _SECRET.sub(rf"\1{HIDDEN}\2", _HEX.sub(HIDDEN, text))


def _named(args: Sequence[str]) -> dict[str, str]:
    return {"api-key": args[0], "api-expires": args[1]}
