"""
What befalls an order, an amend or a cancel inside the engine (the catalogue's ENGINE faults).

Everything that happens here happens at the exchange like anything else: a fill that a fault brings
about is a trade with the house, and a cancel that comes too late was refused. Nothing is pretended.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from . import errors
from .agenda import Agenda
from .exchange import Exchange
from .faults import ENGINE
from .intake import Amend
from .orders import POST_ONLY, NewOrder, Order, Row
from .quirks import Quirks

if TYPE_CHECKING:
    from .stream import Hub

PIECES = 5


class OrderFaults:
    """Placing, amending and canceling, with the faults that befall them."""

    def __init__(self, exchange: Exchange, hub: Hub, quirks: Quirks) -> None:
        self._exchange = exchange
        self._hub = hub
        self._quirks = quirks
        self.agenda = Agenda()

    # -- placing ---------------------------------------------------------------------------------

    def place(self, account: int, new: NewOrder, now_ms: int) -> Row:
        """
        As `Exchange.place`, with faults.

        Raises:
            Refusal: as there; a fault may refuse what was taken in.
        """
        if not self._quirks.any_on(ENGINE):
            return self._exchange.place(account, new, now_ms).row()
        quirks, symbol = self._quirks, new.instrument.symbol
        if quirks.strikes("reject-in-200", symbol):
            return self._exchange.refuse_row(account, new, "Market is not open", now_ms).row()
        if quirks.strikes("reject-twice", symbol):
            self._exchange.refuse_row(account, new, "Invalid price", now_ms)
            raise errors.bad_request("Invalid price")
        order = self._exchange.place(account, new, now_ms)
        if order.working:
            self._befall(order, now_ms)
        if new.cl_ord_id and quirks.strikes("double-request", symbol):
            self._again(account, new, now_ms)
        if new.cl_ord_id and quirks.strikes("duplicate-refusal", symbol):
            raise errors.bad_request("Duplicate clOrdID")
        return order.row()

    def _befall(self, order: Order, now_ms: int) -> None:
        """What may happen to an order that has just come to rest."""
        quirks, symbol = self._quirks, order.instrument.symbol
        exchange = self._exchange
        if POST_ONLY in order.exec_inst and quirks.strikes("post-only-killed", symbol):
            exchange.kill(order, f"{errors.POST_ONLY_CANCELED}\n{order.text}", now_ms)
        elif quirks.strikes("fill-at-once", symbol):
            exchange.fill_from_house(order, order.leaves, now_ms)
        elif quirks.strikes("fill-in-pieces", symbol):
            self._fill_in_pieces(order, now_ms)
        elif quirks.strikes("drop-and-fill", symbol):
            self._hub.disconnect(order.account)
            wait_ms = int(quirks.seconds("drop-and-fill", 0.2, 1.0) * 1000)
            self.agenda.at(now_ms + wait_ms, partial(self._fill_later, order))

    def _fill_in_pieces(self, order: Order, now_ms: int) -> None:
        lot = order.instrument.lot
        piece = max(lot, order.leaves // PIECES // lot * lot)
        for number in range(PIECES):
            last = number == PIECES - 1
            if order.working:
                size = order.leaves if last else min(piece, order.leaves)
                self._exchange.fill_from_house(order, size, now_ms)

    def _fill_later(self, order: Order, now_ms: int) -> None:
        if order.working:
            self._exchange.fill_from_house(order, order.leaves, now_ms)

    def _again(self, account: int, new: NewOrder, now_ms: int) -> None:
        """The copy of a request that somebody on the way repeated."""
        self._exchange.forget_client_id(account, new.cl_ord_id)
        try:
            self._exchange.place(account, new, now_ms)
        except errors.Refusal:
            pass  # the copy was refused for what the first one did: nobody hears of it

    # -- amending and canceling ------------------------------------------------------------------

    def amend(self, account: int, asked: Amend, now_ms: int) -> Row:
        """As `Exchange.amend`, perhaps just after a fill."""
        order = self._exchange.find(account, asked.order_id, asked.orig_cl_ord_id)
        if order is not None and order.working:
            if self._quirks.strikes("amend-race", order.instrument.symbol):
                self._fill_half(order, now_ms)
        return self._exchange.amend(account, asked, now_ms).row()

    def cancel(
        self, account: int, order_ids: Sequence[str], client_ids: Sequence[str], text: str,
        now_ms: int,
    ) -> list[Row]:  # fmt: skip
        """As `Exchange.cancel`, with faults."""
        exchange = self._exchange
        if not self._quirks.any_on(ENGINE):
            return exchange.cancel(account, order_ids, client_ids, text, now_ms)
        rows: list[Row] = []
        for order_id, client_id in [(i, "") for i in order_ids] + [("", c) for c in client_ids]:
            order = exchange.find(account, order_id, client_id)
            row = None
            if order is not None and order.working:
                row = self._instead(order, text, now_ms)
            if row is not None:
                rows.append(row)
            else:
                ids = ([order_id], []) if order_id else ([], [client_id])
                rows += exchange.cancel(account, *ids, text, now_ms)
        return rows

    def _instead(self, order: Order, text: str, now_ms: int) -> Row | None:
        """What happens before a cancel; a row when the cancel itself does not happen now."""
        quirks, symbol = self._quirks, order.instrument.symbol
        if quirks.strikes("cancel-race", symbol):
            self._exchange.fill_from_house(order, order.leaves, now_ms)
            return None
        if quirks.strikes("cancel-refused", symbol):
            return self._exchange.refuse_cancel(order, now_ms)
        if quirks.strikes("pending-cancel", symbol):
            wait_ms = int(quirks.seconds("pending-cancel", 0.2, 2.0) * 1000)
            too_late = quirks.stream("pending-cancel").random() < 0.5
            self.agenda.at(now_ms + wait_ms, partial(self._cancel_later, order, text, too_late))
            return self._exchange.pend_cancel(order, now_ms)
        if quirks.strikes("fill-after-cancel", symbol):
            self._fill_half(order, now_ms)
            wait_s = quirks.seconds("fill-after-cancel", 0.2, 2.0)
            self._hub.faults.hold(order.account, "execution", wait_s)
        return None

    def _cancel_later(self, order: Order, text: str, too_late: bool, now_ms: int) -> None:
        if too_late and order.working:
            self._exchange.fill_from_house(order, order.leaves, now_ms)
        self._exchange.cancel(order.account, [order.order_id], [], text, now_ms)

    def _fill_half(self, order: Order, now_ms: int) -> None:
        lot = order.instrument.lot
        part = max(lot, order.leaves // 2 // lot * lot)
        self._exchange.fill_from_house(order, min(part, order.leaves), now_ms)
