"""
A target is checked once, here, before it becomes an event.

Pure: the request and the ledger in, the event out, or one sentence that says which rule refused
which value. No symbol is trimmed or folded: a look-alike is another symbol.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from reconciler.core.events import Quoted, Share, TargetSet
from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits import usual
from reconciler.core.targets import amounts
from reconciler.errors import (
    KeyReused,
    LimitExceeded,
    NotALot,
    Refused,
    StaleVersion,
    UnknownSymbol,
    UsageError,
)

ON_EXPIRY = ("hold", "flatten", "freeze")
MOST_CONTRACTS = 2**63 - 1  # what a column of the journal can hold
LONGEST_TEXT = 500


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked for, in exactly one form: contracts, by, notional or percent."""

    symbol: str
    contracts: int | None
    by: int | None  # relative to the target in force
    source: str
    reason: str
    policy: str
    on_expiry: str
    expires_us: int | None
    if_version: int | None
    key: str
    notional: Decimal | None = None  # see `amounts`
    percent: Decimal | None = None  # of the equity
    deadline_us: int | None = None
    price: Decimal | None = None  # that the signal was given at
    schedule: str = ""  # "NAME/NUMBER": the row that has come due
    confirm: int | None = None  # contracts: the same again, of a change that is not usual
    way_out: bool = False  # a flatten: no size of a change holds it back
    shares: tuple[Share, ...] = ()


class Accepted(NamedTuple):
    """The event to record, or None when nothing changes; and what is in force then."""

    event: TargetSet | None
    contracts: int
    previous: int | None
    version: int
    note: str


def accept(ledger: Ledger, wanted: Wanted, at_us: int, quote: Quoted | None = None) -> Accepted:
    """
    Check *wanted* against the ledger.

    Args:
        ledger: As it is now.
        wanted: The request.
        at_us: Now.
        quote: The prices of now, for a request in money.

    Raises:
        UsageError: Not exactly one form; a text too long.
        UnknownSymbol, NotALot, LimitExceeded, StaleVersion, KeyReused, Refused: a rule said no.
    """
    book = _known_book(ledger, wanted.symbol)
    _check_words(ledger, wanted)
    repeated = book.keys.get(wanted.key) if wanted.key else None
    previous = book.wanted_at(at_us)
    if repeated is not None:
        return _repeated(wanted, repeated, previous)
    contracts, asked = _contracts(ledger, book, wanted, quote, previous)
    _check_moments(wanted, at_us)
    if wanted.if_version is not None and wanted.if_version != book.version:
        raise StaleVersion(
            f"{wanted.symbol}: version {wanted.if_version} was to be replaced, "
            f"but version {book.version} is in force",
            symbol=wanted.symbol,
            if_version=wanted.if_version,
            version=book.version,
        )
    note = _check_size(ledger, book, contracts)
    nobody_to_ask = bool(wanted.shares or wanted.schedule)
    if not (wanted.way_out or (nobody_to_ask and usual.leads_out(book, contracts, at_us))):
        usual.check(ledger, book, contracts, wanted.confirm, at_us)
    if _is_the_same(book, wanted, contracts) and not _row_is_due(ledger, book.symbol, at_us):
        return Accepted(None, contracts, previous, book.version, note)
    event = TargetSet(
        at_us=at_us,
        symbol=wanted.symbol,
        contracts=contracts,
        version=book.version + 1,
        source=wanted.source,
        reason=wanted.reason,
        policy=wanted.policy,
        key=wanted.key,
        expires_us=wanted.expires_us,
        on_expiry=wanted.on_expiry,
        deadline_us=wanted.deadline_us,
        price=wanted.price,
        asked=asked,
        shares=wanted.shares,
        schedule=wanted.schedule,
    )
    return Accepted(event, contracts, previous, event.version, note)


def _repeated(wanted: Wanted, first: tuple[int, int, str], previous: int | None) -> Accepted:
    """What was answered to this key is answered again, if the same number is asked for."""
    version, contracts, asked = first
    if wanted.contracts is not None:
        same, now = wanted.contracts == contracts, f"{wanted.contracts:+d}"
    else:
        now = amounts.form_of(wanted.by, wanted.notional, wanted.percent)
        same = asked == now or asked.startswith(f"{now} ")
    if same:
        return Accepted(None, contracts, previous, version, "this key was recorded before")
    before = f"{contracts:+d}" + (f", asked as {asked}" if asked else "")
    raise KeyReused(
        f"{wanted.symbol}: key {wanted.key!r} was used for {before} (version {version}), "
        f"now it says {now}",
        symbol=wanted.symbol,
        key=wanted.key,
        version=version,
    )


def check(ledger: Ledger, symbol: str, contracts: int, policy: str, reason: str) -> None:
    """What can be said now of a target that is to be set later. Raises as `accept` does."""
    _check_policy(ledger, policy)
    _check_lengths(("reason", reason))
    _check_size(ledger, _known_book(ledger, symbol), contracts)


