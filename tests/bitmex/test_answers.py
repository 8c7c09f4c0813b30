"""The error table, a row a case."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.bitmex.answers import (
    OVERLOADED,
    RETRY_MAX_US,
    Asked,
    Failure,
    Kind,
    Reply,
    events_of,
    retry_after_us,
)
from reconciler.core.events import (
    Answered,
    DeadManAcked,
    OrderSeen,
    OrderStatus,
    Outcome,
    Source,
)

from .made import ORDER_ID, order

HTML = b"<html><body>Bad gateway</body></html>"


def error(message: str, name: str = "HTTPError") -> bytes:
    return json.dumps({"error": {"message": message, "name": name}}).encode()


def ask(kind: Kind, status: int, body: Any, **headers: str) -> list[Any]:
    """The events of an answer; the last one is the verdict."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = Asked(
        kind=kind,
        request_id=9,
        cl_ord_id="" if kind is Kind.DEAD_MAN else "rc-17",
        symbol="XBTUSD",
        timeout_ms=60_000,
    )
    events = events_of(asked, Reply(status=status, headers=headers, body=raw), 5)
    assert isinstance(events[-1], Answered)
    assert events[-1].request_id == 9
    assert events[-1].status == status
    assert not any(isinstance(event, Answered) for event in events[:-1])
    return events


@pytest.mark.parametrize("kind", [Kind.PLACE, Kind.AMEND, Kind.DEAD_MAN])
@pytest.mark.parametrize(
    ("status", "body", "outcome", "code"),
    [
        (400, error("'symbol' is a required arg.", "ValidationError"), "refused", "invalid"),
        (400, error("Invalid price tickSize"), "refused", "invalid"),
        (
            400,
            error("Account has insufficient Available Balance, 112069 XBt required"),
            "refused",
            "insufficient_balance",
        ),
        (400, error("This request has expired - `expires` is in the past."), "refused", "expired"),
        (400, error("Market is not open"), "refused", "market_closed"),
        (
            400,
            error("Order had execInst of ReduceOnly and side of Buy but current position is 100"),
            "refused",
            "nothing_to_reduce",
        ),
        (
            400,
            error("Rate-limit has been reached: usage=[60], limit=[6]."),
            "refused",
            "rate_limited",
        ),
        (400, error("A message nobody has seen", "CodedHTTPError"), "refused", "invalid"),
        (401, error("Signature not valid."), "refused", "unauthorised"),
        (401, error("This request has expired - x"), "refused", "expired"),
        (403, error("Access Denied"), "refused", "forbidden"),
        (404, error("Not Found"), "refused", "not_found"),
        (429, error("Rate limit exceeded, retry in 1 seconds."), "refused", "rate_limited"),
        (503, error(OVERLOADED), "refused", "overloaded"),
        (503, error(OVERLOADED + " "), "in_doubt", "http_503"),
        (503, error("Service unavailable"), "in_doubt", "http_503"),
        (503, HTML, "in_doubt", "http_503"),
        (400, HTML, "in_doubt", "http_400"),
        (401, b'{"error":"Invalid API Key."}', "in_doubt", "http_401"),
        (403, HTML, "in_doubt", "http_403"),
        (404, HTML, "in_doubt", "http_404"),
        (429, b"", "in_doubt", "http_429"),
        (409, error("Conflict"), "in_doubt", "http_409"),
        (500, error("Server Error"), "in_doubt", "http_500"),
        (502, HTML, "in_doubt", "http_502"),
        (504, b"", "in_doubt", "http_504"),
        (520, HTML, "in_doubt", "http_520"),
        (301, b"", "in_doubt", "http_301"),
        (302, error("Moved"), "in_doubt", "http_302"),
        (201, order(), "in_doubt", "http_201"),
        (204, b"", "in_doubt", "http_204"),
        (200, b"", "in_doubt", "unreadable"),
        (200, HTML, "in_doubt", "unreadable"),
        (200, [], "in_doubt", "unreadable"),
        (200, b'{"orderID":"5d1f0c7e', "in_doubt", "unreadable"),
        (400, b'{"error":{"message":', "in_doubt", "http_400"),
    ],
)
def test_errors(kind: Kind, status: int, body: Any, outcome: str, code: str) -> None:
    """Refused is only what the venue refused in its own words; the rest is in doubt."""
    (answered,) = ask(kind, status, body)
    assert (answered.outcome, answered.code) == (outcome, code)


