"""What a door's questions mean in events: the same whether a service runs or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from reconciler.core.events import AnyEvent, Halted, ModeSet, Resumed
from reconciler.core.ledger import NEVER_US, Book, Ledger
from reconciler.core.lifecycle import State
from reconciler.core.targets import intake, modes
from reconciler.core.trouble import mismatch
from reconciler.core.trouble import resolve as incidents
from reconciler.errors import Refused, UnknownSymbol, UsageError
from reconciler.service import targeting
from reconciler.service.door import CommandResult, ModeRequest, TargetRequest
from reconciler.service.moments import iso, moment_us
from reconciler.service.words import check_words, legible

#: What a mode is called once it is in force.
DID = {"pause": "paused", "reduce_only": "reduce-only", "freeze": "frozen", "flatten": "flattened"}


def check_symbols(ledger: Ledger, symbols: Sequence[str]) -> None:
    """Refuse symbols that the ledger has never heard of."""
    for symbol in symbols:
        if symbol not in ledger.books:
            known = ", ".join(ledger.books) or "none"
            raise UnknownSymbol(f"{symbol[:40]!r} is not a known symbol ({known})", symbol=symbol)


def halt(
    ledger: Ledger, now_us: int, by: str, reason: str, symbols: tuple[str, ...], until: str = ""
) -> list[AnyEvent]:
    """The event of a halt."""
    check_symbols(ledger, symbols)
    until_us = _until_us(until, now_us)
    return [
        Halted(
            at_us=now_us,
            by=legible(by),
            reason=legible(reason),
            symbols=symbols,
            until_us=until_us,
        )
    ]


def set_mode(ledger: Ledger, now_us: int, asked: ModeRequest) -> list[AnyEvent]:
    """
    The events of a pause, of reduce-only, of a freeze, or of a flatten.

    To flatten is to want nothing, and to get nothing else until somebody resumes: what was closed
    stays closed then, if nobody has asked for more since.
    """
    if asked.mode not in DID:
        raise UsageError(f"{asked.mode[:40]!r} is no mode", next_step=f"One of {', '.join(DID)}.")
    check_words(by=asked.by, reason=asked.reason)
    check_symbols(ledger, asked.symbols)
    until_us = _until_us(asked.until, now_us)
    events: list[AnyEvent] = [
        ModeSet(
            at_us=now_us,
            mode=asked.mode,
            by=legible(asked.by),
            reason=legible(asked.reason),
            symbols=asked.symbols,
            until_us=until_us,
        )
    ]
    if asked.mode == modes.FLATTEN:
        events += _zero(ledger, now_us, asked)
    return events


def _zero(ledger: Ledger, now_us: int, asked: ModeRequest) -> list[AnyEvent]:
    """Targets of zero, for all that is held or wanted; or may be held, as nobody has looked yet."""
    events: list[AnyEvent] = []
    for symbol in asked.symbols or tuple(ledger.books):
        book = ledger.books[symbol]
        wanted = book.target is not None and book.target.contracts
        held = book.position or book.anchor is None
        if not (wanted or held) or symbol not in ledger.settings.symbols:
            continue
        request = TargetRequest(
            symbol=symbol,
            contracts=0,
            source=legible(asked.by),
            reason=legible(asked.reason) or "flatten",
        )
        plain = targeting.wanted_of(request, "hold", now_us)
        out = msgspec.structs.replace(plain, way_out=True)
        event = intake.accept(ledger, out, now_us).event
        events += [event] if event is not None else []
    return events


def _until_us(until: str, now_us: int) -> int | None:
    if not until:
        return None
    until_us = moment_us(until, "until")
    if until_us <= now_us:
        raise UsageError(f"until is {until}, which has passed: it would end before it begins")
    return until_us


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
        if no := incidents.objection(ledger, book.frozen_by, symbol, "adopt"):
            raise Refused(f"{symbol} is frozen: {book.frozen}. Not to be adopted: {no}")
        adopted[symbol] = venue - book.position
        if adopted[symbol]:
            events.append(mismatch.adjustment(now_us, book, by, reason))
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


def unwanted(ledger: Ledger, symbols: Sequence[str]) -> tuple[str, ...]:
    """Own orders that may be alive and that a mode does not allow, by client order id."""
    return tuple(
        order.cl_ord_id
        for order in ledger.own_alive()
        if (not symbols or order.symbol in symbols)
        and modes.unwanted(ledger, ledger.books[order.symbol], order)
    )


def command_result(
    ledger: Ledger,
    did: str,
    symbols: tuple[str, ...],
    adopted: dict[str, int] | None = None,
    until: str = "",
) -> CommandResult:
    """The answer to a halt, a mode or a resume."""
    whose = symbols or tuple(ledger.books)
    left = unwanted(ledger, symbols) if did == DID["reduce_only"] else resting(ledger, symbols)
    return CommandResult(
        did=did,
        symbols=whose,
        resting=() if did == DID["flatten"] else left,
        adopted=adopted or {},
        positions={symbol: ledger.books[symbol].position for symbol in whose},
        until=_ends(ledger, did, symbols) if until else None,
        note=_still_stopped(ledger, symbols, did),
    )


def _ends(ledger: Ledger, did: str, symbols: tuple[str, ...]) -> str | None:
    """When it is over by itself: no sooner than a halt that was there before."""
    all_of_it: list[Ledger | Book] = [ledger.books[symbol] for symbol in symbols]
    ends = [NEVER_US]
    for whose in all_of_it or [ledger]:
        until_us = whose.mode_until_us
        if did in ("halted", DID["freeze"]):
            until_us = whose.halted_until_us if did == "halted" else whose.frozen_until_us
        ends.append(NEVER_US if until_us is None else until_us)
    last_us = max(ends[1:])
    return iso(last_us) if last_us < NEVER_US else None


def _still_stopped(ledger: Ledger, symbols: tuple[str, ...], did: str) -> str:
    """What a resume or a flatten did not end."""
    if did not in ("resumed", DID["flatten"]):
        return ""
    for symbol in symbols or tuple(ledger.books):
        book = ledger.books[symbol]
        if did != "resumed" and book.position and symbol not in ledger.settings.named:
            return f"{symbol} is no configured symbol: its position of {book.position:+d} stays"
        words = modes.in_words(ledger, book)
        if not words and did == "resumed":
            words = modes.only_reduces(ledger, book)
        if words:
            return f"{symbol} still waits for {words}; `reconciler resume` ends it for the account"
    return ""


def modes_now(ledger: Ledger) -> list[dict[str, Any]]:
    """Halts and modes in force: of a symbol, or with none of the account."""
    found = []
    everything: list[tuple[str, Ledger | Book]] = [("", ledger), *ledger.books.items()]
    for symbol, whose in everything:
        if whose.halted:
            found.append(_mode(symbol, "halt", whose.halted, whose.halted_until_us))
        if whose.mode:
            found.append(_mode(symbol, whose.mode, whose.mode_why, whose.mode_until_us))
        if whose.frozen_until_us is not None:  # without an end it is an incident, and no more
            why = modes.why_frozen(ledger, whose)
            found.append(_mode(symbol, modes.FREEZE, why, whose.frozen_until_us))
    return found


def _mode(symbol: str, mode: str, why: str, until_us: int | None) -> dict[str, Any]:
    until = iso(until_us) if until_us is not None else None
    return {"symbol": symbol, "mode": mode, "why": why, "until": until}


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
            "mode": ledger.mode,
            "stopping": ledger.stopping,
            **service,
        },
        "modes": modes_now(ledger),
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
        "entry_price": str(book.entry_price) if book.position and book.entry_price else None,
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
