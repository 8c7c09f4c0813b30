"""
Made-up strategies, whose signals go through the very code of the service to netted targets.

They have no threads: the agenda calls them. They change their minds up to a hundred times a
second, say what is no number, fail and are held or zeroed; portfolios with drawn weights, caps and
ends net what they say, and are written anew while all of this goes on.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reconciler.core.events import StrategyChanged
from reconciler.service import signalling
from reconciler.service.netting import Weights
from reconciler.service.signalling import Desk
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.nets import Nets
from reconciler.strategy.portfolio import Portfolio
from reconciler.strategy.signals import Signal

if TYPE_CHECKING:
    from reconciler.core.ledger import Ledger
    from reconciler.simulation.process import Process
    from reconciler.simulation.world import World

STRATEGIES = ("Ema_1", "Ema_2", "Random_1", "Slow_1")
WEIGHTS = tuple(map(Decimal, ("1", "0.5", "0.333", "-0.7", "2", "0")))
SIZES = tuple(map(Decimal, ("100", "150", "33.3")))
STRENGTHS = tuple(map(Decimal, ("-2", "-1", "-0.37", "-0.1", "0", "0.1", "0.5", "1", "1.9")))
CAPS = (None, None, Decimal("0.8"), Decimal("1.5"))
CAPPED = (None, None, 130, 300)


class Desks:
    """The strategies and portfolios of one life."""

    def __init__(self, world: World) -> None:
        self.world, self.draws = world, world.draws
        self.open = bool(world.weather.signal_us)
        self.portfolios = self._drawn() if self.open else ()
        self.nets = Nets(world.oracle)
        self._news = False  # the weights were written anew, and nobody has read them
        self._failed: set[str] = set()
        self._desk: Desk | None = None

    def _drawn(self) -> tuple[Portfolio, ...]:
        """One to three portfolios; each weighs some of the strategies."""
        one = self.draws.one
        return tuple(
            Portfolio(
                name=f"P{number}",
                strategies={"*_1": one("weight", WEIGHTS)}
                | {name: one("weight", WEIGHTS) for name in STRATEGIES if one("in", (True, False))},
                symbols={symbol: one("size", SIZES) for symbol in self.world.symbols},
                max_strength=one("most strength", CAPS),
                max_contracts={
                    symbol: most
                    for symbol in self.world.symbols
                    if (most := one("most contracts", CAPPED)) is not None
                },
                max_gross=one("gross", CAPS),
                policy=one("policy of a portfolio", ("", *self.world.settings.policies)),
                ttl_s=None if self.world.healed_us else one("ttl", (None, None, 5, 30)),
                on_expiry=one("then", ("", "hold", "flatten")),
            )
            for number in range(one("portfolios", (1, 1, 2, 3)))
        )

    def begin(self) -> None:
        """They speak from now on, each when it likes."""
        if self.open:
            self.later("a signal", self.world.weather.signal_us, self._speak)
            self.later("a burst", 40 * SECOND, self._burst)
            self.later("weights", 60 * SECOND, self._rewrite)
            self.later("failure", 90 * SECOND, self._fail)

    def later(self, name: str, mean_us: int, happen: Any) -> None:
        """Have it happen again and again, until the weather is fair."""

        def now() -> None:
            if not self.world.healed_us:
                happen()
                self.later(name, mean_us, happen)

        self.world.later(self.draws.after(f"when {name}", mean_us), now)

    # -- in a process ------------------------------------------------------------------------------

    def attach(self, process: Process) -> None:
        """A process begins: as `Service` puts a desk into it."""
        if not self.open:
            return
        engine = process.engine
        self.nets.none_is_lost(engine.ledger)
        weights = Weights(self.portfolios, STRATEGIES)
        self.nets.portfolios, self._news = self.portfolios, False
        desk = self._desk = Desk(process.loop, weights, "hold", lambda *_, **__: None, self._read)
        engine.watchers.append(desk.watch)

        def keep() -> None:
            engine.handle(desk.keep(engine.ledger))
            self.nets.look(self.world.symbols)

        def begin() -> None:
            engine.handle(desk.rebalance(engine.ledger, "the start"))
            self.nets.look(self.world.symbols)

        process.loop.housekeeping, process.begun = keep, begin

    def _read(self) -> Weights | None:
        """The weights, if somebody has written them since."""
        if not self._news:
            return None
        self._news, self.nets.portfolios = False, self.portfolios
        return Weights(self.portfolios, STRATEGIES)

    def say(self, name: str, symbol: str, strength: Decimal) -> None:
        """A strategy has an opinion, and does not wait for what comes of it."""
        process, desk = self.world.up, self._desk
        if process is None or process.deposed or desk is None or name in self._failed:
            return
        mark = self.world.exchange.marks[symbol]
        price = self.draws.one("price of a signal", (None, mark, mark + 1))
        said = Signal(strategy=name, symbol=symbol, strength=strength, reason="sim", price=price)
        ticket = signalling._Ticket(said)
        desk._waiting.append(ticket)

        def make(ledger: Ledger) -> Any:
            events, finish = desk._take(ledger)

            def done(after: Ledger) -> None:
                if process.deposed or process.engine.failed:
                    return  # it woke up, and nobody was told
                finish(after)
                result = ticket.result
                self.nets.answered(said, result.number if result else None, ticket.error)

            return events, done

        process.loop.record(make)

    # -- what happens ------------------------------------------------------------------------------

    def _speak(self, strengths: tuple[Decimal, ...] = STRENGTHS) -> None:
        one = self.draws.one
        strength = one("strength", strengths)
        if self.draws.of("nonsense").random() < 0.03:
            strength = Decimal(one("nonsense", ("NaN", "-Infinity")))
        self.say(one("who", STRATEGIES), one("of what", self.world.symbols), strength)

    def _burst(self) -> None:
        """Somebody's strategies change their minds a hundred times a second, or only tremble."""
        tremble = self.draws.one("tremble", (False, True))
        strengths = tuple(Decimal(n) / 1000 for n in (480, 500, 520)) if tremble else STRENGTHS
        for number in range(self.draws.of("burst").randint(20, 400)):
            for _ in range(1 + number % 2):  # every other time two of them at once
                self.world.later(number * 10_000, partial(self._speak, strengths))

    def _rewrite(self) -> None:
        """Somebody writes the weights anew, all of them or one."""
        if self.draws.one("rewrite", (True, False)):
            self.portfolios = self._drawn()
        else:
            first, *others = self.portfolios
            weighs = first.strategies | {"Ema_1": self.draws.one("weight", WEIGHTS)}
            self.portfolios = (replace(first, strategies=weighs), *others)
        self._news = True

    def _fail(self) -> None:
        """A strategy fails, and its signals are held or zeroed; in a while a person starts it."""
        name = self.draws.one("who fails", STRATEGIES)
        if self.world.up is None or name in self._failed:
            return
        self._tell(name, "failed")
        if self.draws.one("on failure", (True, False)):
            for symbol in self.world.symbols:
                self.say(name, symbol, Decimal(0))
        self._failed.add(name)
        self.world.later(self.draws.ms("failed", 2_000, 20_000), partial(self._start, name))

    def _start(self, name: str) -> None:
        if name in self._failed and self.world.up is not None:
            self._failed.discard(name)
            self._tell(name, "running")

    def _tell(self, name: str, state: str) -> None:
        process = self.world.up
        assert process is not None
        at_us = process.loop.now_us()
        process.post(lambda _: [StrategyChanged(at_us=at_us, strategy=name, state=state)])

    def heal(self) -> None:
        """In fair weather no target runs out."""
        self.portfolios = tuple(replace(one, ttl_s=None) for one in self.portfolios)
        self._news = self.open

    def last_word(self) -> None:
        """Everybody runs, and all speak a last time."""
        process = self.world.up
        if not self.open or process is None:
            return
        for name, last in process.engine.ledger.strategies.items():
            if last.state == "failed":  # or the word that it runs was lost in a crash
                self._tell(name, "running")
        self._failed.clear()
        for number in range(self.draws.of("last words").randint(1, 60)):
            self.world.later(number * 10_000, self._speak)
