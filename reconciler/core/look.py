"""
One look at one book: what it reads, what it decides, and the notes that it leaves.

The subjects are in `working` (an order that is there), `placing` (a new one) and `proving` (what
must be looked up or ended); `plan` puts them together.
"""

from __future__ import annotations

from reconciler.core.decisions import AnyDecision, CancelOrder, WaitingFor
from reconciler.core.ledger import NEVER_US, Book, Order
from reconciler.core.limits import watch
from reconciler.core.targets import modes
from reconciler.core.turn import Turn


class Look:
    """One look at one book."""

    __slots__ = (
        "at_us", "book", "decisions", "ledger", "rules", "timing", "turn", "waiting_for", "wake_us",
        "wants_quote",
    )  # fmt: skip

    def __init__(self, turn: Turn, book: Book) -> None:
        self.turn = turn
        self.ledger = turn.ledger
        self.timing = turn.ledger.settings.timing
        self.rules = turn.ledger.settings.rules_of(book.symbol)
        self.book = book
        self.at_us = turn.at_us
        self.decisions: list[AnyDecision] = []
        self.wake_us = NEVER_US
        self.waiting_for = ""
        self.wants_quote = False

    def stopped(self, order: Order) -> str:
        """Whose word takes *order* away, whatever the target is; "" if it may be there."""
        ledger, book = self.ledger, self.book
        if ledger.stopping and not ledger.keep_orders:
            return f"stopping: {ledger.stopping}"
        if stop := modes.unwanted(ledger, book, order):
            return stop
        return "" if book.symbol in ledger.settings.named else "not a configured symbol"

    def cancel(self, order: Order, why: str) -> None:
        """Cancel, unless a cancel is out; repeat it with growing patience."""
        if order.cancel_id or order.over_us is not None:
            return
        if self.at_us < order.cancel_again_us:
            self.wake(order.cancel_again_us)
            return
        self.decisions.append(
            CancelOrder(
                request_id=self.next_id(),
                cl_ord_id=order.cl_ord_id,
                symbol=order.symbol,
                reason=why,
                order_id=order.order_id if order.zombie else "",
            )
        )

    def quote_is_fresh(self) -> bool:
        """Whether the prices came for this very look, or hardly before."""
        quote = self.book.quote
        return quote is not None and self.at_us - quote.at_us <= self.timing.quote_fresh_us

    def next_id(self) -> int:
        """The number of the next decision."""
        return self.ledger.next_request_id + len(self.decisions)

    def expires_us(self) -> int:
        """Venue time, in whole seconds as the venue wants it, rounded up."""
        return -(-(self.ledger.venue_now_us() + self.timing.expires_after_us) // 10**6) * 10**6

    def wait_for(self, what: str, again_us: int | None = None) -> None:
        """Say what stands in the way, and when time alone may take it away."""
        self.waiting_for = what
        if again_us is not None:
            self.wake(again_us)

    def wake(self, at_us: int) -> None:
        """Look again then. A moment that has passed asks for nothing: this is the look."""
        if at_us > self.at_us:
            self.wake_us = min(self.wake_us, at_us)

    def take_note(self) -> None:
        """Write into the book what was found out: the only thing that a look writes."""
        book = self.book
        if book.target is not None and book.target.expires_us is not None:
            self.wake(book.target.expires_us)
        if book.hits or self.ledger.hits:
            self.wake(watch.day_ends_us(self.at_us))
        if self.rules.of_money:
            self._value_again()
        book.wake_us = self.wake_us
        book.wants_quote = self.wants_quote
        if book.waiting_for != self.waiting_for:
            book.waiting_for = self.waiting_for
            book.waiting_since_us = self.at_us
            self.turn.facts.append(WaitingFor(symbol=book.symbol, what=self.waiting_for))

    def _value_again(self) -> None:
        """What is held needs a mark once in a while: limits of money are set."""
        again_us = watch.value_again_us(self.ledger, self.book)
        if again_us is None:
            return
        self.wake(again_us)
        if self.ledger.in_sync and self.at_us >= again_us:
            self.wants_quote = True
