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

from msgspec.structs import replace

from reconciler.core.lifecycle import State
from reconciler.core.policy.policies import policy_of
from reconciler.core.settings import Limits, Settings, default_policies
from reconciler.journal import codec
from reconciler.simulation import at_the_end, manners, purse
from reconciler.simulation import weather as swarm
from reconciler.simulation.agenda import SECOND, Agenda, Clock
from reconciler.simulation.desks import Desks
from reconciler.simulation.doors import Door
from reconciler.simulation.draws import Draws
from reconciler.simulation.encore import Encore
from reconciler.simulation.exchange import Exchange
from reconciler.simulation.happenings import Happenings
from reconciler.simulation.memory import MemoryJournal
from reconciler.simulation.network import Network
from reconciler.simulation.oracle import Broken, Oracle
from reconciler.simulation.people import People
from reconciler.simulation.process import CRASH_POINTS, Process
from reconciler.simulation.realfile import FileJournal
from reconciler.simulation.weather import Weather

SYMBOLS = ("XBTUSD", "ETHUSD")
CONVERGE_US = 120 * SECOND
AUDIT_US = 35 * SECOND
CONVERGE_STEPS = 2_000
FILE_EVERY = 50  # of so many seeds one lives with a real journal
AGAIN_EVERY = 10  # of so many seeds one is decided again, from its journal
DOUBT_US = 45 * SECOND

