"""
What the limits of money and the throttle see coming, after every event.

`guards` asks of an order what is noted here: which limits were reached, and have not let go. A loss
of the day lets go at midnight UTC, a drawdown when somebody resumes, margin and liquidation when
there is a tenth more room than is asked for, so that no order goes to and fro at the edge.
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal

from reconciler.core.ledger import Book, Ledger
from reconciler.core.lifecycle import State
from reconciler.core.limits import results
from reconciler.core.limits.results import DAY_US, Hit, Tally
from reconciler.core.settings import Limits, Rules, Settings, Whole
from reconciler.core.turn import Turn

MARK_EVERY_US = 10_000_000  # what is held is valued so often, if a limit of money asks for it
ROOM_PERCENT = 110  # of a least margin or distance, before it lets go


def watch_book(turn: Turn, book: Book) -> None:
    """Bring the symbol's result up to now, and note which of its limits were reached."""
    rules = turn.ledger.settings.rules_of(book.symbol)
    results.see_mark(book)
    if book.anchor is not None and (book.hits or rules.of_money):
        results.mark(book, turn.at_us)
        before, limits = bool(book.hits), rules.limits
        _losses(book.hits, "", limits, book.result, turn.at_us)
        _liquidation(book, limits.min_liquidation_bps, turn.at_us)
        _tell(turn, book.symbol, before, book.hits)
    if book.futile_us:
        _runaway(turn, book, rules)


def watch_account(turn: Turn) -> None:
    """The same of the account: each currency by itself."""
    ledger = turn.ledger
    limits = ledger.settings.whole
    if not ledger.hits and not ledger.settings.of_margin:
        return
    before = dict(ledger.hits)
    if limits.of_losses:
        for currency in sorted(ledger.margins):
            margin = ledger.margins[currency]
            ledger.result_of(f"{currency} margin").note(turn.at_us, margin.margin_minor)
            books_minor = _books_minor(ledger, currency)
            if books_minor is not None:
                ledger.result_of(f"{currency} books").note(turn.at_us, books_minor)
    for name in sorted(ledger.results):
        _losses(ledger.hits, f"account {name} ", limits, ledger.results[name], turn.at_us)
    _margins(ledger, turn.at_us)
    if ledger.hits != before:
        _tell(turn, "", bool(before), ledger.hits)
        turn.touch_all()


def configured(ledger: Ledger, before: Settings) -> None:
    """A limit of losses that was off counts from now, and not from when it was on last."""
    settings = ledger.settings
    for symbol in settings.symbols:
        book = ledger.book(symbol)
        if settings.rules_of(symbol).of_losses and not before.rules_of(symbol).of_losses:
            book.result.forget()
            book.quote = book.mark = None  # nobody has looked lately: the next mark is of now
    if not before.whole.of_losses:
        for name in sorted(ledger.results):
            ledger.results[name].forget()


def resumed(turn: Turn, symbols: tuple[str, ...]) -> None:
    """Somebody has seen it: losses are counted from here. No symbols: the account, too."""
    ledger = turn.ledger
    for symbol in symbols or tuple(ledger.books):
        book = ledger.book(symbol)
        book.futile_us = []
        book.hits = {}
        book.result.anew()
    if not symbols:
        ledger.hits = {}
        for name in sorted(ledger.results):
            ledger.results[name].anew()


