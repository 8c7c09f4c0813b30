"""
How far a symbol may trade, by the word of a person: halt, freeze, pause, flatten, reduce-only.

Conditions beside the state, of one symbol or of the account; the stricter one counts. A halt and a
freeze tell of trouble, the others of a plan. All are durable, and all may have an end: then a fact
tells it, and the symbol goes on by itself. A freeze of the core's own has none: a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.core.decisions import ModeEnded
from reconciler.core.events import Halted, ModeSet, Resumed
from reconciler.core.ledger import NEVER_US, Book, Ledger, Order
from reconciler.core.trouble import resolve
from reconciler.core.turn import Turn

PAUSE = "pause"
FLATTEN = "flatten"
REDUCE_ONLY = "reduce_only"
FREEZE = "freeze"
BY_HAND = "by_hand"  # the kind of incident that a freeze by a person is


# -- what is so ------------------------------------------------------------------------------------


def stopped(ledger: Ledger, book: Book) -> str:
    """Which word lets no order of *book* be there at all; "" if none does."""
    if ledger.halted or book.halted:
        return "halted"
    if ledger.frozen or book.frozen:
        return "frozen"
    return "paused" if PAUSE in (ledger.mode, book.mode) else ""


def in_words(ledger: Ledger, book: Book) -> str:
    """What has to happen, and why, before any order may be placed; "" if one may be."""
    if ledger.halted or book.halted:
        return f"resume: halted: {ledger.halted or book.halted}"
    if ledger.frozen or book.frozen:
        return f"a decision: frozen: {ledger.frozen or book.frozen}"
    if PAUSE in (ledger.mode, book.mode):
        return f"resume: paused: {_why_of(PAUSE, ledger, book)}"
    return ""


def only_reduces(ledger: Ledger, book: Book) -> str:
    """Why orders of *book* may only bring its position nearer to zero; "" if they may add."""
    if FLATTEN in (ledger.mode, book.mode):
        return f"flatten: {_why_of(FLATTEN, ledger, book)}"
    if REDUCE_ONLY in (ledger.mode, book.mode):
        return f"reduce only: {_why_of(REDUCE_ONLY, ledger, book)}"
    return ""


def why_frozen(ledger: Ledger, whose: Ledger | Book) -> str:
    """What was said of a freeze by hand; beside one whose words are kept instead: where it is."""
    if only_by_hand(ledger, whose):
        return whose.frozen
    return f"{BY_HAND} (INC-{ledger.incidents[_by_hand(whose)]})"


def only_by_hand(ledger: Ledger, whose: Ledger | Book) -> bool:
    """Whether nothing but a person has frozen it."""
    return all(kind == BY_HAND for _, kind in resolve.reasons(ledger, whose))


def flattens(ledger: Ledger, book: Book) -> bool:
    """Whether the position has to be zero, whatever is wanted."""
    return FLATTEN in (ledger.mode, book.mode)


def reach(ledger: Ledger, book: Book, target: int) -> int:
    """
    As far toward *target* as the position may go: all the way, or no further from zero.

    To flatten is to go to zero, whatever is wanted meanwhile: a strategy that goes on talking
    neither opens again what was closed nor keeps the rest of it open.
    """
    modes = ledger.mode, book.mode
    if FLATTEN in modes:
        return 0
    if REDUCE_ONLY not in modes:
        return target
    if target * book.position <= 0:
        return 0
    return target if abs(target) < abs(book.position) else book.position


def forbids(ledger: Ledger, book: Book, reduces: bool) -> str:
    """Why an order that was decided, and *reduces* or adds, must not be sent; "" if it may."""
    stop = stopped(ledger, book)
    return stop or ("" if reduces else only_reduces(ledger, book))


def unwanted(ledger: Ledger, book: Book, order: Order) -> str:
    """Why an order that is there must go; "" if it may stay."""
    return forbids(ledger, book, order.reduce_only)


# -- what changes it -------------------------------------------------------------------------------


def set_mode(turn: Turn, event: ModeSet) -> None:
    """The newest word counts. A freeze is one of the core's own: an incident tells of it."""
    why = _why(event.reason, event.by)
    for whose in _whose(turn, event.symbols):
        if event.mode != FREEZE:
            whose.mode, whose.mode_until_us = event.mode, event.until_us if event.mode else None
            whose.mode_why = why if event.mode else ""
            _touch(turn, whose)
        else:
            _freeze(turn, whose, why, event.until_us)
    _note_next_end(turn.ledger)