#: What a target with a price waits for that is too far from the mark now.
FAR = "a price within limits.price_collar_bps"


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
        journal: MemoryJournal | FileJournal | None = None,
    ) -> None:
        self.seed = seed
        self.draws = Draws(seed, muted)
        self.weather = weather or swarm.draw(seed, self.draws.of("weather"))
        weather = self.weather
        self.mixed = seed >= swarm.MIXED_FROM
        self.mannered = seed >= swarm.MANNERED_FROM
        self.watched = seed >= swarm.WATCHED_FROM
        self.peopled = seed >= swarm.PEOPLED_FROM
        self.manners = manners.ALL if seed >= swarm.NETTED_FROM else manners.NAMES
        self.agenda = Agenda(weather.starts_us)
        self.began_us = self.agenda.now_us
        self.draws.now = lambda: self.agenda.now_us
        self.symbols = SYMBOLS[: weather.symbols]
        self.venue_clock = Clock(self.agenda, weather.venue_ahead_us)
        self.venue_clock_set_us = 0
        self.own_ahead_us = weather.own_ahead_us
        self.exchange = Exchange(self.agenda, self.venue_clock, self.draws, weather, self.symbols)
        self.door = Door(self.agenda, self.draws, weather, self.exchange)
        self.journal = journal or self._journal()
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
            policies=dict(manners.POLICIES) if self.mannered else default_policies(),
        )
        if self.mixed:
            own, whole = purse.limits(self.draws, self.settings.limits)
            if self.watched:
                own, whole = purse.tight(self.draws, own, whole)
                self.exchange.liquidations = self.draws.one("liquidations", (True, True, False))
            self.settings = replace(
                self.settings,
                limits=own,
                account_limits=whole,
                foreign_orders=self.draws.one("foreign", ("count", "count", "cancel", "ignore")),
            )
        if self.watched and self.draws.of("foreign").random() < 0.2:
            self.settings = replace(self.settings, foreign_orders="freeze")
            self.oracle.retold.freezes_strangers = True
        self.people = People(self)
        self.finished = False
        self.healed_us = self.healed_steps = self.converge_us = 0
        self.gap: int | None = None  # of all symbols, when it last took too long
        self.slow = False  # since then a limit of orders a minute was in the way
        self.seconds_to_converge = 0
        self.restarts = self.takeovers = 0
        self.happenings = Happenings(self)
        self.desks = Desks(self)
        self.encore = Encore(self)

    def _journal(self) -> MemoryJournal | FileJournal:
        """In memory, as a disk is slow; but now and then the real one on the real disk."""
        if self.mixed and self.seed % FILE_EVERY == 0:
            return FileJournal()
        return MemoryJournal(thorough=self.seed % 4 == 0)

    # -- the life ----------------------------------------------------------------------------------

    def live(self) -> None:
        """
        From birth to the end.

        Raises:
            Broken: A promise was not kept.
        """
        self.happenings.begin()
        self.desks.begin()
        self._go_on()
        self._end()

    def _go_on(self) -> None:
        """One run of the service after another, until the end."""
        start_us = self.agenda.now_us
        while not self.finished:
            while self.agenda.due_us() <= start_us:
                self.agenda.next()
            self.agenda.now_us = max(self.agenda.now_us, start_us)
            ended = self._run()
            self.restarts += 1
            pause_us = self.draws.ms(f"down after {ended}", 10, 8_000)
            start_us = self.agenda.now_us + (100_000 if self.healed_us else pause_us)

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
            self.weather.beat_us,
        )
        self.oracle.r3_acknowledged_is_durable(process.engine.ledger)
        self.oracle.settled.none_is_lost(process.engine.ledger)
        self.desks.attach(process)
        if self.draws.strikes("crash_again", self.weather.crash_again):
            process.crash_at = self.draws.one("crash_again at", CRASH_POINTS[1:3])
        ended = process.run()
        if process.deposed:
            self.journal.ended(process.epoch)
            return ended
        self._v5_orderly_stop(ended)
        if self.draws.of("snapshot").random() < 0.3:
            if not self.journal.broken:
                self.journal.snapshot(self.journal.recover().ledger)
        self.journal.ended(process.epoch)
        if self.draws.of("wall").random() < 0.2 and not self.healed_us:
            self.own_ahead_us += self.draws.one("wall", (-3_600, -7, 7, 3_600)) * SECOND
        return ended

    def take_over(self) -> None:
        """
        The process that runs is suspended, and another one started in its place.

        All that is left of the world's time passes inside this call: the process that was
        suspended waits beneath it. It wakes for one turn, and finds that it may not write.
        """
        old = self.process
        assert old is not None
        self.takeovers += 1
        old.suspend()
        wakes_us = self.draws.ms("wakes", 100, 60_000)
        self.later(wakes_us, partial(self._wakes, old))
        self.agenda.now_us += self.draws.ms("takes over", 1, 3_000)
        self._go_on()

    def _wakes(self, old: Process) -> None:
        """R5: a process whose place was taken can write nothing, and sends no order."""
        if self.finished:
            return
        if self.journal.epoch == old.epoch:  # its place is not taken yet
            self.later(SECOND, partial(self._wakes, old))
            return
        self.oracle.checks += 1
        if not old.refused():
            raise Broken("R5", f"epoch {old.epoch} wrote after {self.journal.epoch} had begun")

    def later(self, delay_us: int, call: Callable[[], None]) -> None:
        """Have *call* called after a while."""
        self.agenda.later(delay_us, call)

    @property
    def up(self) -> Process | None:
        """The process, if it is alive."""
        process = self.process
        return process if process is not None and not process._over else None

    # -- fair weather ------------------------------------------------------------------------------

    def heal(self) -> None:
        """No faults from now on, and nobody but us."""
        self.healed_us = self.agenda.now_us
        self.draws.calm = True
        self.network.rest_down = self.network.stream_down = False
        self.weather.fill_mean_us = 2 * SECOND
        if self.weather.quote_us > 8 * SECOND:
            self.weather.quote_us = 3 * SECOND
            for symbol in self.symbols:
                self.happenings._quote(symbol)
        self.journal.fault = ""
        for order in list(self.exchange.alive.values()):
            if order.own:  # who was to come in minutes comes in seconds, too
                self.exchange._fill_later(order)
            else:
                self.exchange._end(order, "Canceled", "Canceled by hand.", "update")
        for symbol in self.symbols:
            if not self.exchange.rules[symbol].open:
                self.happenings.open_market(symbol, True)
        feed = self.network.feed
        if feed is not None:
            feed.muted = False
        if self.process is not None:
            self.process.crash_at = ""
            self.process.paused_until_us = 0
        self.desks.heal()
        self.people.heal()
        self.later(9 * SECOND, self._last_targets)
        self.later(40 * SECOND, self.happenings.resume)
        self.later(75 * SECOND, self.happenings.resume)

    def _last_targets(self) -> None:
        """An operator has a look, and says what to hold."""
        if self.up is None or self.up.engine.ledger.stopping:
            self.later(SECOND, self._last_targets)
            return
        self.healed_us, self.healed_steps = self.agenda.now_us, self.oracle.steps
        self.happenings.resume()
        for name in self.up.engine.ledger.schedules:
            self.up.set_schedule(name, ())
        for symbol in self.symbols:
            self.happenings.new_target(symbol, ttl=False)
        self.desks.last_word()
        self.later(SECOND, self._look)

    def _look(self) -> None:
        """V1, V3: is everything where it should be?"""
        passed_us = self.agenda.now_us - self.healed_us
        # Lost rows that add up to nothing show in no position: the regular audit finds them.
        if self.settled() and (passed_us > AUDIT_US or not self.oracle.never_booked()):
            self.seconds_to_converge = passed_us // SECOND
            self.later(4 * SECOND, self._finish)
            return
        self.converge_us = self.converge_us or self.patience_us()
        self.slow = self.slow or self._waits_for_minutes()
        if passed_us > self.converge_us and self._comes_nearer():
            self.converge_us += 60 * SECOND  # small slices, and so many orders a minute
        if passed_us > self.converge_us:
            raise Broken("V1", f"not there after {self.converge_us // SECOND} s: {self.told()}")
        steps = self.oracle.steps - self.healed_steps
        if steps > CONVERGE_STEPS and self.oracle.inside:
            raise Broken("V1", f"not there after {CONVERGE_STEPS} steps: {self.told()}")
        self._v3_doubt_ends(passed_us)
        self.later(SECOND, self._look)

    def _comes_nearer(self) -> bool:
        """Whether nothing but the number of orders a minute makes it slow: each minute, nearer."""
        assert self.process is not None
        books = self.process.engine.ledger.books.values()
        gap = sum(abs(b.target.contracts - b.position) for b in books if b.target is not None)
        before, self.gap = self.gap, gap
        slow, self.slow = self.slow, False
        return slow and (before is None or gap < before)

    def _waits_for_minutes(self) -> bool:
        """Whether a limit of orders a minute is in the way now; in the end it lets one go again."""
        assert self.process is not None
        books = self.process.engine.ledger.books.values()
        return any(book.waiting_for.startswith("limits.max_orders_per_minute") for book in books)

    def patience_us(self) -> int:
        """How long every symbol may take to its target."""
        return CONVERGE_US + self._minutes_of_orders() * 60 * SECOND

    def _minutes_of_orders(self) -> int:
        """
        How much longer the limits make a way that is long: so large an order, so many a minute.

        Twice as many orders as the way has, for one may find nobody to trade with; and the orders
        of the storm's last minute may have spent the first.
        """
        limits, orders = self.settings.limits, 0
        for symbol in self.symbols:
            target = self.oracle.wanted.get(symbol) or 0
            gap = abs(target - self.exchange.position[symbol])
            largest = limits.max_order_contracts
            if limits.max_order_notional_minor:
                largest = min(largest, limits.max_order_notional_minor // 1_200_000)
            orders += -(-gap // (min(largest, manners.SLICE) if self.mannered else largest))
        minutes = 1 - (-2 * orders // limits.max_orders_per_minute)
        return max(0, minutes - CONVERGE_US // (60 * SECOND))

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
        if self.mixed and not self.settled():
            self._look()  # the mark has moved: a limit in money has let go meanwhile
            return
        self.oracle.quiet()
        if self.encore.word:
            self.encore.begin()
        else:
            self.over()

    def over(self) -> None:
        """This was it."""
        if self.encore.begun:
            self.encore.stranger_is_treated()
            at_the_end.books(self.oracle)
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
        if self.journal.has_snapshot and codec.encode(self.journal.recover().ledger) != found:
            raise Broken("R1", "the newest snapshot and its tail are another ledger")
        if isinstance(self.journal, FileJournal) or self.seed % AGAIN_EVERY == 0:
            self.oracle.checks += 1
            difference = self.journal.decide_again(found)
            if difference:
                raise Broken("R1", f"decided again: {difference}")

    def settled(self) -> bool:
        """Whether every symbol is on its target."""
        process = self.up
        if process is None:
            return False
        return all(self._is_there(book) for book in process.engine.ledger.books.values())

    def _is_there(self, book: Any) -> bool:
        if not self.weather.assumptions_hold and (book.frozen or self._account_is_frozen()):
            return True  # what cannot be explained was noticed, and waits for a person
        if book.target is None or book.state is not State.IDLE or not book.confirmed:
            return False
        truth = self.exchange.position[book.symbol]
        named = ("room below", "nothing: the gap", *purse.BLOCKED)  # states
        assert self.process is not None
        blocked = book.waiting_for.startswith(named)
        blocked = blocked or at_the_end.ran_away(self.process.engine.ledger, book)
        if book.target.price is not None:  # the market has left the signal's price behind
            blocked = blocked or book.waiting_for.startswith(FAR)
        if self.exchange.rules[book.symbol].state == "Settled":
            blocked = book.waiting_for.startswith("the market to open")
        gap = abs(book.position - book.target.contracts)
        band = policy_of(self.settings, book.target.policy).band_contracts
        band = band if book.target.contracts else 0  # out is out
        return bool(truth == book.position and (gap <= band or blocked))

    def _account_is_frozen(self) -> bool:
        return self.process is not None and bool(self.process.engine.ledger.frozen)

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
        return (self.agenda.now_us - self.began_us) / SECOND
