"""
The guards: every limit of an order, or of a new price of one, in one list.

Each returns in words which rule says no, or "" when it has nothing against it. They are asked when
an order is decided (or, as it is sized, it is cut to what they leave), and all of them again by
`last_look`, right before it leaves: between the two, other events may have come. What can't be
computed is a no to whatever adds risk. What only reduces it is stopped by no limit of money or
size: but by prices and by the number of requests, as everything is.

docs/limits.md says what each protects from.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from reconciler.core.decisions import AmendOrder, PlaceOrder
from reconciler.core.events import MarginSeen
from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits import worth
from reconciler.core.limits.results import DAY_US
from reconciler.core.limits.sizing import Size, minute_is_full
from reconciler.core.policy import policies
from reconciler.core.settings import Rules


class Ask(NamedTuple):
    """An order that is about to be decided or sent, or a new price of one."""

    rules: Rules  # of its symbol
    contracts: int  # signed, all of it
    price: Decimal | None  # None: not chosen yet
    reduces: bool  # nothing but less risk can come of it
    counted: bool = False  # the ledger holds it already


Guard = Callable[[Ledger, Book, Ask], str]


# -- of the price: asked of every order and every amend -----------------------------------------


def _stream(ledger: Ledger, book: Book, ask: Ask) -> str:
    return "" if ledger.in_sync else "the stream"


def _fresh(ledger: Ledger, book: Book, ask: Ask) -> str:
    stale_us = ask.rules.limits.stale_price_us
    if book.quote is None or book.quote.age_us > stale_us:
        return f"a price younger than {stale_us // 1_000_000} s"
    return ""


def _uncrossed(ledger: Ledger, book: Book, ask: Ask) -> str:
    quote = book.quote
    assert quote is not None  # it is fresh
    if quote.bid is not None and quote.ask is not None and quote.bid >= quote.ask:
        return "an uncrossed book"
    return ""


def _collar(ledger: Ledger, book: Book, ask: Ask) -> str:
    assert book.quote is not None
    assert ask.price is not None
    mark = book.quote.mark
    if mark is None or mark <= 0:
        return "the mark price"
    bps = ask.rules.limits.price_collar_bps
    if policies.outside_collar(ask.price, mark, bps):
        rule = f"limits.price_collar_bps = {bps}"
        return f"a price within {rule} of the mark: {ask.price} against {mark}"
    return ""


def _venues_price(ledger: Ledger, book: Book, ask: Ask) -> str:
    assert book.instrument is not None
    assert ask.price is not None
    most = book.instrument.max_price
    if ask.price <= 0 or (most and ask.price > most):
        return f"a price that the venue allows: {ask.price}"
    return ""


def _order_notional(ledger: Ledger, book: Book, ask: Ask) -> str:
    most = ask.rules.limits.max_order_notional_minor
    if not most or ask.reduces:
        return ""
    assert book.instrument is not None
    assert ask.price is not None
    minor = worth.notional(book.instrument, ask.contracts, ask.price)
    if minor is None or minor > most:
        return f"limits.max_order_notional_minor = {most}: the order is worth {_told(minor)}"
    return ""


# -- of the number of requests: asked of every new order ----------------------------------------


def _orders_a_minute(ledger: Ledger, book: Book, ask: Ask) -> str:
    for placed_us, most in _minutes(ledger, book, ask.rules):
        if minute_is_full(placed_us, ledger.at_us, most + ask.counted) is not None:
            return f"limits.max_orders_per_minute = {most}"
    return ""


def _orders_a_day(ledger: Ledger, book: Book, ask: Ask) -> str:
    own, whole = ask.rules.limits.max_orders_per_day, ask.rules.whole.max_orders_per_day
    for whose, most, name in ((book, own, ""), (ledger, whole, "account.")):
        today = whose.orders_today if whose.orders_day >= ledger.at_us // DAY_US else 0
        if most and today - ask.counted >= most:
            return f"limits.{name}max_orders_per_day = {most}: the next UTC day"
    return ""


# -- of risk: asked of what adds some -----------------------------------------------------------


def _order_size(ledger: Ledger, book: Book, ask: Ask) -> str:
    most = ask.rules.limits.max_order_contracts
    return f"limits.max_order_contracts = {most}" if abs(ask.contracts) > most else ""


def _position(ledger: Ledger, book: Book, ask: Ask) -> str:
    most = ask.rules.limits.max_position_contracts
    worst = worst_end(ledger, book, ask)
    if worst > most:
        return f"room below limits.max_position_contracts = {most}: it could be {worst}"
    return ""


def _position_notional(ledger: Ledger, book: Book, ask: Ask) -> str:
    most = ask.rules.limits.max_position_notional_minor
    assert book.instrument is not None
    assert book.mark is not None  # the price was held against it
    worst = worst_end(ledger, book, ask)
    minor = worth.notional(book.instrument, worst, book.mark)
    if minor is None or minor > most:
        return f"room below limits.max_position_notional_minor = {most}: it could be {_told(minor)}"
    return ""


def _open_orders(ledger: Ledger, book: Book, ask: Ask) -> str:
    most = ask.rules.whole.max_open_orders
    resting = sum(1 for _ in ledger.own_alive()) - ask.counted
    resting += sum(len(other.foreign_orders) for other in ledger.books.values())
    if resting >= most:
        return f"limits.account.max_open_orders = {most}: {resting} are open"
    return ""


def _result_known(ledger: Ledger, book: Book, ask: Ask) -> str:
    if book.paid_minor is not None:
        return ""
    rules = ask.rules
    of_a_day = rules.limits.max_daily_loss_minor or rules.whole.max_daily_loss_minor
    name = "max_daily_loss_minor" if of_a_day else "max_drawdown_minor"
    return f"limits.{name}: a mark to tell the result from"


def _margin_known(ledger: Ledger, book: Book, ask: Ask) -> str:
    if margin_of(ledger, book) is None:
        return "limits.account: a margin row of this connection"
    return ""


def _liquidation_known(ledger: Ledger, book: Book, ask: Ask) -> str:
    least = ask.rules.limits.min_liquidation_bps
    if book.position and book.liquidation_price is None:
        return f"limits.min_liquidation_bps = {least}: a liquidation price"
    return ""


def _hits(ledger: Ledger, book: Book, ask: Ask) -> str:
    """Limits of money that were reached, as `reconciler.core.limits.watch` has noted."""
    hits = ledger.hits or book.hits
    for name in hits:
        return hits[name].words
    return ""


AT_ANY_PRICE: tuple[Guard, ...] = (
    _stream,
    _fresh,
    _uncrossed,
    _collar,
    _venues_price,
    _order_notional,
)
OF_REQUESTS: tuple[Guard, ...] = (_orders_a_minute, _orders_a_day)
#: Of risk, what needs no fresh price and is known before a size is: why wait for a price in vain?
BEFORE_A_PRICE: tuple[Guard, ...] = (_open_orders, _margin_known, _hits)
#: What a size is cut to as it is made, so it need not be asked of it at once: see `sizing`.
CUT_TO: tuple[Guard, ...] = (_order_size, _position)
OF_SIZE: tuple[Guard, ...] = (
    _position_notional,
    _result_known,
    _liquidation_known,
)
#: What may say no for long.
LASTING: tuple[Guard, ...] = (_fresh, _orders_a_day)

#: Guards of limits that may be off, and when they are on.
ON: dict[Guard, Callable[[Rules], object]] = {
    _orders_a_day: lambda r: r.limits.max_orders_per_day or r.whole.max_orders_per_day,
    _open_orders: lambda r: r.whole.max_open_orders,
    _margin_known: lambda r: r.whole.of_losses or r.whole.min_margin_percent,
    _position_notional: lambda r: r.limits.max_position_notional_minor,
    _result_known: lambda r: r.of_losses,
    _liquidation_known: lambda r: r.limits.min_liquidation_bps,
}


class Asked(NamedTuple):
    """The guards of orders under some rules, without those whose limits are off."""

    of_requests: tuple[Guard, ...]
    before_a_price: tuple[Guard, ...]  # of an order that adds risk, as the ones below
    of_size: tuple[Guard, ...]
    of_risk: tuple[Guard, ...]
    lasting: tuple[Guard, ...]
    lasting_risk: tuple[Guard, ...]


@lru_cache(maxsize=1_000)
def asked_under(rules: Rules) -> Asked:
    """Found once for each symbol, for as long as its settings are the same."""

    def on(*guards: Guard) -> tuple[Guard, ...]:
        return tuple(guard for guard in guards if guard not in ON or ON[guard](rules))

    return Asked(
        of_requests=on(*OF_REQUESTS),
        before_a_price=on(*OF_REQUESTS, *BEFORE_A_PRICE),
        of_size=on(*OF_SIZE),
        of_risk=on(*OF_REQUESTS, *CUT_TO, *OF_SIZE, *BEFORE_A_PRICE),
        lasting=on(*LASTING),
        lasting_risk=on(*LASTING, *BEFORE_A_PRICE),
    )


def before_a_price(ledger: Ledger, book: Book, rules: Rules, reduces: bool) -> str:
    """What stands against any order of this kind, whatever its size and price."""
    asked = asked_under(rules)
    guards = asked.of_requests if reduces else asked.before_a_price
    return _first(guards, ledger, book, Ask(rules, 0, None, reduces))


def of_price(ledger: Ledger, book: Book, ask: Ask) -> str:
    """What is wrong with the quote, or with a price that was drawn from it."""
    return _first(AT_ANY_PRICE, ledger, book, ask)


def of_size(ledger: Ledger, book: Book, ask: Ask) -> str:
    """What an order may not add, beside what stands `before_a_price`; "" for one that reduces."""
    return "" if ask.reduces else _first(asked_under(ask.rules).of_size, ledger, book, ask)


def waits_long(ledger: Ledger, book: Book, reduces: bool) -> str:
    """What lets no order of this kind be, and may do so for long."""
    rules = ledger.settings.rules_of(book.symbol)
    asked = asked_under(rules)
    guards = asked.lasting if reduces else asked.lasting_risk
    return _first(guards, ledger, book, Ask(rules, 0, None, reduces))


def last_look(ledger: Ledger, decision: PlaceOrder | AmendOrder) -> str:
    """Right before it is sent: which rule says no by now; "" when it may go. All are asked."""
    book = ledger.book(decision.symbol)
    order = book.orders.get(decision.cl_ord_id)
    if order is None or book.instrument is None:
        return "its order is not in the books"
    rules, reduces = ledger.settings.rules_of(book.symbol), order.reduce_only
    if isinstance(decision, AmendOrder):
        return of_price(ledger, book, Ask(rules, order.contracts, decision.price, reduces, True))
    ask = Ask(rules, decision.contracts, decision.price, reduces, counted=True)
    asked = asked_under(rules)
    guards = AT_ANY_PRICE + (asked.of_requests if reduces else asked.of_risk)
    return _first(guards, ledger, book, ask)


def to_take_back(ledger: Ledger, book: Book, reduces: bool) -> str:
    """Why an order that rests must go: a limit of money was reached since it was placed."""
    if reduces:
        return ""
    return _hits(ledger, book, Ask(ledger.settings.rules_of(book.symbol), 0, None, reduces))


# -- what several ask ------------------------------------------------------------------------------


def fitted(ledger: Ledger, book: Book, size: Size, price: Decimal, rules: Rules) -> Size:
    """*size* cut to what the limits of notional leave of it, in whole lots."""
    limits = rules.limits
    instrument = book.instrument
    assert instrument is not None
    allowed, why = abs(size.contracts), ""
    if size.reduce_only:
        return size
    if limits.max_order_notional_minor:
        most = worth.most_contracts(instrument, limits.max_order_notional_minor, price) or 0
        if most < allowed:
            allowed = most
            why = f"limits.max_order_notional_minor = {limits.max_order_notional_minor}"
    if limits.max_position_notional_minor:
        minor = limits.max_position_notional_minor
        assert book.mark is not None  # the price was held against it
        most = worth.most_contracts(instrument, minor, book.mark) or 0
        ask = Ask(rules, size.contracts, price, False)
        room = most - worst_end(ledger, book, ask) + abs(size.contracts)
        if room < allowed:
            allowed = room
            why = f"room below limits.max_position_notional_minor = {minor}"
    side = 1 if size.contracts > 0 else -1
    lots = max(0, allowed) // instrument.lot * instrument.lot
    return Size(side * lots, False, "" if lots else f"{why}: none of {size.contracts:+d} fits")


def worst_end(ledger: Ledger, book: Book, ask: Ask) -> int:
    """How large the position could become on the side of an order, with all of it filled."""
    low, high = book.worst_case(ledger.settings.foreign_orders != "ignore")
    more = 0 if ask.counted else abs(ask.contracts)
    return more + (high if ask.contracts > 0 else -low)


def margin_of(ledger: Ledger, book: Book) -> MarginSeen | None:
    """The balances that the symbol is settled in, if they were told since the stream was lost."""
    assert book.instrument is not None  # or the gate were shut
    currency = book.instrument.settle_currency
    return ledger.margins[currency] if currency in ledger.margins_told else None


def frees_us(ledger: Ledger, book: Book) -> int | None:
    """When time alone may lift a limit on the number of requests; None: it stands in no way."""
    rules = ledger.settings.rules_of(book.symbol)
    for placed_us, most in _minutes(ledger, book, rules):
        free_us = minute_is_full(placed_us, ledger.at_us, most)
        if free_us is not None:
            return free_us
    if _orders_a_day(ledger, book, Ask(rules, 0, None, True)):
        return (ledger.at_us // DAY_US + 1) * DAY_US
    return None


def _minutes(ledger: Ledger, book: Book, rules: Rules) -> tuple[tuple[list[int], int], ...]:
    own, whole = rules.limits.max_orders_per_minute, rules.whole.max_orders_per_minute
    return (book.placed_us, own), (ledger.placed_us, whole)


def _first(guards: tuple[Guard, ...], ledger: Ledger, book: Book, ask: Ask) -> str:
    for guard in guards:
        why = guard(ledger, book, ask)
        if why:
            return why
    return ""


def _told(minor: int | None) -> str:
    return "an amount that can't be told" if minor is None else str(minor)