def test_an_answer_without_the_order_is_in_doubt() -> None:
    """A 200 with an error, or without what every order has, proves nothing."""
    for body in (error("Something"), {"orderID": ORDER_ID}, order(orderQty="300")):
        (answered,) = ask(Kind.PLACE, 200, body)
        assert answered.outcome is Outcome.IN_DOUBT


def test_placed() -> None:
    """The row of the order comes before the verdict, and names the venue's id."""
    seen, answered = ask(Kind.PLACE, 200, order())
    assert isinstance(seen, OrderSeen)
    assert (seen.status, seen.source) == (OrderStatus.NEW, Source.REPLY)
    assert answered.outcome is Outcome.DONE
    assert answered.venue_order_id == ORDER_ID


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Rejected", OrderStatus.REJECTED),
        ("Canceled", OrderStatus.CANCELLED),
        ("Filled", OrderStatus.FILLED),
        ("Frozen", OrderStatus.UNKNOWN),
    ],
)
def test_placed_and_over_at_once(word: str, status: OrderStatus) -> None:
    """A 200 does not mean resting: the row says what became of the order."""
    seen, answered = ask(Kind.PLACE, 200, order(ordStatus=word, leavesQty=0))
    assert seen.status is status
    assert answered.outcome is Outcome.DONE


@pytest.mark.parametrize("changes", [{"clOrdID": "rc-18"}, {"clOrdID": ...}, {"symbol": "ETHUSD"}])
@pytest.mark.parametrize("kind", [Kind.PLACE, Kind.AMEND])
def test_an_answer_about_another_order_is_in_doubt(kind: Kind, changes: dict[str, Any]) -> None:
    """A row that is not the order asked for proves nothing of it, and is not told."""
    (answered,) = ask(kind, 200, order(**changes))
    assert (answered.outcome, answered.code) == (Outcome.IN_DOUBT, "another_order")


def test_a_duplicate_is_in_doubt() -> None:
    """A duplicate client id may be our own first attempt, so it is no refusal."""
    (answered,) = ask(Kind.PLACE, 400, error("Duplicate clOrdID"))
    assert (answered.outcome, answered.code) == (Outcome.IN_DOUBT, "duplicate_id")


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ("Invalid amend: orderQty, leavesQty, price, stopPx unchanged", "done"),
        ("Invalid ordStatus", "nothing"),
        ("Invalid ordStatus: Filled", "nothing"),
        ("Invalid origClOrdID", "refused"),
        ("Invalid price", "refused"),
    ],
)
def test_amends(message: str, outcome: str) -> None:
    """An amend to what is so already is done; one of an order that is over changed nothing."""
    (answered,) = ask(Kind.AMEND, 400, error(message))
    assert answered.outcome == outcome


STUB = {
    "account": 400123,
    "error": "Unable to cancel order",
    "orderID": ORDER_ID,
    "timestamp": "2026-05-20T11:03:00.010Z",
    "workingIndicator": False,
}
FILLED = order(
    ordStatus="Filled",
    leavesQty=0,
    cumQty=300,
    error="Unable to cancel order due to existing state: Filled",
)


@pytest.mark.parametrize(
    ("status", "body", "outcome", "statuses"),
    [
        (200, [order(ordStatus="Canceled", leavesQty=0)], "done", [OrderStatus.CANCELLED]),
        (200, [order(ordStatus="PendingCancel")], "done", [OrderStatus.PENDING]),
        (200, [STUB], "nothing", []),
        (200, [{**STUB, "error": "Unable to cancel order: Not found or not owned by user"}],
         "nothing", []),
        (200, [FILLED], "nothing", [OrderStatus.FILLED]),
        (200, [order(ordStatus="Rejected", error="Invalid orderID")], "nothing", []),
        (200, [order(ordStatus="Filled", leavesQty=0)], "nothing", [OrderStatus.FILLED]),
        (200, [], "nothing", []),
        (200, [order(ordStatus="New")], "in_doubt", [OrderStatus.NEW]),
        (200, [order(clOrdID="rc-18", ordStatus="Canceled")], "in_doubt", []),
        (200, [STUB, STUB], "in_doubt", []),
        (200, order(ordStatus="Canceled"), "in_doubt", []),
        (200, b"[", "in_doubt", []),
        (404, error("Not Found"), "nothing", []),
        (404, HTML, "in_doubt", []),
        (400, error("Unable to cancel order due to existing state: Canceled"), "nothing", []),
        (400, error("Not found or not owned by user"), "nothing", []),
        (400, error("Invalid clOrdID"), "refused", []),
        (401, error("Signature not valid."), "refused", []),
        (429, error("Rate limit exceeded, retry in 1 seconds."), "refused", []),
        (503, error(OVERLOADED), "refused", []),
        (503, HTML, "in_doubt", []),
        (502, HTML, "in_doubt", []),
    ],
)  # fmt: skip
def test_cancels(status: int, body: Any, outcome: str, statuses: list[OrderStatus]) -> None:
    """A cancel is done, definitely changed nothing, or is in doubt; rows beside it are told."""
    *seen, answered = ask(Kind.CANCEL, status, body)
    assert answered.outcome == outcome
    assert [event.status for event in seen] == statuses


