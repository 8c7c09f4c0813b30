"""
What the answer to a request proves: the one table of it.

Refused means: the venue said, in its own JSON, that nothing happened. Done means: it said what
happened. All else, time-outs, proxies' pages, cut-off bodies, contradictions, is in doubt; that is
no failure and no reason to ask again, but a state that only evidence ends.

| status | body | place, amend, dead man | cancel |
|---|---|---|---|
| 200 | the row(s) asked for | done | done when cancelled, nothing when the row has an error |
| 200 | `[]` | in doubt | nothing |
| 400 | venue's error: Duplicate ... (place) | in doubt, `duplicate_id` | refused |
| 400 | venue's error: one of `NOTHING_TO_CANCEL` | refused | nothing |
| 400 | venue's error: ... unchanged (amend) | done | |
| 400 | venue's error: Invalid ordStatus (amend only) | nothing | |
| 404 | venue's error | refused | nothing |
| 400, 401, 403, 429 | venue's error, any other | refused | refused |
| 503 | venue's error, exactly the overload text | refused, `overloaded` | refused |
| else | anything | in doubt | in doubt |

Source: https://www.bitmex.com/app/restAPI, "Overload" and "REST API messages".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime

import msgspec

from reconciler.core.events import (
    Answered,
    AnyEvent,
    DeadManAcked,
    OrderSeen,
    OrderStatus,
    Outcome,
    Source,
)
from reconciler.errors import ProtocolError

from . import messages, rows

OVERLOADED = "The system is currently overloaded. Please try again later."
DUPLICATE = "Duplicate"  # clOrdID, orderID: something of that name is there
#: A cancel found nothing that it could end. The engine's own word for an id that it does not know
#: is "Invalid orderID" (it stands in the execution row of such a cancel, too).
NOTHING_TO_CANCEL = (
    "Unable to cancel",
    "Not found",
    "Not Found",
    "Invalid orderID",
    "Invalid ordStatus",
)
RETRY_MAX_US = 300_000_000  # a longer wait is not believed


class Kind(enum.Enum):
    """What was asked."""

    PLACE = "place"
    AMEND = "amend"
    CANCEL = "cancel"
    DEAD_MAN = "dead_man"
    READ = "read"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer must be about."""

    kind: Kind
    request_id: int
    cl_ord_id: str = ""
    symbol: str = ""
    timeout_ms: int = 0  # of the dead man


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No whole answer."""

    code: str  # "timeout", "reset", "cut_off"...
    text: str = ""
    unsent: bool = False  # proven: not one byte left


class _Said(msgspec.Struct):
    message: str
    name: str | None = None


class _Error(msgspec.Struct):
    error: _Said


_error = msgspec.json.Decoder(_Error)

#: How the venue's refusals begin, and the code that we give them.
CODES = (
    ("This request has expired", "expired"),
    ("Account has insufficient", "insufficient_balance"),
    ("Account has no", "insufficient_balance"),
    ("Account is in margin call", "margin_call"),
    ("Account is suspended", "account_blocked"),
    ("Account is restricted", "account_blocked"),
    ("Executing at order price", "liquidation_price"),
    ("Order price is", "liquidation_price"),
    ("Position is in liquidation", "in_liquidation"),
    ("Price greater than limitUpPrice", "price_limit"),
    ("Price less than limitDownPrice", "price_limit"),
    ("Value of position", "risk_limit"),
    ("Order had execInst of ReduceOnly", "nothing_to_reduce"),
    ("Order had execInst of Close", "nothing_to_reduce"),
    ("Market is not open", "market_closed"),
    ("Instrument expired", "market_closed"),
    ("Instrument not listed", "market_closed"),
    ("Rate limit exceeded", "rate_limited"),
    ("Rate-limit has been reached", "rate_limited"),
    ("Duplicate", "duplicate_id"),
    ("Unable to cancel", "unable_to_cancel"),
    ("Invalid ordStatus", "over"),
)
CODES_BY_STATUS = {
    400: "invalid",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    429: "rate_limited",
}


def said(reply: Reply) -> str | None:
    """The message of an error in the venue's own JSON shape, None when it is not one."""
    try:
        return _error.decode(reply.body.decode()).error.message  # all of it is text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def retry_after_us(headers: Mapping[str, str], now_us: int) -> int:
    """
    How long the header `retry-after` asks us to wait: never below 0, never above five minutes.

    Args:
        headers: It may be in seconds, fractions included, or a date; absent and unreadable are 0.
        now_us: To compare a date with, unless the answer names its own.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return 0
    try:
        seconds = Decimal(value)
        if not seconds.is_finite():
            return 0
        wait = min(max(seconds, Decimal(0)), Decimal(RETRY_MAX_US)) * 1_000_000
    except InvalidOperation:
        until = http_date_us(value)
        if until is None:
            return 0
        wait = Decimal(until - (http_date_us(headers.get("date", "")) or now_us))
    return int(min(max(wait, Decimal(0)), Decimal(RETRY_MAX_US)))


def http_date_us(value: str) -> int | None:
    """A date of HTTP in microseconds since the epoch, None when it is none."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return rows.micros(moment)


