"""
What happens to a service in a storm: faults, people, new targets, and what the venue does itself.

Each kind comes in its own time, as the weather has it, from its own stream of random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.core.events import Halted, ModeSet, Resumed
from reconciler.simulation import manners, parts, timetable
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.listings import STRANGER
from reconciler.simulation.process import CRASH_POINTS

if TYPE_CHECKING:
    from reconciler.simulation.world import World

MOST_TAKEOVERS = 3


class Happenings:
    """What happens in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.draws, self.later, self.symbols = world.draws, world.later, world.symbols
        self.exchange, self.oracle = world.exchange, world.oracle

    def begin(self) -> None:
        """Faults, people and new targets, each in its own time."""
        weather = self.world.weather
        self.later(1 * SECOND, partial(self.new_target, self.symbols[0]))
        for name, happen in self._happenings().items():
            mean_us = getattr(weather, name)
            if mean_us:
                self._again(name, mean_us, happen)
        if weather.settle_us:
            self.later(weather.settle_us, self._settle)
        for symbol in self.symbols:
            self._quote(symbol)
        self.later(weather.storm_us, self.world.heal)

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
            "door_shut_us": self._door_shut,
            "flap_us": self._flap,
            "rules_us": self._rules,
            "takeover_us": self._takeover,
            "wall_us": self._wall,
            "stranger_us": self._stranger,
            "table_us": self._table,
            "doors_us": self._two_doors,
            **self.world.people.happenings(),
        }

    def _again(self, name: str, mean_us: int, happen: Callable[[], None]) -> None:
        def now() -> None:
            if self.world.healed_us:
                return
            if name == "target_us" or self.draws.strikes(name, 1.0):
                happen()
            self._again(name, mean_us, happen)

        self.later(self.draws.after(f"when {name}", mean_us), now)

    # -- what happens ------------------------------------------------------------------------------

    def _any_target(self) -> None:
        self.new_target(self.draws.one("target", self.symbols))

    def new_target(self, symbol: str, ttl: bool = True) -> None:
        process = self.world.up
        if process is None:
            return
        contracts = self.draws.of("target").randint(-3, 3) * 100
        policy = self.draws.one("target", manners.OLD)
        if self.world.mannered:
            policy = self.draws.one("policy", self.world.manners)
        ttl_us = 0
        if ttl and self.draws.of("target").random() < 0.1:
            ttl_us = self.draws.ms("target", 1_000, 60_000)
        on_expiry = "hold" if contracts else "flatten"
        if self.world.watched and ttl_us:
            on_expiry = self.draws.one("on expiry", ("hold", "flatten", "freeze"))
            if on_expiry == "freeze":
                self.later(ttl_us + self.draws.ms("operator", 3_000, 15_000), self.resume)
        process.set_target(
            symbol,
            contracts,
            policy,
            ttl_us,
            on_expiry,
            self.oracle.acknowledge,
            **self._more_of_it(symbol, contracts),
        )

    def _more_of_it(self, symbol: str, contracts: int) -> dict[str, Any]:
        """At times a deadline, the price that a signal was given at, or strategies' shares."""
        if not self.world.mannered:
            return {}
        draw, mark = self.draws.of("more of a target").random, self.exchange.marks[symbol]
        price = mark + self.draws.one("signal", (-1, 0, 1)) if draw() < 0.5 else None
        in_us = self.draws.ms("deadline", 2_000, 60_000) if draw() < 0.2 else None
        shares = () if self.world.desks.open else parts.drawn(self.draws, contracts)
        return {"price": price, "in_us": in_us, "shares": shares}

    def _quote(self, symbol: str) -> None:
        exchange, rng = self.exchange, self.draws.of("price")
        base = 100 + 10 * self.symbols.index(symbol)
        mark = exchange.marks[symbol]
        mark += type(mark)(rng.choice((-1, 0, 0, 1))) / 2
        exchange.move_mark(symbol, min(max(mark, type(mark)(base - 5)), type(mark)(base + 5)))
        feed = self.world.network.feed
        if feed is not None:
            quote = feed.quote_row(symbol)
            if self.draws.strikes("bad_quote", self.world.weather.bad_quote):
                quote.update(self._bad_quote(quote))
            feed.row("quote", "insert", quote)
            if self.world.mannered:
                feed.row("trade", "insert", feed.trade_row(symbol))
                feed.row("margin", "update", feed.margin_row())
            row: dict[str, object] = {"symbol": symbol, "markPrice": exchange.marks[symbol]}
            feed.row("instrument", "update", row)
        self.later(
            self.draws.after("quote", self.world.weather.quote_us),
            partial(self._quote, symbol),
        )

    def _drop(self) -> None:
        process, feed = self.world.up, self.world.network.feed
        if process is not None and feed is not None:
            feed.open = False
            self.later(self.draws.ms("notice", 0, 3_000), process.gateway.sim_stream.ended)

    def _half_open(self) -> None:
        if self.world.network.feed is not None:
            self.world.network.feed.silent = True

    def _mute(self) -> None:
        feed = self.world.network.feed
        if feed is not None:
            feed.muted = True

            def speaks() -> None:
                feed.muted = False

            self.later(self.draws.ms("mute", 500, 20_000), speaks)

    def _second_partial(self) -> None:
        feed = self.world.network.feed
        if feed is not None and "order" in feed._tables and not feed.muted:
            feed.image(self.draws.one("partial", ("order", "position", "execution", "margin")))

    def _crash(self) -> None:
        process = self.world.up
        if process is None:
            return
        process.crash_at = self.draws.one("crash", CRASH_POINTS[: None if self.world.mixed else 4])

        def at_last() -> None:
            if process.crash_at:
                process.crash_at = "while waiting"

        self.later(5 * SECOND, at_last)

    def _storage_fault(self) -> None:
        self.world.journal.fault = self.draws.one("storage", ("before", "after"))

    def _pause(self) -> None:
        if self.world.up is not None:
            pause_us = self.draws.ms("pause", 500, 20_000)
            self.world.up.paused_until_us = self.world.agenda.now_us + pause_us

    def _stop(self) -> None:
        if self.world.up is not None:
            self.world.up.stop()

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
            self.later(self.draws.ms("operator", 3_000, 15_000), self.resume)

    def _funding(self) -> None:
        self.exchange.pay_funding(self.draws.one("funding", self.symbols))

    def _market(self) -> None:
        self.open_market(self.draws.one("market", self.symbols), False)

    def open_market(self, symbol: str, is_open: bool) -> None:
        rules = self.exchange.rules[symbol]
        if rules.state == "Settled":
            return
        rules.state = "Open" if is_open else "Closed"
        self.oracle.something_changed(symbol)
        feed = self.world.network.feed
        if feed is not None:
            feed.row("instrument", "update", {"symbol": symbol, "state": rules.state})
        if not is_open:
            reopen = partial(self.open_market, symbol, True)
            self.later(self.draws.ms("market", 500, 20_000), reopen)

    def _rest_down(self) -> None:
        self.world.network.rest_down = True

        def up() -> None:
            self.world.network.rest_down = False

        self.later(self.draws.ms("rest", 1_000, 20_000), up)

    def _halt(self) -> None:
        if self.world.up is None:
            return
        symbols = self.draws.one("halt", ((), self.symbols[:1]))
        mode = self.draws.one("mode", ("", "", "pause", "reduce_only"))
        if mode == "reduce_only" and self.draws.one("flatten", (False, True)):
            mode = "flatten"
        if mode:
            self._tell_mode(mode, symbols)
        else:
            self._tell(Halted, symbols)
        self.later(self.draws.ms("halt", 500, 20_000), self.resume)

    def resume(self) -> None:
        """Somebody has looked; but the last word is the last."""
        if self.world.up is not None and not self.world.encore.begun:
            self.oracle.something_changed("")
            self._tell(Resumed, ())

    def _tell(self, kind: type[Halted] | type[Resumed], symbols: tuple[str, ...]) -> None:
        process = self.world.up
        if process is not None:
            now_us = process.loop.now_us()
            event = kind(at_us=now_us, by="sim", reason="drill", symbols=symbols)
            process.post(lambda ledger: [event])

    def _tell_mode(self, mode: str, symbols: tuple[str, ...]) -> None:
        """One of these; at times with an end, which may come before the resume."""
        process = self.world.up
        assert process is not None
        now_us = process.loop.now_us()
        ends = self.draws.one("mode", (False, True))
        until_us = now_us + self.draws.ms("mode", 500, 20_000) if ends else None
        event = ModeSet(
            at_us=now_us, mode=mode, by="sim", reason="drill", symbols=symbols, until_us=until_us
        )
        process.post(lambda ledger: [event])
        if until_us is not None:  # another reason for an order, as a resume is
            self.later(until_us - now_us, partial(self.oracle.something_changed, ""))

    def _venue_clock(self) -> None:
        self.world.venue_clock_set_us = self.world.agenda.now_us
        self.world.venue_clock.jump(self.draws.ms("venue clock", -900, 900))

    def _bad_quote(self, good: dict[str, object]) -> dict[str, object]:
        """
        Prices that nothing may be decided from: crossed, one-sided, or far from the mark.

        Some that are crossed are near the mark, or the collar alone would keep them out.
        """
        one = self.draws.one("which quote", ("crossed", "no ask", "no bid", "far"))
        if one == "crossed" and self.draws.one("how crossed", (True, False)):
            return {"bidPrice": good["askPrice"], "askPrice": good["bidPrice"]}
        if one == "crossed":
            return {"bidPrice": 104, "askPrice": 98}
        if one == "far":
            return {"bidPrice": 60, "askPrice": 61}
        return {"askPrice" if one == "no ask" else "bidPrice": None}

    def _door_shut(self) -> None:
        """Nobody can connect to the stream for a while, and who was connected no longer is."""
        network = self.world.network
        network.stream_down = True

        def opens() -> None:
            network.stream_down = False

        self._drop()
        self.later(self.draws.ms("door shut", 3_000, 60_000), opens)

    def _flap(self) -> None:
        """Somebody's program changes its mind a hundred times a second."""
        symbol = self.draws.one("flap", self.symbols)
        most = self.draws.one("whims", (30, 30, 400)) if self.world.mannered else 30
        for number in range(self.draws.of("flap").randint(5, most)):
            self.later(number * 10_000, partial(self.new_target, symbol))

    def _table(self) -> None:
        """Somebody sets a table of times and targets, or takes one away."""
        process = self.world.up
        if process is not None:
            found = timetable.rows(self.draws, process.loop.now_us(), self.symbols)
            process.set_schedule(self.draws.one("table", timetable.NAMES), found)

    def _two_doors(self) -> None:
        """Two want to replace one version; at times that one is replaced already."""
        process = self.world.up
        if process is not None:
            symbol = self.draws.one("doors", self.symbols)
            version = process.engine.ledger.book(symbol).version
            version = max(version - self.draws.one("doors", (0, 0, 0, 1)), 0)
            self.oracle.timetable.two_doors(process, symbol, version, self.draws)

    def _rules(self) -> None:
        """The venue changes the lot or the tick of an instrument."""
        symbol = self.draws.one("rules", self.symbols)
        exchange = self.exchange
        rules = exchange.rules[symbol]
        rules.lot = self.draws.one("rules", (1, 10, 100))
        rules.tick = type(rules.tick)(self.draws.one("rules", ("0.1", "0.5", "1")))
        self.oracle.something_changed(symbol)
        feed = self.world.network.feed
        if feed is not None:
            said = {"symbol": symbol, "lotSize": rules.lot, "tickSize": rules.tick}
            feed.row("instrument", "update", said)

    def _settle(self) -> None:
        """A contract ends: the venue closes every position in it, and it never trades again."""
        if not self.world.healed_us:
            symbol = self.symbols[-1]
            self.open_market(symbol, False)
            self.exchange.settle(symbol)
            feed = self.world.network.feed
            if feed is not None:
                feed.row("instrument", "update", {"symbol": symbol, "state": "Settled"})

    def _takeover(self) -> None:
        """The machine is suspended, another takes the journal over; then the first one wakes."""
        if self.world.up is not None and self.world.takeovers < MOST_TAKEOVERS:
            self.world.take_over()

    def _wall(self) -> None:
        """Somebody sets the machine's clock. Whoever runs must not notice; who starts next does."""
        self.world.own_ahead_us += self.draws.one("wall jump", (-3_600, -5, 5, 3_600)) * SECOND

    def _stranger(self) -> None:
        """An order that bears our very installation's name, and that nobody here decided."""
        symbol = self.draws.one("stranger", self.symbols)
        name = f"{STRANGER}{self.world.agenda.now_us % 10**6:06d}"
        self.oracle.anomaly(symbol, name, "an order of ours that nobody decided")
        self.exchange.person_places(symbol, 100, name)
