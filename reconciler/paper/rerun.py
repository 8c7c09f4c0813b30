"""
The re-run of a tape: an exchange of today is told all that was said then, and must say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path as File
from typing import Any

from . import errors
from .auth import DEFAULT_KEYS, Key
from .forgetting import KEEP
from .paths import Path
from .protocol import encode
from .quirks import Quirks
from .recording import Frame, Recording
from .rest import Admitted
from .scenario import Script
from .session import Session
from .tape import HIDDEN, VERSION, BadTape, Entry, Writer, read
from .taping import Delayed, Recorder, TapedWorld
from .web import Request
from .world import World


def taped(writer: Writer, options: Mapping[str, Any], faults: Mapping[str, float]) -> World:
    """A world whose every word goes to a tape, the market's too."""
    writer.put(head(options, faults))
    world = TapedWorld(Recorder(writer, writer, options["keys"]), **options)
    world.listen(writer, options["now_ms"])
    return world


def head(options: Mapping[str, Any], faults: Mapping[str, float]) -> Entry:
    """The first line of a tape: the options of its world, without secrets."""
    recording, script = options.get("recording"), options.get("script")
    return {
        "tape": VERSION, "seed": options["seed"], "symbols": list(options["symbols"]),
        "now_ms": options["now_ms"], "speed": str(options["speed"]), "walk": options["walk"],
        "quotes": options["quotes"], "rate_limits": options["rate_limits"],
        "legacy": bool(options.get("legacy")), "keep": options.get("keep", KEEP),
        "balances": options["balances"], "faults": {k: str(v) for k, v in faults.items()},
        "keys": [{**asdict(key), "secret": HIDDEN} for key in options["keys"]],
        "paths": {s: p.points() for s, p in (options.get("paths") or {}).items()},
        "recording": None if recording is None else [
            [f.at_ms, f.table, f.action, f.rows] for f in recording.frames
        ],
        "script": None if script is None else [
            {"at": f"{s.at_ms}ms", "do": s.action, **s.fields} for s in script.steps
        ],
    }  # fmt: skip


def _options(entry: Entry, keys: Sequence[Key]) -> dict[str, Any]:
    """The options of `World` from a head."""
    found: dict[str, Any] = {
        name: entry[name]
        for name in ("seed", "symbols", "now_ms", "walk", "quotes", "rate_limits", "balances")
    }
    found["legacy"] = bool(entry.get("legacy"))
    found["keep"] = entry.get("keep", KEEP)
    found["speed"] = float(str(entry["speed"]))
    secrets = {key.key: key.secret for key in keys}
    listed: Any = entry["keys"]
    found["keys"] = [_key(key, secrets) for key in listed]
    paths: Any = entry["paths"]
    found["paths"] = {
        s: Path([(at, Decimal(p)) for at, p in points]) for s, points in paths.items()
    }
    frames: Any = entry["recording"]
    found["recording"] = None if frames is None else Recording(Frame(*f) for f in frames)
    steps: Any = entry["script"]
    found["script"] = None if steps is None else Script.parse({"step": steps}, "the tape")
    faults: Any = entry["faults"]
    settings = {name: float(p) for name, p in faults.items()}
    found["quirks"] = Quirks(settings, seed=found["seed"])
    return found


def _key(kept: Mapping[str, Any], secrets: Mapping[str, str]) -> Key:
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()
    }
    given["secret"] = secrets.get(given["key"], HIDDEN)
    return Key(**given)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a re-run said something else; None: nothing."""

    after: Entry  # the input
    before: Entry | None  # as on the tape
    now: Entry | None

    def __str__(self) -> str:
        cause = {k: v for k, v in self.after.items() if k not in ("headers", "coding", "address")}
        told = "nothing" if self.before is None else encode(self.before).decode()
        said = "nothing" if self.now is None else encode(self.now).decode()
        both = enumerate(zip(told, said, strict=False))
        at = next((i for i, (a, b) in both if a != b), min(len(told), len(said)))
        after = _around(encode(cause).decode(), 0)
        return f"after {after}\n  tape   {_around(told, at)}\n  re-run {_around(said, at)}"


LEAD, BEFORE, BEHIND = 60, 60, 160  # characters: what it is, and what surrounds a difference


def _around(text: str, at: int) -> str:
    """The beginning of a text and what is around a place of it; a frame may be a whole book."""
    if len(text) <= LEAD + BEFORE + BEHIND:
        return text
    begin, end = max(0, at - BEFORE), at + BEHIND
    if begin <= LEAD:
        shown = text[:end]
    else:
        shown = f"{text[:LEAD]} … {text[begin:end]}"
    return shown if end >= len(text) else f"{shown} … ({len(text):,} characters)"


class _Heard:
    """What a re-run says, until it is compared."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def put(self, entry: Mapping[str, object]) -> None:
        self.entries.append(dict(entry))


