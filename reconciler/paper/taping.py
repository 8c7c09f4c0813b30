"""
An exchange that puts all that it hears and says on a tape.

Only what comes from outside is an input: while one is worked off, what the parts of the exchange
say to one another is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from .auth import Key
from .rest import Admitted, Api
from .session import Session
from .stream import Hub, Later
from .stream_faults import StreamFaults
from .tape import Blanks, Entry, Writer, hide
from .web import Answer, Request
from .world import World

MARKET = '{"op":"subscribe","args":["instrument","orderBookL2","quote","trade"]}'
ALIVE_MS = 1_000  # how exactly it is kept when a peer was last heard of


class Sink(Protocol):
    """Where entries go."""

    def put(self, entry: Mapping[str, object]) -> None: ...


class Recorder:
    """Tells inputs from what follows from them."""

    def __init__(self, inputs: Sink | None, outputs: Sink, keys: Sequence[Key]) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self.blanks = Blanks(keys)
        self._inside = False

    @contextmanager
    def input(self, entry: Mapping[str, object]) -> Iterator[None]:
        """Something comes from outside, unless it comes of another input."""
        if self._inside:
            yield
            return
        if self._inputs is not None:
            self._inputs.put(entry)
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def output(self, entry: Mapping[str, object]) -> None:
        """Something is said to the outside."""
        self._outputs.put(entry)


class TapedSession(Session):
    """A conversation on the tape; the hub numbers them."""

    number = 0
    _alive_ms = 0

    @property
    def recorder(self) -> Recorder:
        assert isinstance(self.hub, TapedHub)
        return self.hub.recorder

    @property
    def alive_ms(self) -> int:
        return self._alive_ms

    @alive_ms.setter
    def alive_ms(self, at_ms: int) -> None:
        if at_ms - self._alive_ms >= ALIVE_MS and self.number:
            with self.recorder.input({"alive": self.number, "at": at_ms}):
                self._alive_ms = at_ms
        elif not self.number:
            self._alive_ms = at_ms

    @property
    def _place(self) -> Entry:
        """What its socket has told it, and who may sign in depends on."""
        return {"path": self.path, "address": self.address}

    def receive(self, message: str, now_ms: int) -> None:
        said = self.recorder.blanks.message(message, self.path)
        entry = {"say": self.number, "at": now_ms, **self._place, "text": said}
        with self.recorder.input(entry):
            super().receive(message, now_ms)

    def sign_in(self, credentials: dict[str, str], now_ms: int) -> None:
        kept = self.recorder.blanks.credentials(credentials, "GET", self.path, b"")
        entry = {"sign_in": self.number, "at": now_ms, **self._place, "with": kept}
        with self.recorder.input(entry):
            super().sign_in(credentials, now_ms)

    def welcome(self, remaining: int, now_ms: int) -> None:
        entry = {"welcome": self.number, "at": now_ms, "remaining": remaining}
        with self.recorder.input(entry):
            super().welcome(remaining, now_ms)

    def subscribe(self, names: list[object], request: object, now_ms: int) -> None:
        with self.recorder.input({"subscribe": self.number, "at": now_ms, "names": names}):
            super().subscribe(names, request, now_ms)

    def take(self) -> list[bytes]:
        with self.recorder.input({"take": self.number}):
            return super().take()

    def send_all(self, tables: Sequence[str], frames: Sequence[bytes], size: int) -> None:
        for table, frame in zip(tables, frames, strict=True):  # each stands on the tape
            self.send_table(table, frame)

    def _queue(self, frame: bytes) -> None:
        if not self.closing:
            said = self.recorder.blanks.frame(frame)
            self.recorder.output({"to": self.number, "frame": said})
        super()._queue(frame)

    def close(self) -> None:
        with self.recorder.input({"close": self.number}):
            self.recorder.output({"to": self.number, "closed": True})
            super().close()


class TapedStreamFaults(StreamFaults):
    """What befalls connections is drawn when they come: an input."""

    def at_connect(self, now_ms: int) -> bool:
        assert isinstance(self._hub, TapedHub)
        with self._hub.recorder.input({"connect": True, "at": now_ms}):
            return super().at_connect(now_ms)

    def connected(self, session: Session) -> None:
        assert isinstance(session, TapedSession)
        with session.recorder.input({"connected": session.number}):
            super().connected(session)


class TapedHub(Hub):
    """Numbers its sessions."""

    make_session = TapedSession
    patient = False  # what is said stands on the tape when it is said

    def __init__(self, recorder: Recorder, *args: Any, **options: Any) -> None:
        self.recorder = recorder
        self._opened = 0
        super().__init__(*args, **options)
        self.faults = TapedStreamFaults(self)

    def open(
        self, wake: Callable[[], None], end: Callable[[], None] = lambda: None, *,
        platform: bool = False,
    ) -> Session:  # fmt: skip
        self._opened += 1
        with self.recorder.input({"open": self._opened, "platform": platform}):
            session = super().open(wake, end, platform=platform)
            assert isinstance(session, TapedSession)
            session.number = self._opened
            return session

    def leave(self, session: Session) -> None:
        assert isinstance(session, TapedSession)
        with self.recorder.input({"leave": session.number}):
            super().leave(session)

    def disconnect_all(self) -> int:
        with self.recorder.input({"disconnect": True}):
            return super().disconnect_all()


class TapedApi(Api):
    """Numbers its requests: some wait between the door and the engine."""

    def __init__(self, recorder: Recorder, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.recorder = recorder
        self._count = 0
        self._waiting: dict[int, int] = {}  # id of what was admitted -> its number

    def admit(self, request: Request, now_ms: int) -> Admitted | Answer:
        self._count += 1
        number = self._count
        entry = {"request": number, "at": now_ms, **_asked(self.recorder.blanks, request)}
        with self.recorder.input(entry):
            found = super().admit(request, now_ms)
        if isinstance(found, Answer):
            self.recorder.output(_told(number, found))
        else:
            self._waiting[id(found)] = number
        return found

    def act(self, admitted: Admitted, now_ms: int) -> Answer:
        number = self._waiting.pop(id(admitted))
        with self.recorder.input({"act": number, "at": now_ms}):
            found = super().act(admitted, now_ms)
        self.recorder.output(_told(number, found))
        return found


class TapedWorld(World):
    """A world on a tape. The head of the tape is written by who makes it."""

    def __init__(self, recorder: Recorder, *, later: Later, **options: Any) -> None:
        self._recorder = recorder
        self._delayed = 0
        self._listener: Session | None = None
        self._writer: Writer | None = None

        def recorded_later(delay_s: float, action: Callable[[], None]) -> object:
            self._delayed += 1
            return later(delay_s, Delayed(recorder, self._delayed, action))

        def make_hub(*args: Any, **given: Any) -> Hub:
            return TapedHub(recorder, *args, **given)

        def make_api(*args: Any, **given: Any) -> Api:
            return TapedApi(recorder, *args, **given)

        with recorder.input({"begin": True}):
            super().__init__(later=recorded_later, make_hub=make_hub, make_api=make_api, **options)

    def tick(self, now_ms: int) -> None:
        with self._recorder.input({"tick": now_ms}):
            super().tick(now_ms)
        if self._listener is not None and self._writer is not None:
            self._listener.take()  # it was put on the tape when it was sent
            self._listener.alive_ms = now_ms
            if self._listener.closing:  # as all are at maintenance
                self.hub.leave(self._listener)
                self.listen(self._writer, now_ms)
            self._writer.flush()

    def control(self, request: Request, now_ms: int) -> Answer:
        entry = {"control": True, "at": now_ms, **_asked(self._recorder.blanks, request)}
        with self._recorder.input(entry):
            found = super().control(request, now_ms)
        self._recorder.output(_told(0, found))
        return found

    def listen(self, writer: Writer, now_ms: int) -> None:
        """Let the tape itself subscribe to the market, so that it can be replayed from there."""
        self._writer = writer
        writer.put({"own": True})  # it is the next session
        self._listener = self.hub.open(lambda: None)
        self._listener.receive(MARKET, now_ms)


@dataclass(slots=True)
class Delayed:
    """An action that was put off."""

    recorder: Recorder
    number: int
    action: Callable[[], None]

    def __call__(self) -> None:
        with self.recorder.input({"later": self.number}):
            self.action()


def _asked(blanks: Blanks, request: Request) -> Entry:
    try:
        body = request.body.decode()
        coding = "utf-8"
    except UnicodeDecodeError:
        body = request.body.decode("latin-1")
        coding = "latin-1"
    return {
        "verb": request.verb, "path": hide(request.path), "target": hide(request.target),
        "headers": blanks.credentials(
            request.headers, request.verb, request.target, request.body
        ),
        "body": hide(body), "coding": coding, "address": request.address,
    }  # fmt: skip


def _told(number: int, answer: Answer) -> Entry:
    entry: Entry = {
        "answer": number, "status": answer.status, "headers": dict(answer.headers),
        "body": hide(answer.body.decode("utf-8", "replace")),
    }  # fmt: skip
    for name in ("delay_s", "dropped", "cut", "closes"):
        if getattr(answer, name):
            entry[name] = getattr(answer, name)
    return entry
