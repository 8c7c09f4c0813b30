"""
Plans: what targets would lead to, before anybody sets them.

The first order is what the planner itself decides, on a copy of the ledger. A plan is good for five
minutes, for one use, and only while nothing that it stands on has moved; prices may.
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from reconciler.core.decisions import AmendOrder, AnyDecision, CancelOrder, PlaceOrder
from reconciler.core.events import Quoted
from reconciler.core.ledger import Book, Ledger
from reconciler.core.limits import worth
from reconciler.core.step import step
from reconciler.core.targets import intake, modes
from reconciler.errors import PlanExpired, PlanMoved, Refused, UsageError
from reconciler.service.door import TargetRequest, TargetsRequest
from reconciler.service.moments import iso
from reconciler.service.targeting import QuoteOf, absolute, named, wanted_of, whole

VALID_US = 300_000_000
MOST_PLANS = 100
BPS = Decimal(10_000)


class Plan(NamedTuple):
    """What was planned, and on what it stands."""

    until_us: int
    request: TargetsRequest  # in contracts
    forms: dict[str, str]  # in which each symbol was asked for, if not in contracts
    stands_on: dict[str, dict[str, object]]


class Plans:
    """The plans of one run of the service: kept in memory, because they are worth five minutes."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}

    def make(
        self,
        request: TargetsRequest,
        default_on_expiry: str,
        now_us: int,
        ledger: Ledger,
        quote_of: QuoteOf,
    ) -> dict[str, Any]:
        """The rows of a plan; with an id, if nothing of it is refused."""
        shown, asked, forms = drawn(request, default_on_expiry, now_us, ledger, quote_of)
        self._plans = {name: one for name, one in self._plans.items() if one.until_us > now_us}
        if not any(row["refused"] for row in shown["rows"]):
            name = secrets.token_hex(4).upper()
            stands_on = {one.symbol: _stands_on(ledger, one.symbol) for one in asked}
            if request.prune:  # the others are to have no target: one that comes is a move
                for symbol in ledger.settings.symbols:
                    stands_on.setdefault(symbol, {"version": ledger.book(symbol).version})
            for oldest in [*self._plans][: 1 - MOST_PLANS]:
                del self._plans[oldest]
            whole_request = msgspec.structs.replace(request, targets=asked, prune=False)
            self._plans[name] = Plan(now_us + VALID_US, whole_request, forms, stands_on)
            shown |= {"plan_id": name, "valid_until": iso(now_us + VALID_US)}
        return shown

    def take(self, name: str, now_us: int, ledger: Ledger) -> Plan:
        """
        A plan, which is used up by it.

        Raises:
            PlanExpired: There is no such plan any more.
            PlanMoved: Something that it stands on has changed.
        """
        plan = self._plans.get(name)
        if plan is None or plan.until_us <= now_us:
            raise PlanExpired(f"plan {name[:20]!r} is not known, used up, or older than 5 minutes")
        for symbol, before in plan.stands_on.items():
            now = _stands_on(ledger, symbol)
            moved = [what for what, value in before.items() if now[what] != value]
            if moved:
                raise PlanMoved(
                    f"plan {name}: {symbol} has moved since: {_apart(moved[0], before, now)}",
                    symbol=symbol,
                    moved=", ".join(moved),
                )
        del self._plans[name]
        return plan


def _apart(what: str, before: dict[str, object], now: dict[str, object]) -> str:
    old, new = before[what], now[what]
    return what if what == "settings" else f"{what} was {old or 'none'}, is {new or 'none'}"


def _stands_on(ledger: Ledger, symbol: str) -> dict[str, object]:
    """What must not have moved between a plan and its use."""
    book = ledger.book(symbol)
    return {
        "version": book.version,
        "target": book.target.contracts if book.target is not None else None,
        "position": book.position,
        "order": book.live,
        "what stops it": modes.in_words(ledger, book) or modes.only_reduces(ledger, book),
        "rules": book.instrument_version,
        "settings": ledger.settings,
    }


