"""
The network between the real gateway and the virtual venue.

The gateway is the production one. Only what owns sockets and threads is replaced: the stream, the
wire and the reader's single request. Everything that decodes, merges, decides what an answer
proves, pages through look-ups, counts budgets or measures clocks is the very code that runs live.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from reconciler.bitmex.answers import Failure, Reply
from reconciler.bitmex.config import BitmexConfig
from reconciler.bitmex.gateway import BitmexGateway
from reconciler.bitmex.lookups import LookUps
from reconciler.bitmex.outgoing import Job
from reconciler.bitmex.stream import BACKOFF_MAX_S, BACKOFF_S, STEADY_S, Stream
from reconciler.bitmex.sync import Sync
from reconciler.bitmex.wire import LATE, WITHDRAWN, Wire
from reconciler.core.decisions import AnyDecision, ArmDeadMan, CancelOrder
from reconciler.core.events import AnyEvent
from reconciler.simulation.agenda import SECOND, Agenda
from reconciler.simulation.doors import Door, Feed
from reconciler.simulation.draws import Draws
from reconciler.simulation.exchange import Exchange as Market
from reconciler.simulation.reading import SimReader
from reconciler.simulation.weather import Weather
from reconciler.venue import Host

TIMEOUT_US = 7 * SECOND
CLOSED = None  # in an inbox: the connection has ended


class Judge(Protocol):
    """Who watches the wire."""

    def writing(self, job: Job) -> None:
        """The first byte of a request is about to be written."""

    def starved(self, decision: AnyDecision) -> None:
        """A cancel or a heartbeat was not handed to the wire."""


class Network:
    """Everything between one process and the venue."""

    def __init__(
        self,
        agenda: Agenda,
        draws: Draws,
        weather: Weather,
        market: Market,
        door: Door,
        judge: Judge,
    ) -> None:
        self.agenda = agenda
        self.draws = draws
        self.weather = weather
        self.market = market
        self.door = door
        self.judge = judge
        self.rest_down = self.stream_down = False
        self.after_write: Callable[[], None] = lambda: None  # a crash may happen here
        market.show = self._show
        self._feeds: list[Feed] = []

    def _show(self, table: str, action: str, row: dict[str, object]) -> None:
        for feed in self._feeds:
            feed.row(table, action, row)

    def open_feed(self, arrive: Callable[[bytes], None]) -> Feed:
        """A websocket is accepted."""
        feed = Feed(self.agenda, self.draws, self.weather, self.market, arrive)
        self._feeds = [old for old in self._feeds if old.open]
        self._feeds.append(feed)
        return feed

    @property
    def feed(self) -> Feed | None:
        """The websocket that is open now."""
        return next((feed for feed in reversed(self._feeds) if feed.open), None)

    def request(self, data: bytes | str, answer: Callable[[Reply | Failure], None]) -> None:
        """Carry one request there and its answer back; *answer* is called exactly once."""
        agenda, strikes, weather = self.agenda, self.draws.strikes, self.weather
        done = False

        def settle(what: Reply | Failure) -> None:
            nonlocal done
            if not done:
                done = True
                answer(what)

        def back(reply: Reply) -> None:
            page = self.door.late_refusal() if isinstance(data, bytes) else None
            if strikes("lose_answer", weather.lose_answer):
                return
            delay_us = self.draws.ms("way back", 1, 40)
            if strikes("slow_answer", weather.slow_answer):
                delay_us = self.draws.ms("slow_answer", 100, 6_000)
            what: Reply | Failure = page or reply
            if strikes("cut_answer", weather.cut_answer):
                what = Failure(code="cut_off", text="the answer ended in the middle")
                if self.draws.of("cut how").random() < 0.3:  # a length that was believed too early
                    what = Reply(status=reply.status, headers={}, body=reply.body[:-3])
            agenda.later(delay_us, partial(settle, what))

        agenda.later(TIMEOUT_US, partial(settle, Failure(code="timeout", text="no answer")))
        if self.rest_down or strikes("lose_request", weather.lose_request):
            return
        delay_us = self.draws.ms("way there", 1, 40)
        if strikes("slow_request", weather.slow_request):
            delay_us = self.draws.ms("slow_request", 500, 7_000)
        copies = 1
        if strikes("twice", weather.twice):
            copies = 2
        for copy in range(copies):
            there = self.door.command if isinstance(data, bytes) else self.door.read
            later_us = self.draws.ms("the copy", 10, 4_000) if copy else 0
            agenda.later(delay_us + later_us, partial(there, data, back))  # type: ignore[arg-type]


class SimStream(Stream):
    """Connects with the same backoff as the real one, to a feed instead of a socket."""

    def __init__(
        self, network: Network, host: Host, reader: BitmexGateway, wake: Callable[[], None]
    ) -> None:
        self._network = network
        self._host = host
        self._gateway = reader
        self._wake = wake
        self._feed: Feed | None = None
        self._tries = 0
        self._upstream_us = 0  # when the last of what was sent is there
        self._settled_us = 0
        self.inbox: deque[bytes | None] = deque()
        self.connections = 0
        self.connect_error = ""
        self.dead = False  # its process is gone

    def start(self) -> None:
        """Begin to connect."""
        self._later(0)

    def settled(self) -> None:
        """The connection proved useful."""
        self._settled_us = self._network.agenda.now_us

    def _later(self, wait_us: int) -> None:
        most = min(BACKOFF_S * 2 ** min(self._tries, 10), BACKOFF_MAX_S)
        pause = self._network.draws.of("backoff").uniform(0, most) if self._tries else 0.0
        self._tries += 1
        self._network.agenda.later(max(int(pause * SECOND), wait_us) + 1, self._reach)

    def _reach(self) -> None:
        if self.dead:
            return
        network = self._network
        if network.draws.strikes("refuse_connect", network.weather.refuse_connect):
            self._later(0)
            return
        if network.stream_down and network.draws.of("door shut").random() < 0.5:
            self._later(0)
            return
        self.connections += 1
        feed = network.open_feed(self._arrive)
        feed.ended = self.ended
        if network.stream_down:  # accepted, and closed at once
            network.agenda.later(5_000, partial(self._cut, feed))
        self._host.call_soon(partial(self._take_over, feed))

    def _take_over(self, feed: Feed) -> list[AnyEvent]:
        self.inbox.clear()
        self._feed = feed
        events = list(self._gateway.stream_opened())
        feed.welcome()
        return events

    def _arrive(self, said: bytes) -> None:
        self.inbox.append(said)
        self._wake()

    def ended(self) -> None:
        """The other side closed, or the network did."""
        if self._feed is not None:
            self._feed.open = False
            self.inbox.append(CLOSED)
            self._wake()

    def _cut(self, feed: Feed) -> None:
        if self._feed is feed:
            self.ended()

    def read(self) -> list[AnyEvent]:
        """In the loop: take in all that came, as `Stream._drain` does."""
        events: list[AnyEvent] = []
        feed = self._feed
        while self.inbox:
            said = self.inbox.popleft()
            if said is CLOSED:
                events.extend(self._gateway.stream_closed("closed by the venue"))
            else:
                self._gateway.stream_said(said, events)
            if self._feed is not feed:
                break
        return events

    def send(self, said: Iterable[str]) -> None:
        """Send text frames."""
        feed = self._feed
        if feed is None:
            raise OSError("not connected")
        agenda = self._network.agenda
        for text in said:  # one after another: a connection keeps their order
            due_us = agenda.now_us + self._network.draws.ms("upstream", 2, 5)
            self._upstream_us = max(self._upstream_us, due_us)
            agenda.later(self._upstream_us - agenda.now_us, partial(feed.said, text))

    def drop(self, wait_us: int = 0) -> None:
        """Close, and connect again."""
        if self._feed is None:
            return
        self._feed.open = False
        self._feed = None
        self.inbox.clear()
        now_us = self._network.agenda.now_us
        if self._settled_us and now_us - self._settled_us > STEADY_S * SECOND:
            self._tries = 0
        self._settled_us = 0
        self._later(wait_us)

    def kill(self) -> None:
        """The process is gone, and its socket with it."""
        self.dead = True
        if self._feed is not None:
            self._feed.open = False


class SimWire(Wire):
    """Writes a request once. Without a connection it says so after a while, as the real one."""

    def __init__(
        self, network: Network, host: Host, settle: Callable[[Job, Reply | Failure], None]
    ) -> None:
        self._network = network
        self._host = host
        self.settle = settle
        self.dead = False
        self.taken = 0
        self._waiting: list[Job] = []

    def write(self, job: Job) -> Failure | None:
        """Send *job* now, or when a connection stands."""
        self.taken += 1
        now_us = self._host.now_us()
        if 0 < job.deadline_us < now_us:
            return LATE
        network = self._network
        if network.draws.strikes("refuse_connect", network.weather.refuse_connect):
            delay_us = network.draws.ms("queue", 10, 3_000)
            self._waiting.append(job)
            network.agenda.later(delay_us, partial(self._from_queue, job))
            return None
        job.sent_us = now_us
        self._write(job)
        return None

    def _from_queue(self, job: Job) -> None:
        """The sender thread has a connection for it, or knows that there is none."""
        if self.dead or job not in self._waiting:
            return
        self._waiting.remove(job)
        if 0 < job.deadline_us < self._host.now_us():
            self.settle(job, LATE)
        elif self._network.rest_down:
            self.settle(job, Failure(code="unreachable", unsent=True))
        else:
            job.sent_us = self._host.now_us()
            self._write(job)

    def withdraw(self) -> None:
        """Give up the orders that wait for a connection."""
        for job in [job for job in self._waiting if not job.urgent]:
            self._waiting.remove(job)
            self.settle(job, WITHDRAWN)

    def _write(self, job: Job) -> None:
        self._network.judge.writing(job)
        self._network.request(job.data, partial(self._answered, job))
        self._network.after_write()

    def _answered(self, job: Job, what: Reply | Failure) -> None:
        if not self.dead:
            self.settle(job, what)

    def warm(self) -> int:
        """Connections that a request could take at once."""
        return 2


class SimGateway(BitmexGateway):
    """The production gateway, with the network of a simulated world beneath it."""

    def __init__(
        self, config: BitmexConfig, host: Host, network: Network, wake: Callable[[], None]
    ) -> None:
        super().__init__(config, host)
        self._network = network
        self.sim_stream = SimStream(network, host, self, wake)
        self.sim_wire = SimWire(network, host, self._settle)
        self.sim_reader = SimReader(network, host, self._exchanged, config.redacted_bytes)
        self._stream, self._wire, self._reader = self.sim_stream, self.sim_wire, self.sim_reader
        self._look_ups = LookUps(self._reader, host, self._accounts, config.symbols)
        self._sync = Sync(
            self._reader,
            host,
            self._accounts,
            config.symbols,
            self._vitals.surely_us,
            self._read_all,
        )
        self._sync._random = network.draws.of("sync")

    def start(self, watermark_us: int) -> None:
        """Begin to connect."""
        self._sync.watermark_us = watermark_us
        self.sim_stream.start()

    def send(self, decision: AnyDecision) -> Iterable[AnyEvent]:
        """As the real one does; cancels and heartbeats are seen to leave at once."""
        taken = self.sim_wire.taken
        events = super().send(decision)
        if isinstance(decision, (CancelOrder, ArmDeadMan)) and self.sim_wire.taken == taken:
            self._network.judge.starved(decision)
        return events

    def kill(self) -> None:
        """The process is gone; what it wrote is on its way."""
        self.sim_stream.kill()
        self.sim_wire.dead = self.sim_reader.dead = True

    @property
    def in_sync(self) -> bool:
        """What the gateway believes of its stream."""
        return self._live

    def silence_us(self, now_us: int) -> int:
        """How long nothing came on the stream."""
        return 0 if self._session is None else self._session.silence_us(now_us)
