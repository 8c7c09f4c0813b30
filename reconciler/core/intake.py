"""
A target is checked once, here, before it becomes an event.

Pure: the request and the ledger in, the event out, or one sentence that says which rule refused
which value. No symbol is trimmed or folded: a look-alike is another symbol.
"""

from __future__ import annotations

from typing import NamedTuple

from reconciler.core.events import TargetSet
from reconciler.core.ledger import Book, Ledger
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


class Wanted(NamedTuple):
    """What somebody asked for."""

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


class Accepted(NamedTuple):
    """The event to record, or None when nothing changes; and what is in force then."""

    event: TargetSet | None
    contracts: int
    previous: int | None
    version: int
    note: str


def accept(ledger: Ledger, wanted: Wanted, at_us: int) -> Accepted:
    """
    Check *wanted* against the ledger.

    Raises:
        UsageError: Not exactly one of contracts and by; a text too long.
        UnknownSymbol, NotALot, LimitExceeded, StaleVersion, KeyReused, Refused: a rule said no.
    """
    book = _known_book(ledger, wanted.symbol)
    _check_words(ledger, wanted)
    contracts = _contracts(book, wanted)
    previous = book.target.contracts if book.target is not None else None
    repeated = book.keys.get(wanted.key) if wanted.key else None
    if repeated is not None:
        version, before = repeated
        if wanted.by is None and before != contracts:
            raise KeyReused(
                f"{wanted.symbol}: key {wanted.key!r} was used for {before:+d} "
                f"(version {version}), now it says {contracts:+d}",
                symbol=wanted.symbol,
                key=wanted.key,
                version=version,
            )
        return Accepted(None, before, previous, version, "this key was recorded before")
    if wanted.if_version is not None and wanted.if_version != book.version:
        raise StaleVersion(
            f"{wanted.symbol}: version {wanted.if_version} was to be replaced, "
            f"but version {book.version} is in force",
            symbol=wanted.symbol,
            if_version=wanted.if_version,
            version=book.version,
        )
    note = _check_size(ledger, book, contracts)
    if _is_the_same(book, wanted, contracts):
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
    )
    return Accepted(event, contracts, previous, event.version, note)


def _known_book(ledger: Ledger, symbol: str) -> Book:
    if symbol not in ledger.settings.symbols:
        known = ", ".join(ledger.settings.symbols) or "none"
        raise UnknownSymbol(
            f"{symbol[:40]!r} is not one of the configured symbols ({known})", symbol=symbol[:40]
        )
    return ledger.book(symbol)


def _check_words(ledger: Ledger, wanted: Wanted) -> None:
    if (wanted.contracts is None) == (wanted.by is None):
        raise UsageError("a target is either contracts or by, and exactly one of them")
    if wanted.policy and wanted.policy not in ledger.settings.policies:
        known = ", ".join(sorted(ledger.settings.policies))
        raise Refused(f"no policy is called {wanted.policy[:40]!r}; there are: {known}")
    if wanted.on_expiry not in ON_EXPIRY:
        raise Refused(f"on_expiry is {wanted.on_expiry[:40]!r}; it may be {', '.join(ON_EXPIRY)}")
    for name, text in (("source", wanted.source), ("reason", wanted.reason), ("key", wanted.key)):
        if len(text) > LONGEST_TEXT:
            raise UsageError(f"{name} has {len(text)} characters; at most {LONGEST_TEXT} are kept")


def _contracts(book: Book, wanted: Wanted) -> int:
    if wanted.contracts is not None:
        return wanted.contracts
    assert wanted.by is not None
    if book.target is None and book.anchor is None:
        raise Refused(
            f"{book.symbol}: {wanted.by:+d} relative to what? Neither a target nor a position is "
            "known yet",
            next_step="Say the target itself, or start the service once.",
            symbol=book.symbol,
        )
    return (book.target.contracts if book.target is not None else book.position) + wanted.by


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


def _is_the_same(book: Book, wanted: Wanted, contracts: int) -> bool:
    target = book.target
    return (
        target is not None
        and target.contracts == contracts
        and target.policy == wanted.policy
        and target.expires_us is None
        and wanted.expires_us is None
        and not wanted.key  # a key must be remembered, so that its repeat is harmless
    )