def drawn(
    request: TargetsRequest,
    default_on_expiry: str,
    now_us: int,
    ledger: Ledger,
    quote_of: QuoteOf,
) -> tuple[dict[str, Any], tuple[TargetRequest, ...], dict[str, str]]:
    """
    The rows of a plan, its targets in contracts, and the forms that these were asked in.

    The ledger is left as it is.
    """
    copy = msgspec.json.decode(msgspec.json.encode(ledger), type=Ledger)
    rows, asked, forms = [], [], {}
    for one in whole(request, ledger, now_us):
        quote = quote_of(one.symbol)
        try:
            accepted = intake.accept(copy, wanted_of(one, default_on_expiry, now_us), now_us, quote)
        except Refused as refusal:
            rows.append(_refused(copy, one, refusal))
            continue
        except UsageError as error:
            raise named(one.symbol[:40], error) from None
        decisions: list[AnyDecision] = []
        if accepted.event is not None:
            forms[one.symbol] = accepted.event.asked
            now = _of_now(quote, now_us)
            event = msgspec.structs.replace(accepted.event, quote=now or msgspec.UNSET)
            decisions = step(copy, event).decisions
            if now is not None and copy.book(one.symbol).wants_quote:
                decisions += step(copy, now).decisions
        asked.append(absolute(one, accepted.contracts))
        rows.append(_row(copy, one.symbol, accepted, decisions, quote))
    worst = {row["symbol"]: row["worst_case"] for row in rows if row["worst_case"]}
    changed = sum(row["gap"] != 0 or not row["unchanged"] for row in rows)
    shown = {
        "plan_id": "",
        "valid_until": None,
        "rows": rows,
        "worst_case": worst,
        "changed": changed,
    }
    return shown, tuple(asked), forms


def _of_now(quote: Quoted | None, now_us: int) -> Quoted | None:
    return msgspec.structs.replace(quote, at_us=now_us) if quote is not None else None


def _refused(ledger: Ledger, one: TargetRequest, refusal: Refused) -> dict[str, Any]:
    book = ledger.books.get(one.symbol)
    return {
        "symbol": one.symbol,
        "position": book.position if book is not None else None,
        "target": one.contracts,
        "gap": None,
        "unchanged": False,
        "first_order": "",
        "waiting_for": "",
        "cost_bps": None,
        "margin_minor": None,
        "currency": "",
        "limits": refusal.message,
        "refused": refusal.code,
        "worst_case": None,
    }


def _row(
    ledger: Ledger,
    symbol: str,
    accepted: intake.Accepted,
    decisions: list[AnyDecision],
    quote: Quoted | None,
) -> dict[str, Any]:
    book = ledger.book(symbol)
    target = accepted.contracts
    mine = [one for one in decisions if getattr(one, "symbol", "") == symbol]
    first = next((one for one in mine if isinstance(one, PlaceOrder)), None)
    low, high = book.worst_case()
    blocked = book.waiting_for if _is_a_limit(book.waiting_for) else ""
    return {
        "symbol": symbol,
        "position": book.position,
        "target": target,
        "gap": target - book.position,
        "unchanged": accepted.event is None,
        "first_order": ", then ".join(filter(None, map(in_words, mine))),
        "waiting_for": "" if first else book.waiting_for,
        "cost_bps": _cost_bps(book, first),
        "margin_minor": _margin_minor(book, target, quote),
        "currency": book.instrument.settle_currency if book.instrument is not None else "",
        "limits": blocked or "ok",
        "refused": "",
        "worst_case": [min(low, target, book.position), max(high, target, book.position)],
    }


def in_words(decision: AnyDecision) -> str:
    """A decision as a person would say it."""
    match decision:
        case PlaceOrder():
            side = "Buy" if decision.contracts > 0 else "Sell"
            how = " post" if decision.post_only else ""
            how += " reduce-only" if decision.reduce_only else ""
            how += " immediate" if decision.immediate else ""
            return f"{side} {abs(decision.contracts)} @ {decision.price}{how}"
        case AmendOrder():
            return f"amend {decision.cl_ord_id} to {decision.price}"
        case CancelOrder():
            return f"cancel {decision.cl_ord_id}"
    return ""


def _is_a_limit(waiting_for: str) -> bool:
    return "limits." in waiting_for


def _cost_bps(book: Book, order: PlaceOrder | None) -> str | None:
    """
    Fee and half spread of the first order, in basis points of the mid; below zero it earns.

    What crosses is counted at the price that is there now, what rests at its own.
    """
    if order is None or order.bid is None or order.ask is None or book.instrument is None:
        return None
    side = 1 if order.contracts > 0 else -1
    mid = (order.bid + order.ask) / 2
    price = (order.ask if side > 0 else order.bid) if order.immediate else order.price
    fee = book.instrument.maker_fee if order.post_only else book.instrument.taker_fee
    cost = side * (price - mid) / mid * BPS + fee * BPS
    return f"{cost.quantize(Decimal('0.1')):f}"


def _margin_minor(book: Book, target: int, quote: Quoted | None) -> int | None:
    """How much more the target is worth than what is held: its margin at a leverage of one."""
    if book.instrument is None or quote is None or quote.mark is None:
        return None
    wanted = worth.notional(book.instrument, target, quote.mark)
    held = worth.notional(book.instrument, book.position, quote.mark)
    return None if wanted is None or held is None else wanted - held