def test_two_orders_under_one_name() -> None:
    """If a cancel ends two orders of one client id, both rows are told."""
    rows = [
        order(ordStatus="Canceled", leavesQty=0),
        order(ordStatus="Canceled", leavesQty=0, orderID="another"),
    ]
    *seen, answered = ask(Kind.CANCEL, 200, rows)
    assert {event.order_id for event in seen} == {ORDER_ID, "another"}
    assert answered.outcome is Outcome.DONE


def test_dead_man() -> None:
    """The switch is armed only when the venue names the moment."""
    armed, answered = ask(
        Kind.DEAD_MAN,
        200,
        {"now": "2026-05-20T11:00:00.000Z", "cancelTime": "2026-05-20T11:01:00.000Z"},
    )
    assert armed == DeadManAcked(at_us=5, timeout_ms=60_000)
    assert answered.outcome is Outcome.DONE
    for body in ({"now": "2026-05-20T11:00:00.000Z", "cancelTime": 0}, {}):
        (answered,) = ask(Kind.DEAD_MAN, 200, body)
        assert answered.outcome is Outcome.IN_DOUBT


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (Failure(code="timeout"), "in_doubt"),
        (Failure(code="reset"), "in_doubt"),
        (Failure(code="cut_off"), "in_doubt"),
        (Failure(code="unreachable", unsent=True), "not_sent"),
    ],
)
def test_no_answer(failure: Failure, outcome: str) -> None:
    """Without an answer a request is in doubt, unless it is proven that nothing left."""
    (answered,) = events_of(Asked(kind=Kind.PLACE, request_id=1), failure, 5)
    assert isinstance(answered, Answered)
    assert (answered.outcome, answered.code) == (outcome, failure.code)


NOW_US = 1_800_000_000_000_000  # Fri, 15 Jan 2027 08:00:00 GMT


@pytest.mark.parametrize(
    ("value", "wait_us"),
    [
        ("1", 1_000_000),
        ("0.25", 250_000),
        ("0", 0),
        ("-5", 0),
        ("1e30", RETRY_MAX_US),
        ("86400", RETRY_MAX_US),
        ("nan", 0),
        ("inf", 0),
        ("soon", 0),
        ("", 0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30_000_000),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2027 18:00:00 GMT", RETRY_MAX_US),
        ("Fri, 99 Jan 2027 18:00:00 GMT", 0),
    ],
)
def test_retry_after(value: str, wait_us: int) -> None:
    """Seconds, fractions and dates are understood; nothing makes us wait for hours."""
    assert retry_after_us({"retry-after": value}, NOW_US) == wait_us
    assert retry_after_us({}, NOW_US) == 0


def test_retry_after_by_the_venues_own_clock() -> None:
    """A date is compared with the answer's own date, so a wrong clock of ours does no harm."""
    headers = {
        "retry-after": "Fri, 15 Jan 2027 08:00:30 GMT",
        "date": "Fri, 15 Jan 2027 08:00:20 GMT",
    }
    assert retry_after_us(headers, 0) == 10_000_000
    (answered,) = ask(Kind.PLACE, 429, error("Rate limit exceeded"), **{"retry-after": "2"})
    assert answered.retry_after_us == 2_000_000


@given(st.text(max_size=40))
def test_any_retry_after(value: str) -> None:
    """Whatever the header holds, the wait is between nothing and five minutes."""
    assert 0 <= retry_after_us({"retry-after": value}, NOW_US) <= RETRY_MAX_US


@given(
    st.sampled_from([Kind.PLACE, Kind.AMEND, Kind.CANCEL, Kind.DEAD_MAN]),
    st.integers(100, 599),
    st.binary(max_size=80) | st.sampled_from([json.dumps(order()).encode(), error("x")]),
)
def test_any_answer(kind: Kind, status: int, body: bytes) -> None:
    """Every answer has exactly one verdict; no 5xx but the overload text is ever a refusal."""
    answered = ask(kind, status, body)[-1]
    if status >= 500:
        assert answered.outcome is Outcome.IN_DOUBT
    assert answered.text.isprintable()