def day_ends_us(at_us: int) -> int:
    """When the next UTC day begins: a loss of this one lets go then."""
    return (at_us // DAY_US + 1) * DAY_US


def value_again_us(ledger: Ledger, book: Book) -> int | None:
    """When what is held is to be valued again, which a limit of money needs; None: nothing is."""
    if not book.position or book.symbol not in ledger.settings.named:
        return None
    return book.quote.at_us + MARK_EVERY_US if book.quote is not None else ledger.at_us


def _books_minor(ledger: Ledger, currency: str) -> int | None:
    """
    What all symbols settled in *currency* brought together: no deposit is in it.

    None while one that is held has no mark yet: its figure is of before the limit was turned on.
    """
    minor = 0
    for book in ledger.books.values():
        if book.instrument is None or book.instrument.settle_currency != currency:
            continue
        if book.position and book.mark is None and book.symbol in ledger.settings.named:
            return None
        minor += book.result.now_minor
    return minor


def _losses(
    hits: dict[str, Hit], whose: str, limits: Limits | Whole, tally: Tally, at_us: int
) -> None:
    """A loss of the day, and a drawdown: note them, or let go of them."""
    day = max(at_us // DAY_US, tally.day)  # which goes on under a clock that was set back
    for name, most, lost, for_a_day in (
        ("max_daily_loss_minor", limits.max_daily_loss_minor, tally.loss_minor, True),
        ("max_drawdown_minor", limits.max_drawdown_minor, tally.drawdown_minor, False),
    ):
        key = f"{whose}{name}"
        old = hits.get(key)
        if old is not None and (old.limit != most or (for_a_day and old.day < day)):
            del hits[key]
            old = None
        if most and old is None and lost >= most:
            words = f"limits.{name} = {most}: {whose}lost {lost}"
            hits[key] = Hit(words=words, limit=most, day=day)


def _liquidation(book: Book, least: int, at_us: int) -> None:
    """How far the mark is from the price at which the venue would take the position."""
    name, mark, price = "min_liquidation_bps", book.mark, book.liquidation_price
    if not least or not book.position or mark is None or price is None:
        book.hits.pop(name, None)
        return
    side = 1 if book.position > 0 else -1
    room_bps = (mark - price) * side * 10_000 / mark
    _edge(book.hits, name, f"limits.{name}", least, room_bps, at_us)


def _margins(ledger: Ledger, at_us: int) -> None:
    """How much of each currency's margin balance is still available."""
    least = ledger.settings.account_limits.min_margin_percent
    for currency in sorted(ledger.margins):
        margin, name = ledger.margins[currency], f"{currency} min_margin_percent"
        whole = Decimal(margin.margin_minor)
        percent = margin.available_minor * 100 / whole if whole > 0 else Decimal(0)
        words = f"limits.account.min_margin_percent of {currency}"
        if least:
            _edge(ledger.hits, name, words, least, percent, at_us)
        else:
            ledger.hits.pop(name, None)


def _edge(
    hits: dict[str, Hit], name: str, rule: str, least: int, room: Decimal, at_us: int
) -> None:
    """Hold what has too little room, until it has some more."""
    old = hits.get(name)
    if old is not None and (old.limit != least or room * 100 >= least * ROOM_PERCENT):
        del hits[name]
        old = None
    if old is None and room < least:
        words = f"{rule} = {least}: there is {room.quantize(Decimal('0.1'))}"
        hits[name] = Hit(words=words, limit=least, day=at_us // DAY_US)


def _tell(turn: Turn, symbol: str, before: bool, hits: dict[str, Hit]) -> None:
    """One incident while any limit holds."""
    for name in hits:
        turn.incident("limit", symbol, hits[name].words, "critical")
        return
    if before:
        turn.close_incidents(symbol, "inside the limits again", "core", "limit")


def _runaway(turn: Turn, book: Book, rules: Rules) -> None:
    """Order after order, and not a contract filled: whatever drives it has lost its way."""
    ledger = turn.ledger
    if book.state is not State.IDLE or book.frozen or ledger.frozen:
        return
    limits, most = rules.limits, rules.whole.runaway_orders
    own = _since(book, turn.at_us - rules.runaway_us)
    if limits.runaway_orders and own >= limits.runaway_orders:
        said = _ran(book.symbol, own, rules.runaway_us, "limits.runaway_orders")
        turn.freeze(book, "runaway", said)
        return
    since_us = turn.at_us - rules.runaway_of_all_us
    whole = sum(_since(other, since_us) for other in ledger.books.values())
    if most and whole >= most:
        rule = "limits.account.runaway_orders"
        turn.freeze_account("runaway", _ran("all symbols", whole, rules.runaway_of_all_us, rule))


def _ran(whose: str, orders: int, within_us: int, rule: str) -> str:
    minutes = -(-within_us // 60_000_000)
    return f"{whose}: {orders} orders in {minutes} min, and nothing filled ({rule})"


def _since(book: Book, since_us: int) -> int:
    return len(book.futile_us) - bisect_right(book.futile_us, since_us)