def _known_book(ledger: Ledger, symbol: str) -> Book:
    if symbol not in ledger.settings.named:
        known = ", ".join(ledger.settings.symbols) or "none"
        raise UnknownSymbol(
            f"{symbol[:40]!r} is not one of the configured symbols ({known})", symbol=symbol[:40]
        )
    return ledger.book(symbol)


def _check_words(ledger: Ledger, wanted: Wanted) -> None:
    forms = (wanted.contracts, wanted.by, wanted.notional, wanted.percent)
    if forms.count(None) != len(forms) - 1:
        raise UsageError(
            "a target is asked for as contracts, by, notional or percent: exactly one of them"
        )
    _check_policy(ledger, wanted.policy)
    if wanted.on_expiry not in ON_EXPIRY:
        raise Refused(f"on_expiry is {wanted.on_expiry[:40]!r}; it may be {', '.join(ON_EXPIRY)}")
    _check_lengths(("source", wanted.source), ("reason", wanted.reason), ("key", wanted.key))


def _check_policy(ledger: Ledger, policy: str) -> None:
    if policy and policy not in ledger.settings.policies:
        known = ", ".join(sorted(ledger.settings.policies))
        raise Refused(f"no policy is called {policy[:40]!r}; there are: {known}")


def _check_lengths(*texts: tuple[str, str]) -> None:
    for name, text in texts:
        if len(text) > LONGEST_TEXT:
            raise UsageError(f"{name} has {len(text)} characters; at most {LONGEST_TEXT} are kept")


def _check_moments(wanted: Wanted, at_us: int) -> None:
    if wanted.deadline_us is not None and wanted.deadline_us <= at_us:
        ago_s = (at_us - wanted.deadline_us) // 10**6
        raise Refused(f"{wanted.symbol}: the deadline has passed {ago_s} s ago")
    if wanted.price is not None and not (wanted.price.is_finite() and wanted.price > 0):
        raise Refused(f"{wanted.symbol}: {wanted.price} is no price that a signal is given at")


def _contracts(
    ledger: Ledger, book: Book, wanted: Wanted, quote: Quoted | None, previous: int | None
) -> amounts.Amount:
    """The target in contracts, and the form that it was asked in if that is another."""
    if wanted.contracts is not None:
        return amounts.Amount(wanted.contracts, "")
    if wanted.notional is not None:
        return amounts.of_notional(ledger, book, wanted.notional, quote)
    if wanted.percent is not None:
        return amounts.of_percent(ledger, book, wanted.percent, quote)
    assert wanted.by is not None
    if previous is None and book.anchor is None:
        raise Refused(
            f"{book.symbol}: {wanted.by:+d} relative to what? Neither a target nor a position is "
            "known yet",
            next_step="Say the target itself, or start the service once.",
            symbol=book.symbol,
        )
    now = previous if previous is not None else book.position
    return amounts.Amount(now + wanted.by, amounts.form_of(wanted.by, None, None))


def _check_size(ledger: Ledger, book: Book, contracts: int) -> str:
    """Lot and limit; returns what could not be checked."""
    symbol = book.symbol
    most = ledger.settings.limits_of(symbol).max_position_contracts
    if abs(contracts) > most:
        shown = f"{contracts:+d}" if abs(contracts) <= MOST_CONTRACTS else "beyond any account"
        raise LimitExceeded(
            f"{symbol} target {shown} is above max_position_contracts = {most}",
            symbol=symbol,
            contracts=contracts if abs(contracts) <= MOST_CONTRACTS else 0,
            limit=most,
            rule="limits.max_position_contracts",
        )
    if book.instrument is None:
        return "the lot size is not known yet: it will be checked once the venue has been seen"
    lot = book.instrument.lot
    if contracts % lot:
        down = abs(contracts) // lot * lot * (1 if contracts > 0 else -1)
        raise NotALot(
            f"{symbol} target {contracts:+d} is not a whole multiple of the lot of {lot}; "
            f"the nearest toward zero is {down:+d}",
            symbol=symbol,
            contracts=contracts,
            lot=lot,
        )
    return ""


def _row_is_due(ledger: Ledger, symbol: str, at_us: int) -> bool:
    """Whether a row of a schedule still waits for its turn: whoever says a target now is newer."""
    for name, schedule in ledger.schedules.items():
        for row in schedule.rows[ledger.schedule_done.get(name, 0) :]:
            if row.due_us > at_us:
                break
            if row.symbol == symbol:
                return True
    return False


def _is_the_same(book: Book, wanted: Wanted, contracts: int) -> bool:
    target = book.target
    return (
        target is not None
        and target.contracts == contracts
        and target.policy == wanted.policy
        and target.expires_us is None
        and wanted.expires_us is None
        and not wanted.key  # a key must be remembered, so that its repeat is harmless
        and not wanted.schedule  # and a row that it has come due
        and target.deadline_us == wanted.deadline_us
        and target.price == wanted.price
        and target.shares == wanted.shares
    )
