"""What is asked about targets, in events: one, several, none any more; and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec

from reconciler.core.events import AnyEvent, Quoted, TargetRefused, TargetSet
from reconciler.core.ledger import Book, Ledger
from reconciler.core.targets import intake
from reconciler.core.targets.modes import (
    FLATTEN,
    PAUSE,
    REDUCE_ONLY,
    in_words,
    only_by_hand,
    only_reduces,
    reach,
)
from reconciler.errors import NotFound, ReconcilerError, Refused, UsageError
from reconciler.service.door import TargetRequest, TargetsRequest, TargetVersion, TargetVersions
from reconciler.service.moments import decimal, iso, moment_us
from reconciler.service.words import check_words, legible

T = TypeVar("T")
E = TypeVar("E", bound=ReconcilerError)

LONGEST_TTL_S = 10 * 366 * 86_400
MOST_TARGETS = 500
AGAIN_US = 1_000_000  # the same refusal of the same request is recorded once in so long

#: The prices of now of a symbol, if the venue has told them.
QuoteOf = Callable[[str], Quoted | None]


def no_quote(symbol: str) -> Quoted | None:
    """Nobody is connected to the venue."""
    return None


def wanted_of(request: TargetRequest, default_on_expiry: str, now_us: int) -> intake.Wanted:
    """
    The request in the core's terms.

    Raises:
        UsageError, Refused: A text is no number, moment or duration.
    """
    check_words(source=request.source, reason=request.reason, key=request.key)
    ttl_s = request.ttl_s
    if ttl_s is not None and not 0 < ttl_s <= LONGEST_TTL_S:
        raise Refused(f"ttl is {ttl_s} s; it must be above zero and at most {LONGEST_TTL_S} s")

    def number(name: str) -> Any:
        text = getattr(request, name)
        return decimal(text, name) if text is not None else None

    return intake.Wanted(
        symbol=request.symbol,
        contracts=request.contracts,
        by=request.by,
        source=request.source,
        reason=request.reason,
        policy=request.policy,
        on_expiry=request.on_expiry or default_on_expiry,
        expires_us=now_us + ttl_s * 1_000_000 if ttl_s is not None else None,
        if_version=request.if_version,
        key=request.key,
        notional=number("notional"),
        percent=number("percent"),
        deadline_us=moment_us(request.deadline, "deadline") if request.deadline else None,
        price=number("price"),
        confirm=request.confirm,
    )


def set_target(
    request: TargetRequest,
    default_on_expiry: str,
    now_us: int,
    ledger: Ledger,
    quote_of: QuoteOf = no_quote,
) -> tuple[list[AnyEvent], Callable[[Ledger], TargetVersion]]:
    """The event of a new target, and the answer to give once it is recorded."""
    wanted = wanted_of(request, default_on_expiry, now_us)
    in_money = wanted.notional is not None or wanted.percent is not None
    quote = quote_of(request.symbol) if in_money else None
    accepted = intake.accept(ledger, wanted, now_us, quote)
    note = _stands_in_the_way(ledger, request.symbol, accepted.contracts) or accepted.note
    if accepted.event is not None:
        note = note or _is_anothers(ledger, request.symbol)

    def finish(after: Ledger) -> TargetVersion:
        book = after.book(request.symbol)
        expires_us = book.target.expires_us if book.target is not None else None
        return TargetVersion(
            symbol=request.symbol,
            contracts=accepted.contracts,
            previous=accepted.previous,
            version=accepted.version,
            changed=accepted.event is not None,
            expires_at=iso(expires_us) if expires_us is not None else None,
            on_expiry=wanted.on_expiry,
            state=str(book.state),
            note=note,
        )

    return ([accepted.event] if accepted.event is not None else []), finish


def _stands_in_the_way(ledger: Ledger, symbol: str, contracts: int) -> str:
    """What keeps a target from being worked, in words."""
    book = ledger.book(symbol)
    words = in_words(ledger, book)
    if words:
        what = words.removeprefix("resume: ").removeprefix("a decision: ")
        return f"{what}; nothing is sent before {_its_end(ledger, book, PAUSE)}"
    why = only_reduces(ledger, book)
    if why and contracts != reach(ledger, book, contracts):
        end = _its_end(ledger, book, FLATTEN, REDUCE_ONLY)
        return f"{why}; only what leads toward zero is worked before {end}"
    return ""


def _its_end(ledger: Ledger, book: Book, *modes: str) -> str:
    """What ends all halts, freezes and those modes that are in force: a person, or time."""
    ends_us: list[int | None] = []
    for whose in (ledger, book):
        if whose.halted:
            ends_us.append(whose.halted_until_us)
        if whose.frozen:
            ends_us.append(whose.frozen_until_us if only_by_hand(ledger, whose) else None)
        if whose.mode in modes:
            ends_us.append(whose.mode_until_us)
    known_us = [end_us for end_us in ends_us if end_us is not None]
    if len(known_us) < len(ends_us):
        return "`reconciler resume`"
    return f"{iso(max(known_us))}, when that ends by itself, or `reconciler resume`"


def _is_anothers(ledger: Ledger, symbol: str) -> str:
    """Who set the target that is replaced, if that is a portfolio, which goes on."""
    target = ledger.book(symbol).target
    if target is None or not target.shares:
        return ""
    return (
        f"{target.source} had set this target, and sets another once its strategies want one: "
        "`flatten` keeps the position closed, `strategies stop` ends their signals"
    )


def set_targets(
    request: TargetsRequest,
    default_on_expiry: str,
    now_us: int,
    ledger: Ledger,
    quote_of: QuoteOf = no_quote,
) -> tuple[list[AnyEvent], Callable[[Ledger], TargetVersions]]:
    """
    The events of several targets, for one commit.

    Raises:
        UsageError: A symbol is there twice, there are too many, or one makes no sense.
        OneRefused: The first that a rule refuses refuses them all.
    """
    events: list[AnyEvent] = []
    answers: list[Callable[[Ledger], TargetVersion]] = []
    for one in whole(request, ledger, now_us):
        try:
            made, finish = set_target(one, default_on_expiry, now_us, ledger, quote_of)
        except Refused as refusal:
            raise OneRefused(one, refusal) from None
        except UsageError as error:
            raise named(one.symbol[:40], error) from None
        events += made
        answers.append(finish)

    def finish_all(after: Ledger) -> TargetVersions:
        done = tuple(finish(after) for finish in answers)
        return TargetVersions(targets=done, changed=sum(target.changed for target in done))

    return events, finish_all


def whole(request: TargetsRequest, ledger: Ledger, now_us: int) -> tuple[TargetRequest, ...]:
    """Every target that is asked for: those that are named, and what *prune* adds to them."""
    named = [target.symbol for target in request.targets]
    if len(named) > MOST_TARGETS:
        raise UsageError(f"{len(named)} targets at once; at most {MOST_TARGETS}")
    for symbol in named:
        if named.count(symbol) > 1:
            raise UsageError(f"{symbol[:40]!r} is there twice: which of the two is meant?")
    if not named and not request.prune:
        raise UsageError("no target is named")
    pruned = []
    for symbol, book in ledger.books.items():
        held = request.prune and book.wanted_at(now_us)
        if held and symbol not in named and symbol in ledger.settings.symbols:
            pruned.append(
                TargetRequest(
                    symbol=symbol,
                    contracts=0,
                    source=request.source,
                    reason=request.reason or "prune: it is not named",
                )
            )
    return (*request.targets, *pruned)


def forget(
    ledger: Ledger, symbol: str, by: str, reason: str, now_us: int
) -> tuple[list[AnyEvent], Callable[[Ledger], TargetVersion]]:
    """The event after which nothing is wanted of a symbol: a version that ends at once."""
    book = ledger.books.get(symbol)
    if book is None or book.target is None:
        raise NotFound(f"{symbol[:40]!r} has no target", symbol=symbol[:40])
    target = book.target
    event = TargetSet(
        at_us=now_us,
        symbol=symbol,
        contracts=target.contracts,
        version=book.version + 1,
        source=legible(by),
        reason=legible(reason),
        policy=target.policy,
        expires_us=now_us,
        on_expiry="hold",
        asked="forget",
    )

    def finish(after: Ledger) -> TargetVersion:
        known = after.book(symbol)
        return TargetVersion(
            symbol=symbol,
            contracts=target.contracts,
            previous=target.contracts,
            version=known.version,
            changed=True,
            expires_at=iso(event.expires_us or 0),
            on_expiry="hold",
            state=str(known.state),
            note=f"forgotten: the position of {known.position:+d} is left as it is, unwatched",
        )

    return [event], finish


# -- what is refused -------------------------------------------------------------------------------


class OneRefused(Exception):
    """One of several targets was refused."""

    def __init__(self, request: TargetRequest, refusal: Refused) -> None:
        super().__init__(str(refusal))
        self.request, self.refusal = request, named(request.symbol[:40], refusal)


def named(symbol: str, refusal: E) -> E:
    """The refusal, with the symbol that it is about."""
    if symbol in refusal.message:
        return refusal
    step, fields = refusal.next_step, refusal.fields
    return type(refusal)(f"{symbol}: {refusal.message}", next_step=step, **fields)


class Refusals:
    """Has refusals recorded; of one that is repeated without end, one a second."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[object, ...], int]] = {}  # by source

    def recorded(
        self,
        request: TargetRequest | None,
        make: Callable[[], tuple[Sequence[AnyEvent], Callable[[Ledger], T]]],
        now_us: int,
    ) -> tuple[Sequence[AnyEvent], Callable[[Ledger], T]]:
        """What *make* makes; if a rule refuses it, the event that says so, then the error."""
        try:
            return make()
        except OneRefused as one:
            request, refusal = one.request, one.refusal
        except Refused as error:
            refusal = error
        if request is None:
            raise refusal
        return self._events(request, refusal, now_us), _raising(refusal)

    def _events(self, asked: TargetRequest, refusal: Refused, now_us: int) -> list[AnyEvent]:
        contracts = asked.contracts
        if contracts is None and isinstance(found := refusal.fields.get("contracts"), int):
            contracts = found  # what it was turned into
        if contracts is not None and abs(contracts) > intake.MOST_CONTRACTS:
            contracts = None
        event = TargetRefused(
            at_us=now_us,
            symbol=legible(asked.symbol[:40]),
            contracts=contracts,
            source=legible(asked.source),
            code=refusal.code,
            text=legible(refusal.message),
            reason=legible(asked.reason),
            key=legible(asked.key),
        )
        what = (event.symbol, event.contracts, event.code, event.key, asked.by, asked.if_version)
        before, at_us = self._last.get(event.source, ((), 0))
        if before == what and now_us - at_us < AGAIN_US:
            return []
        if len(self._last) > 1_000:
            self._last.clear()
        self._last[event.source] = (what, now_us)
        return [event]


def _raising(refusal: ReconcilerError) -> Callable[[Ledger], NoReturn]:
    def finish(_: Ledger) -> NoReturn:
        raise refusal

    return finish


def asked_as(forms: dict[str, str], events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Targets that were planned in another form and are set in contracts: the form is kept."""
    return [
        msgspec.structs.replace(event, asked=forms[event.symbol])
        if isinstance(event, TargetSet) and forms.get(event.symbol)
        else event
        for event in events
    ]


def absolute(request: TargetRequest, contracts: int) -> TargetRequest:
    """The same request, in contracts."""
    return msgspec.structs.replace(
        request, contracts=contracts, by=None, notional=None, percent=None
    )