def _freeze(turn: Turn, whose: Ledger | Book, why: str, until_us: int | None) -> None:
    """By hand, with an end or without: it never shortens the one that is in force."""
    known = _by_hand(whose) in turn.ledger.incidents
    whose.frozen_until_us = _later(whose.frozen_until_us, until_us) if known else until_us
    if isinstance(whose, Book):
        turn.freeze(whose, BY_HAND, why)
    else:
        turn.freeze_account(BY_HAND, why)


def halt(turn: Turn, event: Halted) -> None:
    """A halt never shortens the one that is in force."""
    why = _why(event.reason, event.by)
    for whose in _whose(turn, event.symbols):
        until_us = event.until_us
        if whose.halted:
            until_us = _later(whose.halted_until_us, until_us)
        whose.halted_until_us = until_us
        whose.halted = why
        _touch(turn, whose)
    _note_next_end(turn.ledger)


def resume(turn: Turn, event: Resumed) -> None:
    """A halt and a mode of those named are over; of all, if none is named."""
    ledger = turn.ledger
    for whose in _whose(turn, event.symbols) if event.symbols else _everything(ledger):
        whose.halted = whose.mode = whose.mode_why = ""
        whose.halted_until_us = whose.mode_until_us = whose.frozen_until_us = None
        _touch(turn, whose)
    _note_next_end(ledger)


def end_due(turn: Turn) -> None:
    """What had an end, and has reached it, is over."""
    ledger = turn.ledger
    for whose in _everything(ledger):
        if whose.halted_until_us is not None and turn.at_us >= whose.halted_until_us:
            _tell_end(turn, whose, "halt", whose.halted)
            whose.halted, whose.halted_until_us = "", None
        if whose.mode_until_us is not None and turn.at_us >= whose.mode_until_us:
            _tell_end(turn, whose, whose.mode, whose.mode_why)
            whose.mode = whose.mode_why = ""
            whose.mode_until_us = None
        if whose.frozen_until_us is not None and turn.at_us >= whose.frozen_until_us:
            _thaw(turn, whose)
            whose.frozen_until_us = None
    _note_next_end(ledger)


def _thaw(turn: Turn, whose: Ledger | Book) -> None:
    """The end of a freeze by hand. One that has another reason, too, stays."""
    _tell_end(turn, whose, FREEZE, why_frozen(turn.ledger, whose))
    symbol = whose.symbol if isinstance(whose, Book) else ""
    turn.close_incidents(symbol, "its end has come", "core", BY_HAND)
    if not isinstance(whose, Book) or whose.frozen_by == BY_HAND:
        resolve.thaw(turn.ledger, whose)


def _tell_end(turn: Turn, whose: Ledger | Book, mode: str, why: str) -> None:
    symbol = whose.symbol if isinstance(whose, Book) else ""
    turn.facts.append(ModeEnded(symbol=symbol, mode=mode, why=why))
    _touch(turn, whose)


def _touch(turn: Turn, whose: Ledger | Book) -> None:
    if isinstance(whose, Book):
        turn.touch(whose)
    else:
        turn.touch_all()


def _whose(turn: Turn, symbols: tuple[str, ...]) -> Iterator[Ledger | Book]:
    """The books that are named, or the account if none is."""
    if not symbols:
        yield turn.ledger
    for symbol in symbols:
        yield turn.ledger.book(symbol)


def _everything(ledger: Ledger) -> list[Ledger | Book]:
    return [ledger, *ledger.books.values()]


def _why_of(mode: str, ledger: Ledger, book: Book) -> str:
    """Why it is so; the account's word comes first."""
    return ledger.mode_why if ledger.mode == mode else book.mode_why


def _note_next_end(ledger: Ledger) -> None:
    """Kept, because it is asked for at every event."""
    ends = [NEVER_US]
    for whose in _everything(ledger):
        known = (whose.halted_until_us, whose.mode_until_us, whose.frozen_until_us)
        ends += [us for us in known if us is not None]
    ledger.modes_end_us = min(ends)


def _later(one_us: int | None, other_us: int | None) -> int | None:
    """The later of two ends; None is no end at all."""
    return None if one_us is None or other_us is None else max(one_us, other_us)


def _by_hand(whose: Ledger | Book) -> str:
    """The name of the incident that a freeze by hand opens."""
    return f"{BY_HAND} {whose.symbol if isinstance(whose, Book) else ''}"


def _why(reason: str, by: str) -> str:
    return f"{reason} ({by})" if reason else f"by {by}"