def events_of(asked: Asked, answer: Reply | Failure, at_us: int) -> list[AnyEvent]:
    """What an answer proves: rows first, then exactly one `Answered`."""
    if isinstance(answer, Failure):
        outcome = Outcome.NOT_SENT if answer.unsent else Outcome.IN_DOUBT
        return [_answered(asked, outcome, at_us, code=answer.code, text=answer.text)]
    if answer.status == 200:
        try:
            if asked.kind is Kind.CANCEL:
                return _cancelled(asked, answer, at_us)
            if asked.kind is Kind.DEAD_MAN:
                return _dead_man(asked, answer, at_us)
            return _placed(asked, answer, at_us)
        except ProtocolError as error:
            return [_doubt(asked, answer, at_us, "unreadable", error.message)]
    return [_failed(asked, answer, at_us)]


def _answered(
    asked: Asked,
    outcome: Outcome,
    at_us: int,
    *,
    code: str = "",
    text: str = "",
    reply: Reply | None = None,
    venue_order_id: str = "",
) -> Answered:
    return Answered(
        at_us=at_us,
        request_id=asked.request_id,
        outcome=outcome,
        code=code,
        status=None if reply is None else reply.status,
        text=rows.cleaned(text),
        retry_after_us=0 if reply is None else retry_after_us(reply.headers, at_us),
        venue_order_id=venue_order_id,
    )


def _doubt(asked: Asked, reply: Reply, at_us: int, code: str, text: str = "") -> Answered:
    text = text or reply.body[:200].decode("utf-8", "replace")
    return _answered(asked, Outcome.IN_DOUBT, at_us, code=code, text=text, reply=reply)


def _failed(asked: Asked, reply: Reply, at_us: int) -> Answered:
    """The table for every status but 200."""
    message = said(reply)
    if message is None:
        return _doubt(asked, reply, at_us, f"http_{reply.status}")
    outcome, code = Outcome.IN_DOUBT, f"http_{reply.status}"
    if reply.status == 503 and message == OVERLOADED:
        outcome, code = Outcome.REFUSED, "overloaded"
    elif reply.status in CODES_BY_STATUS:
        outcome, code = Outcome.REFUSED, CODES_BY_STATUS[reply.status]
        for beginning, known in CODES:
            if message.startswith(beginning):
                code = known
                break
        outcome = _refined(asked, reply.status, message, outcome)
    return _answered(asked, outcome, at_us, code=code, text=message, reply=reply)


