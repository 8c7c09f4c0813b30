"""
Amending an order (protocol sheet, section 4.3): all is checked first, then all is changed.

An order keeps its place in the queue when it only gets smaller; anything else sends it to the end.
A filled order comes back for a minute when its ``leavesQty`` is raised.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import errors
from .admission import check_limits, check_market, check_trail, pegged
from .intake import Amend, check_qty, check_stop_ticks, check_ticks, peg_offset
from .orders import AT_MARKET, CLOSE, FILLED, NEW, PARTIAL, TRAILING, WAITING, Order
from .triggers import Triggers
from .venue_market import Market

REVIVE_MS = 60_000  # a filled order can be revived by leavesQty this long (section 4.3)
UNCHANGED = "Invalid amend: orderQty, leavesQty, price, stopPx unchanged"


@dataclass(slots=True)
class Terms:
    """What of an order an amend can change."""

    leaves: int
    ticks: int | None
    stop_ticks: int | None
    peg_offset: int | None


class Amending(Triggers):
    """The rules of PUT /order."""

    def amend(self, account: int, asked: Amend, now_ms: int) -> Order:
        """
        Change price, trigger or quantity of an open order.

        Raises:
            Refusal: 400; the order is as it was.
        """
        order, terms, words = self.check_amend(account, asked, now_ms)
        self._apply(order, asked, terms, words, now_ms)
        self._react(now_ms)
        return order

    def check_amend(
        self, account: int, asked: Amend, now_ms: int
    ) -> tuple[Order, Terms, list[str]]:
        """The order, its terms after the amend, and the names of what changes; or a refusal."""
        order = self._amendable(account, asked, now_ms)
        market = self.markets[order.instrument.symbol]
        check_market(market)
        if account in self.suspended:
            raise errors.bad_request("Account is suspended")
        terms = self._terms(order, asked, market)
        words = _words(order, asked, terms)
        if asked.cl_ord_id and asked.cl_ord_id != order.cl_ord_id:
            if self.client_id_is_open(account, asked.cl_ord_id):
                raise errors.bad_request("Duplicate clOrdID")
        elif not words:
            raise errors.bad_request(UNCHANGED)
        elif not order.open and self.client_id_is_open(account, order.cl_ord_id):
            raise errors.bad_request("Duplicate clOrdID")  # its id was used again meanwhile
        if not order.dormant:
            self._back(order, terms, market)
        return order, terms, words

    def _amendable(self, account: int, asked: Amend, now_ms: int) -> Order:
        """The order asked for: open, or filled less than a minute ago and to be revived."""
        order = self.find(account, asked.order_id, asked.orig_cl_ord_id)
        if order is None:
            name = "orderID" if asked.order_id else "origClOrdID"
            raise errors.bad_request(f"Invalid {name}")
        revive = (
            order.status == FILLED
            and asked.leaves is not None
            and now_ms - order.filled_ms <= REVIVE_MS
        )
        if not order.open and not revive:
            raise errors.bad_request(f"Invalid ordStatus: {order.status}")
        return order

    def _terms(self, order: Order, asked: Amend, market: Market) -> Terms:
        """The order's terms as the amend would leave them, or a refusal."""
        terms = Terms(
            self._amended_leaves(order, asked), order.ticks, order.stop_ticks, order.peg_offset
        )
        inst = order.instrument
        if asked.price is not None:
            if order.ord_type in AT_MARKET:
                raise errors.bad_request("Invalid price")  # it has none to change [unsure]
            terms.ticks = check_ticks(inst, asked.price)
            check_limits(market, asked.price)
        if asked.stop is not None or asked.peg_offset is not None:
            self._amended_trigger(order, asked, terms, market)
        return terms

    @staticmethod
    def _amended_trigger(order: Order, asked: Amend, terms: Terms, market: Market) -> None:
        inst = order.instrument
        if order.ord_type in WAITING and order.triggered:
            raise errors.bad_request("Invalid triggered")  # it is past its trigger [unsure]
        if asked.stop is not None:
            if order.ord_type not in WAITING or order.peg_type == TRAILING:
                raise errors.bad_request("Invalid stopPx for ordType")
            terms.stop_ticks = check_stop_ticks(inst, asked.stop)
        offset = peg_offset(inst, asked.peg_offset)
        if offset is None:
            return
        same_side = order.peg_offset is not None and offset * order.peg_offset > 0
        if not order.peg_type or (order.peg_type == TRAILING and not same_side):
            raise errors.bad_request("Invalid pegOffsetValue for pegPriceType")
        terms.peg_offset = offset
        if order.peg_type == TRAILING:
            terms.stop_ticks = check_trail(order, offset, market)
        else:
            terms.ticks = pegged(order, offset, market)

    def _amended_leaves(self, order: Order, asked: Amend) -> int:
        """The open quantity that an amend asks for, or a refusal."""
        inst = order.instrument
        if asked.qty is not None:
            check_qty(inst, asked.qty)
            if asked.qty <= order.cum:
                raise errors.invalid("Invalid orderQty")
            leaves = asked.qty - order.cum
        elif asked.leaves is not None:
            if asked.leaves <= 0 or asked.leaves > inst.max_qty:
                raise errors.invalid("Invalid leavesQty")
            if asked.leaves % inst.lot:
                raise errors.bad_request("Invalid leavesQty for lotSize")
            leaves = asked.leaves
        else:
            return order.leaves
        if order.reduce_only and not order.dormant:
            held = self.position(order.account, inst.symbol).qty
            if -held * order.side <= 0:
                name = CLOSE if CLOSE in order.exec_inst else "ReduceOnly"
                raise errors.nothing_to_reduce(name, order.side_name, held)
            leaves = min(leaves, -held * order.side)
        return leaves

    def _back(self, order: Order, terms: Terms, market: Market) -> None:
        """Ask the account to back an order that grows."""
        if terms.leaves > order.leaves or terms.ticks != order.ticks:
            self._check_margin(order, market, terms.leaves, terms.ticks)

    def _apply(
        self, order: Order, asked: Amend, terms: Terms, words: list[str], now_ms: int
    ) -> None:
        market = self.markets[order.instrument.symbol]
        dormant = order.dormant
        keeps_place = terms.ticks == order.ticks and 0 < terms.leaves <= order.leaves
        if asked.cl_ord_id:
            if self._by_client_id.get((order.account, order.cl_ord_id)) is order:
                del self._by_client_id[order.account, order.cl_ord_id]  # free for another order
            order.cl_ord_id = asked.cl_ord_id
            self._by_client_id[order.account, asked.cl_ord_id] = order
        if words:
            annotation = asked.text or "Submitted via API."
            order.text = f"Amended {' '.join(words)}\n{annotation}"
        order.transact_ms = order.changed_ms = now_ms
        order.qty, order.ticks = order.cum + terms.leaves, terms.ticks
        retrail = order.peg_type == TRAILING and terms.peg_offset != order.peg_offset
        order.stop_ticks, order.peg_offset = terms.stop_ticks, terms.peg_offset
        if retrail:
            self._begin_trail(order, market, now_ms)
        if asked.qty is not None or asked.leaves is not None:
            order.whole = False
        if order.working and keeps_place:
            market.book.shrink(order.order_id, terms.leaves)
        elif not dormant:
            market.book.remove(order.order_id)
        order.leaves = terms.leaves
        order.status = PARTIAL if order.cum else NEW
        self._open.setdefault((order.account, order.instrument.symbol), {})[order.order_id] = order
        self._touch_order(order)
        self._touch(order.account, order.instrument.symbol)
        self._record(order, "Replaced", now_ms)
        if dormant:
            self._moved.add(order.instrument.symbol)  # its new trigger may be reached already
        elif not keeps_place:
            self._enter(order, market, now_ms)


def _words(order: Order, asked: Amend, terms: Terms) -> list[str]:
    """The names of what changes, as the first line of ``text`` has them."""
    words = []
    if terms.leaves != order.leaves:
        words.append("orderQty" if asked.qty is not None else "leavesQty")
    if terms.ticks != order.ticks and asked.price is not None:
        words.append("price")
    if terms.stop_ticks != order.stop_ticks and asked.stop is not None:
        words.append("stopPx")
    if terms.peg_offset != order.peg_offset:
        words.append("pegOffsetValue")
    return words
