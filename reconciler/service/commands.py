"""What a door's questions mean in events: the same whether a service runs or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from reconciler.core import intake
from reconciler.core.events import Adjusted, AnyEvent, Halted, Resumed
from reconciler.core.ledger import Book, Ledger
from reconciler.core.lifecycle import State
from reconciler.errors import Refused, UnknownSymbol, UsageError
from reconciler.service.door import CommandResult, TargetRequest, TargetVersion

LONGEST_TTL_S = 10 * 366 * 86_400


def check_words(**words: str) -> None:
    """Refuse what is no text: it could not be stored, and a write that fails ends the service."""
    for name, text in words.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{name} is not text: {text[:40]!r} holds bytes that are not UTF-8",
                next_step="Write it in UTF-8.",
            ) from None


def legible(text: str) -> str:
    """*text* as far as it can be stored: nobody's halt fails because of its reason."""
    return text[: intake.LONGEST_TEXT].encode(errors="replace").decode()


def iso(at_us: int) -> str:
    """Microseconds since the epoch as ISO 8601, UTC, to the millisecond."""
    seconds, rest = divmod(at_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:03d}Z"


def set_target(
    request: TargetRequest, default_on_expiry: str, now_us: int, ledger: Ledger
) -> tuple[list[AnyEvent], Callable[[Ledger], TargetVersion]]:
    """The event of a new target, and the answer to give once it is recorded."""
    check_words(source=request.source, reason=request.reason, key=request.key)
    ttl_s = request.ttl_s
    if ttl_s is not None and not 0 < ttl_s <= LONGEST_TTL_S:
        raise Refused(f"ttl is {ttl_s} s; it must be above zero and at most {LONGEST_TTL_S} s")
    wanted = intake.Wanted(
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
    )
    accepted = intake.accept(ledger, wanted, now_us)
    note = accepted.note
    halted = ledger.halted or ledger.book(request.symbol).halted
    if halted:
        note = f"halted: {halted}; nothing is sent before `reconciler resume`"

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


def check_symbols(ledger: Ledger, symbols: Sequence[str]) -> None:
    """Refuse symbols that the ledger has never heard of."""
    for symbol in symbols:
        if symbol not in ledger.books:
            known = ", ".join(ledger.books) or "none"
            raise UnknownSymbol(f"{symbol[:40]!r} is not a known symbol ({known})", symbol=symbol)


def halt(
    ledger: Ledger, now_us: int, by: str, reason: str, symbols: tuple[str, ...]
) -> list[AnyEvent]:
    """The event of a halt."""
    check_symbols(ledger, symbols)
    return [Halted(at_us=now_us, by=legible(by), reason=legible(reason), symbols=symbols)]


def resume(
    ledger: Ledger, now_us: int, by: str, reason: str, symbols: tuple[str, ...], adopt: bool
) -> tuple[list[AnyEvent], dict[str, int]]:
    """The events of a resume, and what was adopted."""
    check_symbols(ledger, symbols)
    by, reason = legible(by), legible(reason)
    events: list[AnyEvent] = []
    adopted: dict[str, int] = {}
    for symbol in symbols or tuple(ledger.books):
        book = ledger.books[symbol]
        if book.frozen_by not in ("position_differs", "missing_fills", "vanished_order"):
            continue
        venue = book.venue_position
        if not adopt or venue is None:
            raise Refused(
                f"{symbol} is frozen: {book.frozen}. `resume {symbol} --adopt --reason TEXT` takes "
                "the venue's figure as an adjustment under your name",
                symbol=symbol,
            )
        if not reason:
            raise Refused(f"{symbol}: an adjustment needs a --reason", symbol=symbol)
        adopted[symbol] = venue - book.position
        events.append(
            Adjusted(at_us=now_us, symbol=symbol, contracts=adopted[symbol], by=by, reason=reason)
        )
    events.append(Resumed(at_us=now_us, by=by, reason=reason, symbols=symbols, adopt=bool(adopted)))
    return events, adopted


def nothing_rests(ledger: Ledger, symbols: Sequence[str]) -> bool:
    """Whether no own order of *symbols* (none given: of all) can be alive."""
    return not resting(ledger, symbols)


def resting(ledger: Ledger, symbols: Sequence[str]) -> tuple[str, ...]:
    """Own orders that may be alive, by client order id."""
    return tuple(
        order.cl_ord_id for order in ledger.own_alive() if not symbols or order.symbol in symbols
    )


def command_result(
    ledger: Ledger, did: str, symbols: tuple[str, ...], adopted: dict[str, int] | None = None
) -> CommandResult:
    """The answer to a halt or a resume."""
    return CommandResult(
        did=did,
        symbols=symbols or tuple(ledger.books),
        resting=resting(ledger, symbols),
        adopted=adopted or {},
    )


def status(ledger: Ledger, account: str, service: dict[str, Any]) -> dict[str, Any]:
    """The whole account, as `Door.status` promises it."""
    run = ledger.run
    return {
        "service": {
            "run_id": run.run_id if run else "",
            "epoch": run.epoch if run else 0,
            "account": account,
            "in_sync": ledger.in_sync,
            "halted": ledger.halted,
            "frozen": ledger.frozen,
            "stopping": ledger.stopping,
            **service,
        },
        "symbols": [symbol_row(account, ledger, book) for book in ledger.books.values()],
        "incidents": [
            {"incident_id": number, "kind": name.split()[0], "symbol": name.partition(" ")[2]}
            for name, number in ledger.incidents.items()
        ],
    }


def symbol_row(account: str, ledger: Ledger, book: Book) -> dict[str, Any]:
    """One symbol, in the columns of the view v_status."""
    target = book.target
    low, high = book.worst_case()
    quote = book.quote
    return {
        "account": account,
        "symbol": book.symbol,
        "state": str(book.state),
        "waiting_for": book.waiting_for,
        "target": target.contracts if target else None,
        "position": book.position,
        "gap": target.contracts - book.position if target else None,
        "working": working(book),
        "worst_short": low,
        "worst_long": high,
        "entry_price": None,
        "mark_price": str(quote.mark) if quote and quote.mark is not None else None,
        "source": target.source if target else None,
        "policy": (target.policy or ledger.settings.default_policy) if target else None,
        "version": book.version,
        "state_since": iso(book.since_us) if book.since_us else None,
        "updated_at": iso(ledger.at_us),
    }


def working(book: Book) -> str:
    """The symbol's order in a few words."""
    order = book.order
    if order is None or book.state is State.FILLED:
        return ""
    if order.doubt is not None:
        return f"{abs(order.contracts)} in doubt"
    return f"{abs(order.contracts) - order.filled} @ {order.price}"