def rerun(file: File, keys: Sequence[Key] = DEFAULT_KEYS) -> Iterator[Difference]:
    """
    Tell an exchange of today all that a tape was told; where it says something else.

    Args:
        file: The tape.
        keys: API keys with the secrets that are not on it.

    Raises:
        OSError: the file cannot be read.
        BadTape: it is no tape.
    """
    entries = read(file)
    first = next(entries, None)
    if first is None:
        raise BadTape(f"{file}: it is empty")
    heard = _Heard()
    teller = _Teller(first, heard, keys)
    cause: Entry = {"begin": True}
    expected: list[Entry] = []
    for entry in entries:
        if "to" in entry or "answer" in entry:
            expected.append(entry)
            continue
        yield from _compare(cause, expected, heard)
        expected, cause = [], entry
        teller.tell(entry)
    yield from _compare(cause, expected, heard)


def _compare(cause: Entry, expected: Sequence[Entry], heard: _Heard) -> Iterable[Difference]:
    said, heard.entries = heard.entries, []
    for i in range(max(len(expected), len(said))):
        before = expected[i] if i < len(expected) else None
        now = said[i] if i < len(said) else None
        if before is None or now is None or encode(before) != encode(now):
            yield Difference(cause, before, now)


class _Teller:
    """Tells a world what is on a tape."""

    def __init__(self, first: Entry, heard: _Heard, keys: Sequence[Key]) -> None:
        options = _options(first, keys)
        self._delayed: dict[int, Delayed] = {}
        self._recorder = Recorder(None, heard, options["keys"])
        self.world = TapedWorld(self._recorder, later=self._put_off, **options)
        self._sessions: dict[int, Session] = {}
        self._admitted: dict[int, Admitted] = {}

    def _put_off(self, delay_s: float, action: Callable[[], None]) -> object:
        assert isinstance(action, Delayed)
        self._delayed[action.number] = action
        return None

    def tell(self, entry: Entry) -> None:
        """Do what came in then."""
        kind = next(iter(entry))
        number: Any = entry[kind]
        try:
            getattr(self, f"_{kind}")(number, entry)
        except errors.Refusal:
            pass  # it was answered at the upgrade, which is not on the tape

    def _begin(self, number: int, entry: Entry) -> None:
        """The world is made already."""

    def _own(self, number: int, entry: Entry) -> None:
        """The next session is the tape's own: opened and told like others."""

    def _tick(self, now_ms: int, entry: Entry) -> None:
        self.world.tick(now_ms)

    def _later(self, number: int, entry: Entry) -> None:
        self._delayed.pop(number)()

    def _request(self, number: int, entry: Entry) -> None:
        found = self.world.api.admit(self._asked(entry), _at(entry))
        if isinstance(found, Admitted):
            self._admitted[number] = found

    def _act(self, number: int, entry: Entry) -> None:
        self.world.api.act(self._admitted.pop(number), _at(entry))

    def _control(self, number: int, entry: Entry) -> None:
        self.world.control(self._asked(entry), _at(entry))

    def _asked(self, entry: Entry) -> Request:
        headers: Any = entry["headers"]
        verb, target = str(entry["verb"]), str(entry["target"])
        body = str(entry["body"]).encode(str(entry["coding"]))
        return Request(
            verb=verb, path=str(entry["path"]), target=target, query=target.partition("?")[2],
            headers=self._recorder.blanks.signed(headers, verb, target, body), body=body,
            address=str(entry["address"]),
        )  # fmt: skip

    def _open(self, number: int, entry: Entry) -> None:
        platform = bool(entry["platform"])
        self._sessions[number] = self.world.hub.open(lambda: None, platform=platform)

    def _connect(self, number: int, entry: Entry) -> None:
        self.world.hub.faults.at_connect(_at(entry))

    def _connected(self, number: int, entry: Entry) -> None:
        self.world.hub.faults.connected(self._sessions[number])

    def _sign_in(self, number: int, entry: Entry) -> None:
        kept: Any = entry["with"]
        session = self._session(number, entry)
        given = self._recorder.blanks.signed(kept, "GET", session.path, b"")
        session.sign_in(given, _at(entry))

    def _welcome(self, number: int, entry: Entry) -> None:
        remaining: Any = entry["remaining"]
        self._sessions[number].welcome(remaining, _at(entry))

    def _subscribe(self, number: int, entry: Entry) -> None:
        names: Any = entry["names"]
        request = {"op": "subscribe", "args": names}
        self._sessions[number].subscribe(list(names), request, _at(entry))

    def _session(self, number: int, entry: Entry) -> Session:
        session = self._sessions[number]
        session.path, session.address = str(entry["path"]), str(entry["address"])
        return session

    def _say(self, number: int, entry: Entry) -> None:
        session = self._session(number, entry)
        text = self._recorder.blanks.said(str(entry["text"]), session.path)
        session.receive(text, _at(entry))

    def _take(self, number: int, entry: Entry) -> None:
        self._sessions[number].take()

    def _alive(self, number: int, entry: Entry) -> None:
        self._sessions[number].alive_ms = _at(entry)

    def _leave(self, number: int, entry: Entry) -> None:
        self.world.hub.leave(self._sessions[number])  # it may still be heard of

    def _close(self, number: int, entry: Entry) -> None:
        self._sessions[number].close()

    def _disconnect(self, number: int, entry: Entry) -> None:
        self.world.hub.disconnect_all()


def _at(entry: Entry) -> int:
    at: Any = entry["at"]
    return int(at)
