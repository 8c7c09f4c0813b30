"""
One life: a seed's weather, venue, network and service; a storm, then fair weather, then the end.

    World(seed).live()       raises `Broken` if a promise was not kept

In the storm, faults, people and new targets come as the weather has it. Then all faults stop, and
within two minutes every symbol has to be on its last target (V1), with books that are the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from reconciler.core.events import Halted, Resumed
from reconciler.core.lifecycle import State
from reconciler.core.settings import Limits, Settings
from reconciler.journal import codec
from reconciler.simulation import weather as swarm
from reconciler.simulation.agenda import SECOND, START_US, Agenda, Clock
from reconciler.simulation.doors import Door
from reconciler.simulation.draws import Draws
from reconciler.simulation.exchange import Exchange
from reconciler.simulation.memory import MemoryJournal
from reconciler.simulation.network import Network
from reconciler.simulation.oracle import Broken, Oracle
from reconciler.simulation.process import CRASH_POINTS, Process
from reconciler.simulation.weather import Weather

SYMBOLS = ("XBTUSD", "ETHUSD")
CONVERGE_US = 120 * SECOND
CONVERGE_STEPS = 2_000
DOUBT_US = 45 * SECOND


class World:
    """
    Everything of one seed.

    Args:
        seed: Names the life: the same seed is the same life, in every process.
        muted: Faults that do not strike (see `Draws`).
        weather: Instead of the seed's own.
        oracle: Makes the judge; a control brings its own core in it.
    """

    def __init__(
        self,
        seed: int,
        muted: frozenset[tuple[str, int]] = frozenset(),
        weather: Weather | None = None,
        oracle: Callable[[World], Oracle] = Oracle,
        journal: MemoryJournal | None = None,
    ) -> None:
        self.seed = seed
        self.draws = Draws(seed, muted)
        self.weather = weather or swarm.draw(self.draws.of("weather"))
        weather = self.weather
        self.agenda = Agenda()
        self.draws.now = lambda: self.agenda.now_us
        self.symbols = SYMBOLS[: weather.symbols]
        self.venue_clock = Clock(self.agenda, weather.venue_ahead_us)
        self.venue_clock_set_us = 0
        self.own_ahead_us = weather.own_ahead_us
        self.exchange = Exchange(self.agenda, self.venue_clock, self.draws, weather, self.symbols)
        self.door = Door(self.agenda, self.draws, weather, self.exchange)
        self.journal = journal or MemoryJournal(thorough=seed % 4 == 0)
        self.process: Process | None = None
        self.oracle = oracle(self)
        self.exchange.traded = self.oracle.traded
        self.exchange.placed = self.oracle.placed
        self.network = Network(
            self.agenda, self.draws, weather, self.exchange, self.door, self.oracle
        )
        rng = self.draws.of("settings")
        self.settings = Settings(
            symbols=self.symbols,
            limits=Limits(
                max_position_contracts=rng.choice((1_000, 10_000)),
                max_order_contracts=rng.choice((100, 300, 1_000)),
                max_orders_per_minute=rng.choice((10, 30, 30)),
                price_collar_bps=200,
            ),
            dead_man_us=weather.dead_man_s * SECOND,
        )
        self.finished = False
        self.healed_us = self.healed_steps = 0
        self.seconds_to_converge = 0
        self.restarts = 0

    # -- the life ----------------------------------------------------------------------------------

    def live(self) -> None:
        """
        From birth to the end.

        Raises:
            Broken: A promise was not kept.
        """
        self._storm()
        start_us = self.agenda.now_us
        while not self.finished:
            while self.agenda.due_us() <= start_us:
                self.agenda.next()
            self.agenda.now_us = max(self.agenda.now_us, start_us)
            ended = self._run()
            self.restarts += 1
            pause_us = self.draws.ms(f"down after {ended}", 10, 8_000)
            start_us = self.agenda.now_us + (100_000 if self.healed_us else pause_us)
        self._end()

    def _run(self) -> str:
        """One run of the service, until it ends in some way."""
        self.journal.open()
        clock = Clock(self.agenda, self.own_ahead_us, self.weather.drift_ppm)
        self.process = process = Process(
            self.agenda,
            clock,
            self.network,
            self.journal,
            self.settings,
            self.oracle.step,
            self.oracle.recorded,
            lambda: self.finished,
        )
        self.oracle.r3_acknowledged_is_durable(process.engine.ledger)
        ended = process.run()
        self._v5_orderly_stop(ended)
        if self.draws.of("snapshot").random() < 0.3:
            self.journal.snapshot(self.journal.recover().ledger)
        if self.draws.of("wall").random() < 0.2 and not self.healed_us:
            self.own_ahead_us += self.draws.one("wall", (-3_600, -7, 7, 3_600)) * SECOND
        return ended

    def _storm(self) -> None:
        """Faults, people and new targets, each in its own time."""
        weather = self.weather
        self.later(1 * SECOND, partial(self._new_target, self.symbols[0]))
        for name, happen in self._happenings().items():
            mean_us = getattr(weather, name)
            if mean_us:
                self._again(name, mean_us, happen)
        for symbol in self.symbols:
            self._quote(symbol)
        self.later(weather.storm_us, self._heal)

    def _happenings(self) -> dict[str, Callable[[], None]]:
        return {
            "target_us": self._any_target,
            "drop_us": self._drop,
            "half_open_us": self._half_open,
            "mute_us": self._mute,
            "second_partial_us": self._second_partial,
            "crash_us": self._crash,
            "storage_us": self._storage_fault,
            "pause_us": self._pause,
            "stop_us": self._stop,
            "person_us": self._person,
            "person_order_us": self._person_order,
            "liquidation_us": self._liquidation,
            "funding_us": self._funding,
            "market_us": self._market,
            "rest_down_us": self._rest_down,
            "halt_us": self._halt,
            "venue_clock_us": self._venue_clock,
        }

    def later(self, delay_us: int, call: Callable[[], None]) -> None:
        """Have *call* called after a while."""
        self.agenda.later(delay_us, call)

    def _again(self, name: str, mean_us: int, happen: Callable[[], None]) -> None:
        def now() -> None:
            if self.healed_us:
                return
            if name == "target_us" or self.draws.strikes(name, 1.0):
                happen()
            self._again(name, mean_us, happen)

        self.later(self.draws.after(f"when {name}", mean_us), now)

    @property
    def up(self) -> Process | None:
        """The process, if it is alive."""
        process = self.process
        return process if process is not None and not process._over else None

    # -- what happens ------------------------------------------------------------------------------

    def _any_target(self) -> None:
        self._new_target(self.draws.one("target", self.symbols))

    def _new_target(self, symbol: str, ttl: bool = True) -> None:
        process = self.up
        if process is None:
            return
        contracts = self.draws.of("target").randint(-3, 3) * 100
        policy = self.draws.one("target", ("passive", "passive", "urgent"))
        ttl_us = 0
        if ttl and self.draws.of("target").random() < 0.1:
            ttl_us = self.draws.ms("target", 1_000, 60_000)
        process.set_target(symbol, contracts, policy, ttl_us, self.oracle.acknowledge)

    def _quote(self, symbol: str) -> None:
        exchange, rng = self.exchange, self.draws.of("price")
        base = 100 + 10 * self.symbols.index(symbol)
        mark = exchange.marks[symbol]
        mark += type(mark)(rng.choice((-1, 0, 0, 1))) / 2
        exchange.marks[symbol] = min(max(mark, type(mark)(base - 5)), type(mark)(base + 5))
        feed = self.network.feed
        if feed is not None:
            feed.row("quote", "insert", feed.quote_row(symbol))
            row: dict[str, object] = {"symbol": symbol, "markPrice": exchange.marks[symbol]}
            feed.row("instrument", "update", row)
        self.later(self.draws.after("quote", self.weather.quote_us), partial(self._quote, symbol))

    def _drop(self) -> None:
        process, feed = self.up, self.network.feed
        if process is not None and feed is not None:
            feed.open = False
            self.later(self.draws.ms("notice", 0, 3_000), process.gateway.sim_stream.ended)

    def _half_open(self) -> None:
        if self.network.feed is not None:
            self.network.feed.silent = True

    def _mute(self) -> None:
        feed = self.network.feed
        if feed is not None:
            feed.muted = True

            def speaks() -> None:
                feed.muted = False

            self.later(self.draws.ms("mute", 500, 20_000), speaks)

    def _second_partial(self) -> None:
        feed = self.network.feed
        if feed is not None and "order" in feed._tables and not feed.muted:
            feed.image(self.draws.one("partial", ("order", "position", "execution", "margin")))

    def _crash(self) -> None:
        process = self.up
        if process is None:
            return
        process.crash_at = self.draws.one("crash", CRASH_POINTS)

        def at_last() -> None:
            if process.crash_at:
                process.crash_at = "while waiting"

        self.later(5 * SECOND, at_last)

    def _storage_fault(self) -> None:
        self.journal.fault = self.draws.one("storage", ("before", "after"))

    def _pause(self) -> None:
        if self.up is not None:
            pause_us = self.draws.ms("pause", 500, 20_000)
            self.up.paused_until_us = self.agenda.now_us + pause_us

    def _stop(self) -> None:
        if self.up is not None:
            self.up.stop()

    def _person(self) -> None:
        contracts = self.draws.one("person", (-2, -1, 1, 2)) * 100
        symbol = self.draws.one("person", self.symbols)
        self.oracle.something_changed(symbol)
        self.exchange.person_trades(symbol, contracts)

    def _person_order(self) -> None:
        name = self.draws.one("person order", ("", "by-hand-7", "rc-zzzz-1-000001"))
        contracts = self.draws.one("person order", (-1, 1)) * 100
        self.exchange.person_places(self.draws.one("person order", self.symbols), contracts, name)

    def _liquidation(self) -> None:
        symbol = self.draws.one("liquidation", self.symbols)
        held = self.exchange.position[symbol]
        if held:
            self.exchange.person_trades(symbol, -held, "Liquidation")
            self.later(self.draws.ms("operator", 3_000, 15_000), self._resume)

    def _funding(self) -> None:
        self.exchange.pay_funding(self.draws.one("funding", self.symbols))

    def _market(self) -> None:
        self._open_market(self.draws.one("market", self.symbols), False)

    def _open_market(self, symbol: str, is_open: bool) -> None:
        self.exchange.market_open[symbol] = is_open
        self.oracle.something_changed(symbol)
        feed = self.network.feed
        if feed is not None:
            state = "Open" if is_open else "Closed"
            feed.row("instrument", "update", {"symbol": symbol, "state": state})
        if not is_open:
            reopen = partial(self._open_market, symbol, True)
            self.later(self.draws.ms("market", 500, 20_000), reopen)

    def _rest_down(self) -> None:
        self.network.rest_down = True

        def up() -> None:
            self.network.rest_down = False

        self.later(self.draws.ms("rest", 1_000, 20_000), up)

    def _halt(self) -> None:
        if self.up is None:
            return
        symbols = self.draws.one("halt", ((), self.symbols[:1]))
        self._tell(Halted, symbols)
        self.later(self.draws.ms("halt", 500, 20_000), self._resume)

    def _resume(self) -> None:
        if self.up is not None:
            self.oracle.something_changed("")
            self._tell(Resumed, ())

    def _tell(self, kind: type[Halted] | type[Resumed], symbols: tuple[str, ...]) -> None:
        process = self.up
        if process is not None:
            now_us = process.loop.now_us()
            event = kind(at_us=now_us, by="sim", reason="drill", symbols=symbols)
            process.post(lambda ledger: [event])

    def _venue_clock(self) -> None:
        self.venue_clock_set_us = self.agenda.now_us
        self.venue_clock.jump(self.draws.ms("venue clock", -900, 900))

    # -- fair weather ------------------------------------------------------------------------------

    def _heal(self) -> None:
        """No faults from now on, and nobody but us."""
        self.healed_us = self.agenda.now_us
        self.draws.calm = True
        self.network.rest_down = False
        self.weather.fill_mean_us = 2 * SECOND
        self.journal.fault = ""
        for order in list(self.exchange.alive.values()):
            if not order.own:
                self.exchange._end(order, "Canceled", "Canceled by hand.", "update")
        for symbol in self.symbols:
            if not self.exchange.market_open[symbol]:
                self._open_market(symbol, True)
        feed = self.network.feed
        if feed is not None:
            feed.muted = False
        if self.process is not None:
            self.process.crash_at = ""
            self.process.paused_until_us = 0
        self.later(9 * SECOND, self._last_targets)
        self.later(40 * SECOND, self._resume)
        self.later(75 * SECOND, self._resume)

    def _last_targets(self) -> None:
        """An operator has a look, and says what to hold."""
        if self.up is None or self.up.engine.ledger.stopping:
            self.later(SECOND, self._last_targets)
            return
        self.healed_us, self.healed_steps = self.agenda.now_us, self.oracle.steps
        self._resume()
        for symbol in self.symbols:
            self._new_target(symbol, ttl=False)
        self.later(SECOND, self._look)

    def _look(self) -> None:
        """V1, V3: is everything where it should be?"""
        passed_us = self.agenda.now_us - self.healed_us
        if self.settled():
            self.seconds_to_converge = passed_us // SECOND
            self.later(4 * SECOND, self._finish)
            return
        if passed_us > CONVERGE_US:
            raise Broken("V1", f"not there after {CONVERGE_US // SECOND} s: {self.told()}")
        steps = self.oracle.steps - self.healed_steps
        if steps > CONVERGE_STEPS and self.oracle.inside:
            raise Broken("V1", f"not there after {CONVERGE_STEPS} steps: {self.told()}")
        self._v3_doubt_ends(passed_us)
        self.later(SECOND, self._look)

    def _v3_doubt_ends(self, passed_us: int) -> None:
        """V3: every doubt ends within 45 s of a venue that can be reached."""
        if passed_us < DOUBT_US or self.process is None or not self.oracle.inside:
            return
        for order in self.process.engine.ledger.own_alive():
            if order.doubt is not None:
                waited_us = self.process.loop.now_us() - order.doubt.since_us
                if waited_us > DOUBT_US + 10 * SECOND:
                    raise Broken("V3", f"{order.cl_ord_id} is in doubt for {waited_us} µs")

    def _v5_orderly_stop(self, ended: str) -> None:
        """V5: an orderly stop leaves no own order open, or names those that may be."""
        if ended != "stopped" or self.process is None or not self.oracle.inside:
            return
        named = {o.cl_ord_id.partition("/")[0] for o in self.process.engine.ledger.own_alive()}
        for order in self.exchange.alive.values():
            if order.own and order.cl_ord_id not in named and self.weather.assumptions_hold:
                raise Broken("V5", f"{order.cl_ord_id} is open after an orderly stop, unnamed")

    def _finish(self) -> None:
        self.oracle.quiet()
        self.finished = True
        assert self.process is not None
        self.process.ready = True

    def _end(self) -> None:
        """R1, R4: the journal, verified and folded from its first row, is the ledger."""
        assert self.process is not None
        self.journal.verify()
        if not self.oracle.inside:
            return
        found = codec.encode(self.journal.recover(whole=True).ledger)
        if found != codec.encode(self.process.engine.ledger):
            raise Broken("R1", "the journal, folded from its first row, is another ledger")
        if codec.encode(self.journal.recover().ledger) != found:
            raise Broken("R1", "the newest snapshot and its tail are another ledger")

    def settled(self) -> bool:
        """Whether every symbol is on its target."""
        process = self.up
        if process is None:
            return False
        return all(self._is_there(book) for book in process.engine.ledger.books.values())

    def _is_there(self, book: Any) -> bool:
        if book.target is None or book.state is not State.IDLE or not book.confirmed:
            return False
        truth = self.exchange.position[book.symbol]
        blocked = book.waiting_for.startswith("room below")  # a named state
        return bool(truth == book.position and (book.position == book.target.contracts or blocked))

    def told(self) -> str:
        """What the core says of every symbol."""
        if self.process is None:
            return "nothing has started"
        ledger = self.process.engine.ledger
        return "; ".join(
            f"{symbol} {book.state} {book.position:+d} (venue {self.exchange.position[symbol]:+d}) "
            f"target {book.target.contracts if book.target else None} waits for "
            f"{book.waiting_for!r} frozen {book.frozen or ledger.frozen!r}"
            for symbol, book in ledger.books.items()
        )

    @property
    def simulated_s(self) -> float:
        """How long it lasted, in its own time."""
        return (self.agenda.now_us - START_US) / SECOND