def _refined(asked: Asked, status: int, message: str, outcome: Outcome) -> Outcome:
    """Refusals that are more, or less, than that."""
    if asked.kind is Kind.CANCEL:
        if status == 404 or (status == 400 and message.startswith(NOTHING_TO_CANCEL)):
            return Outcome.NOTHING
    elif status == 400 and asked.kind is Kind.PLACE and message.startswith(DUPLICATE):
        return Outcome.IN_DOUBT  # what it is a duplicate of may be this very order
    elif status == 400 and asked.kind is Kind.AMEND:
        if message.startswith("Invalid amend") and "unchanged" in message:
            return Outcome.DONE
        if message.startswith("Invalid ordStatus"):
            return Outcome.NOTHING
    return outcome


def _placed(asked: Asked, reply: Reply, at_us: int) -> list[AnyEvent]:
    """The answer to a placement or an amend is the order's row."""
    order = rows.order_seen(messages.one_object(reply.body), Source.REPLY, at_us)
    if order.cl_ord_id != asked.cl_ord_id or (asked.symbol and order.symbol != asked.symbol):
        return [_doubt(asked, reply, at_us, "another_order")]
    done = _answered(
        asked,
        Outcome.DONE,
        at_us,
        code=order.status.value,
        text=order.text,
        reply=reply,
        venue_order_id=order.order_id,
    )
    return [order, done]


def _cancelled(asked: Asked, reply: Reply, at_us: int) -> list[AnyEvent]:
    """The answer to a cancel is a list: rows of cancelled orders, or stubs with an error."""
    found = messages.rows(reply.body)
    if not found:
        return [_answered(asked, Outcome.NOTHING, at_us, code="no_order", reply=reply)]
    events: list[AnyEvent] = []
    cancelled = pending = False
    error = order_id = ""
    for row in found:
        name = rows.text(row, "clOrdID")
        if asked.cl_ord_id and name != asked.cl_ord_id and (name or len(found) > 1):
            return [_doubt(asked, reply, at_us, "another_order")]
        failed = rows.text(row, "error")
        error = error or failed
        if failed and not (name and row.get("symbol") and row.get("ordStatus")):
            continue  # a stub: it says that the cancel failed, and nothing of the order
        order = rows.order_seen(row, Source.REPLY, at_us)
        if failed and order.status is OrderStatus.REJECTED:
            continue  # said of the request
        events.append(order)
        order_id = order.order_id
        cancelled = cancelled or (not failed and order.status is OrderStatus.CANCELLED)
        pending = pending or (not failed and order.status is OrderStatus.PENDING)
    outcome, code = Outcome.NOTHING, "unable_to_cancel"
    if cancelled or pending:
        outcome, code = Outcome.DONE, "cancelled" if cancelled else "pending"
    elif not error and not _over(events):
        return [*events, _doubt(asked, reply, at_us, "not_cancelled")]
    answered = _answered(
        asked, outcome, at_us, code=code, text=error, reply=reply, venue_order_id=order_id
    )
    return [*events, answered]


def _over(events: list[AnyEvent]) -> bool:
    ended = (OrderStatus.FILLED, OrderStatus.REJECTED, OrderStatus.EXPIRED)
    return all(isinstance(event, OrderSeen) and event.status in ended for event in events)


def _dead_man(asked: Asked, reply: Reply, at_us: int) -> list[AnyEvent]:
    """The switch answers with the moment at which it will fire; none when disarmed."""
    row = messages.one_object(reply.body)
    if asked.timeout_ms and not isinstance(row.get("cancelTime"), str):
        return [_doubt(asked, reply, at_us, "not_armed")]
    return [
        DeadManAcked(at_us=at_us, timeout_ms=asked.timeout_ms),
        _answered(asked, Outcome.DONE, at_us, reply=reply),
    ]


def not_sent(request_id: int, at_us: int, code: str, wait_us: int = 0) -> Answered:
    """The answer to what was not sent at all: nothing happened, for sure."""
    return Answered(
        at_us=at_us,
        request_id=request_id,
        outcome=Outcome.NOT_SENT,
        code=code,
        retry_after_us=wait_us,
    )
