"""
The last word of a life: V1 and O7 for what a person says, and for what a target says of its end.

Once all is quiet somebody flattens, pauses, reduces only, halts or freezes, or sets a target that
runs out; then somebody else goes on wanting. What must come of it is judged at the venue: a flatten
reaches zero, reduce-only never leads away from it, and the others leave no order and move nothing.
With the patience that a target has; what a word has to take away is gone within `GONE_US`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.events import AnyEvent, Halted, ModeSet
from reconciler.simulation import manners, purse
from reconciler.simulation.agenda import SECOND
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.world import World

ODDS = 0.3  # of the lives with one
GONE_US = 30 * SECOND
STAYS_US = 8 * SECOND  # and is seen not to come back
MODES = ("flatten", "pause", "reduce_only", "freeze", "halt")
ENDS = {"hold": "hold", "flat": "flatten", "frozen": "freeze"}  # of a target that runs out
LEADS = ("flatten", "reduce_only", "flat")  # to somewhere; the others keep all as it is


class Encore:
    """The last word of one life."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.begun = False
        self.word = ""
        if world.watched and world.draws.of("encore").random() < ODDS:
            self.word = world.draws.one("encore", (*MODES, *ENDS, "stranger"))
        self._symbol = ""
        self._said_us = 0
        self._from: dict[str, int] = {}  # where own fills had led when all was as it was to be
        self._least = 0  # of the position, without sign, since then
        self._goal = 0
        self._reached = False
        self._since_us = 0  # it is, or a limit is in the way that has a name
        self._stranger = ""

    def begin(self) -> None:
        """Say it."""
        world, draws = self.world, self.world.draws
        trading = [s for s in world.symbols if world.exchange.rules[s].open]
        if not trading or world.up is None or not world.weather.assumptions_hold:
            world.over()
            return
        self.begun, self._symbol = True, draws.one("encore", trading)
        self._said_us = world.agenda.now_us
        if self.word in ENDS:
            ttl_us = draws.ms("encore", 1_000, 6_000)
            self._want(ttl_us, ENDS[self.word])
            self._said_us += ttl_us
            world.later(ttl_us + SECOND, self._look)
            return
        if self.word == "stranger":
            world.exchange.person_places(self._symbol, draws.one("encore", (-100, 100)))
            self._stranger = next(reversed(world.exchange.orders))
        else:
            self._say(draws.one("encore", ((), (self._symbol,))))
        world.later(SECOND, self._look)

    def _say(self, symbols: tuple[str, ...]) -> None:
        process = self.world.up
        assert process is not None
        now_us = process.loop.now_us()
        event: AnyEvent = Halted(at_us=now_us, by="sim", reason="encore", symbols=symbols)
        if self.word != "halt":
            event = ModeSet(
                at_us=now_us, mode=self.word, by="sim", reason="encore", symbols=symbols
            )
        process.post(lambda ledger: [event])

    def _want(self, ttl_us: int = 0, on_expiry: str = "hold") -> None:
        """Somebody goes on wanting, on either side and more or less than there is."""
        world = self.world
        contracts = world.draws.of("encore").randint(-3, 3) * 100
        policy = world.draws.one("encore", manners.NAMES)
        world.up.set_target(  # type: ignore[union-attr]  # in fair weather it is
            self._symbol, contracts, policy, ttl_us, on_expiry, world.oracle.acknowledge
        )
        held = world.exchange.position[self._symbol]
        self._goal = 0
        if self.word == "reduce_only" and contracts * held > 0:
            self._goal = contracts if abs(contracts) < abs(held) else held

    # -- every second ------------------------------------------------------------------------------

    def _look(self) -> None:
        world, symbol = self.world, self._symbol
        exchange = world.exchange
        if not self._from:
            self._begin_to_judge()
        elif self.word in LEADS:
            self._is_led()
        elif self._is_still() and exchange.own[symbol] != self._from[symbol]:
            moved = exchange.own[symbol] - self._from[symbol]
            raise Broken("O7", f"{symbol} was moved by {moved:+d} after: {self.word}")
        if self._since_us and world.agenda.now_us - self._since_us >= STAYS_US:
            world.over()
        else:
            world.later(SECOND, self._look)

    def _begin_to_judge(self) -> None:
        """Once nothing rests that must not; then somebody wants something again."""
        world, symbol = self.world, self._symbol
        unwanted = [
            order
            for order in world.exchange.own_open(symbol)
            if self._is_still() or (self.word != "flat" and not order.reduce_only)
        ]
        if unwanted:
            if world.agenda.now_us - self._said_us > GONE_US:
                raise Broken("O7", f"{unwanted[0].cl_ord_id} rests, after: {self.word}")
            return
        self._from = dict(world.exchange.own)
        self._least = abs(world.exchange.position[symbol])
        self._said_us = world.agenda.now_us
        if self.word not in LEADS:
            self._since_us = world.agenda.now_us
        if self.word not in ENDS:
            self._want()

    def _is_still(self) -> bool:
        """Whether no order of ours may be there at all."""
        if self.word == "stranger":
            return self.world.settings.foreign_orders == "freeze"
        return self.word not in LEADS

    def _is_led(self) -> None:
        world, symbol = self.world, self._symbol
        held, lot = world.exchange.position[symbol], world.exchange.rules[symbol].lot
        if self.word == "reduce_only" and abs(held) > self._least:
            raise Broken("O7", f"{symbol} holds {held:+d}, and held {self._least}: {self.word}")
        self._least = min(self._least, abs(held))
        away = abs(held - self._goal)
        if away < lot or self._is_named():
            self._reached = self._reached or away < lot
            self._since_us = self._since_us or world.agenda.now_us
            return
        if self._since_us and not self._reached:  # another day: the limit has let go
            self._since_us, self._said_us = 0, world.agenda.now_us
        if self._reached and self.word != "flat":
            raise Broken("V1", f"{symbol} holds {held:+d} again, after: {self.word}")
        if world.agenda.now_us - self._said_us > world.patience_us():
            raise Broken("V1", f"{symbol} holds {held:+d}, after: {self.word}; {world.told()}")

    def _is_named(self) -> bool:
        """Whether a limit on the number of orders is in the way, or the throttle."""
        process = self.world.up
        if process is None:
            return False
        book = process.engine.ledger.book(self._symbol)
        return book.frozen_by == "runaway" or book.waiting_for.startswith(purse.OF_REQUESTS)

    def stranger_is_treated(self) -> None:
        """VENUE-7: an order that is not ours is cancelled by us under that rule, and only then."""
        if not self._stranger:
            return
        order, rule = self.world.exchange.orders[self._stranger], self.world.settings.foreign_orders
        by_us = order.text == "Canceled via API."
        if by_us != (rule == "cancel") and (by_us or order.open):
            raise Broken("VENUE-7", f"foreign_orders = {rule}, and {order.text!r} was its end")
