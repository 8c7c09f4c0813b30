"""
Every status with every kind of body, and every sentence of BitMEX's list: what each of them proves.

The tables here say it once more, in rows, so that a change of one's mind has to be made twice.
"""

from __future__ import annotations

import json

import pytest

from reconciler.bitmex.answers import OVERLOADED, Asked, Kind, Reply, events_of
from reconciler.core.events import Answered, Outcome

from .made import order

KINDS = (Kind.PLACE, Kind.AMEND, Kind.DEAD_MAN, Kind.CANCEL)
STATUSES = (
    100, 101, 102, 103, 199, 201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401,
    402, 403, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 418, 419, 421, 422, 425, 426, 428,
    429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 520, 521, 522, 523, 524, 525, 530, 599,
)  # fmt: skip


def error(message: object, name: object = "HTTPError", **more: object) -> bytes:
    return json.dumps({"error": {"message": message, "name": name, **more}}).encode()


#: Bodies that are an error in the venue's own shape.
OWN_WORDS = {
    "HTTPError": error("Words that nobody has seen"),
    "ValidationError": error("Words that nobody has seen", "ValidationError"),
    "RateLimitError": error("Words that nobody has seen", "RateLimitError"),
    "CodedHTTPError": error("Words that nobody has seen", "CodedHTTPError", details="19000"),
    "a name to come": error("Words that nobody has seen", "QuantumError", seen=[1, {"a": None}]),
    "no name": json.dumps({"error": {"message": "Words that nobody has seen"}}).encode(),
}
#: Bodies that anybody between us may have made, or that were damaged on the way.
NO_WORDS = {
    "empty": b"",
    "blank": b" \r\n",
    "html": b"<html><head><title>502 Bad Gateway</title></head><body></body></html>",
    "text": b"upstream connect error or disconnect/reset before headers",
    "string error": b'{"error":"Invalid API Key."}',
    "cut off": OWN_WORDS["HTTPError"][:-9],
    "one byte short": OWN_WORDS["HTTPError"][:-1],
    "one byte more": OWN_WORDS["HTTPError"] + b"}",
    "no message": b'{"error":{"name":"HTTPError"}}',
    "null message": error(None),
    "number message": error(5),
    "null error": b'{"error":null}',
    "list": b"[]",
    "null": b"null",
    "number": b"503",
    "not text": b'{"error":{"message":"\xff\xfe","name":"HTTPError"}}',
    "nested without end": b'{"error":' * 5_000,
    "gzip": bytes.fromhex("1f8b0800000000000003"),
    "the row of an order": json.dumps(order()).encode(),
}
#: What the venue says with these, in its own words, is a definite no; with all others, nothing.
NO = {400: "invalid", 401: "unauthorised", 403: "forbidden", 404: "not_found", 429: "rate_limited"}


def verdict(kind: Kind, status: int, body: bytes, **headers: str) -> Answered:
    asked = Asked(
        kind=kind,
        request_id=9,
        cl_ord_id="" if kind is Kind.DEAD_MAN else "rc-17",
        symbol="XBTUSD",
        timeout_ms=60_000,
    )
    events = events_of(asked, Reply(status=status, headers=headers, body=body), 5)
    (answered,) = [event for event in events if isinstance(event, Answered)]
    assert events[-1] is answered
    if answered.outcome in (Outcome.REFUSED, Outcome.IN_DOUBT) and status != 200:
        assert len(events) == 1, "a failure tells no rows"
    return answered


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", STATUSES)
def test_every_status_with_every_kind_of_body(kind: Kind, status: int) -> None:
    """Only five statuses refuse, only in the venue's own words; the unknown is in doubt."""
    for name, body in OWN_WORDS.items():
        answered = verdict(kind, status, body)
        if kind is Kind.CANCEL and status == 404:
            assert answered.outcome is Outcome.NOTHING, name
        elif status in NO:
            assert (answered.outcome, answered.code) == (Outcome.REFUSED, NO[status]), name
        else:
            assert (answered.outcome, answered.code) == (Outcome.IN_DOUBT, f"http_{status}"), name
    for name, body in NO_WORDS.items():
        answered = verdict(kind, status, body)
        assert (answered.outcome, answered.code) == (Outcome.IN_DOUBT, f"http_{status}"), name


@pytest.mark.parametrize("name", [*OWN_WORDS, *NO_WORDS])
def test_a_200_with_anything_but_the_row_is_in_doubt(name: str) -> None:
    """Status 200 is no promise: an order is placed, amended or armed only if the body says so."""
    body = {**OWN_WORDS, **NO_WORDS}[name]
    for kind in (Kind.PLACE, Kind.AMEND):
        done = name == "the row of an order"
        assert verdict(kind, 200, body).outcome is (Outcome.DONE if done else Outcome.IN_DOUBT)
    assert verdict(Kind.DEAD_MAN, 200, body).outcome is Outcome.IN_DOUBT
    nothing = name == "list"  # no order of that id: the venue names none
    outcome = Outcome.NOTHING if nothing else Outcome.IN_DOUBT
    assert verdict(Kind.CANCEL, 200, body).outcome is outcome


#: Sentence, status, what it proves of a placement, its code, and what it proves of a cancel.
SENTENCES = [
    ("'symbol' is a required arg.", 400, "refused", "invalid", "refused"),
    ("Account has insufficient Available Balance, 112069 XBt required", 400, "refused",
     "insufficient_balance", "refused"),
    ("Account has insufficient Available Balance", 400, "refused", "insufficient_balance",
     "refused"),
    ("Account has no XBt", 400, "refused", "insufficient_balance", "refused"),
    ("Account is in margin call", 400, "refused", "margin_call", "refused"),
    ("Account is suspended", 400, "refused", "account_blocked", "refused"),
    ("Account is restricted", 403, "refused", "account_blocked", "refused"),
    ("Accounts do not match", 400, "refused", "invalid", "refused"),
    ("Duplicate clOrdID", 400, "in_doubt", "duplicate_id", "refused"),
    ("Duplicate clOrdID: rc-17", 400, "in_doubt", "duplicate_id", "refused"),
    ("Duplicate orderID", 400, "in_doubt", "duplicate_id", "refused"),
    ("Executing at order price would lead to immediate liquidation", 400, "refused",
     "liquidation_price", "refused"),
    ("Executing at order price would put account deeper into margin call", 400, "refused",
     "liquidation_price", "refused"),
    ("Instrument expired", 400, "refused", "market_closed", "refused"),
    ("Instrument not listed for trading yet", 400, "refused", "market_closed", "refused"),
    ("Instrument has no mark price", 400, "refused", "invalid", "refused"),
    ("Invalid execInst", 400, "refused", "invalid", "refused"),
    ("Invalid leavesQty for lotSize", 400, "refused", "invalid", "refused"),
    ("Invalid ordStatus", 400, "refused", "over", "nothing"),
    ("Invalid ordStatus: Filled", 400, "refused", "over", "nothing"),
    ("Invalid orderID", 400, "refused", "invalid", "nothing"),
    ("Invalid orderQty", 400, "refused", "invalid", "refused"),
    ("Invalid price tickSize", 400, "refused", "invalid", "refused"),
    ("Market is not open", 400, "refused", "market_closed", "refused"),
    ("Nonce is not increasing. This nonce: 1, last nonce: 2", 400, "refused", "invalid", "refused"),
    ("Order had execInst of Close and side of Sell but current position is 0", 400, "refused",
     "nothing_to_reduce", "refused"),
    ("Order had execInst of ReduceOnly and side of Buy but current position is 100", 400,
     "refused", "nothing_to_reduce", "refused"),
    ("Order price is above the liquidation price of current short position", 400, "refused",
     "liquidation_price", "refused"),
    ("Order price is below the liquidation price of current long position", 400, "refused",
     "liquidation_price", "refused"),
    ("Order quantity must be a multiple of lot size: 100", 400, "refused", "invalid", "refused"),
    ("Position is in liquidation", 400, "refused", "in_liquidation", "refused"),
    ("Price greater than limitUpPrice", 400, "refused", "price_limit", "refused"),
    ("Price less than limitDownPrice", 400, "refused", "price_limit", "refused"),
    ("Unsupported ordType", 400, "refused", "invalid", "refused"),
    ("Value of position and orders exceeds position Risk Limit", 400, "refused", "risk_limit",
     "refused"),
    ("Value of positions and orders exceeds account Risk Limit", 400, "refused", "risk_limit",
     "refused"),
    ("orderQty is invalid", 400, "refused", "invalid", "refused"),
    ("Rate-limit has been reached: usage=[60], limit=[6].", 400, "refused", "rate_limited",
     "refused"),
    ("This request has expired - `expires` is in the past. Current time: 1516534870", 400,
     "refused", "expired", "refused"),
    ("This request has expired - `expires` is in the past. Current time: 1516534870", 401,
     "refused", "expired", "refused"),
    ("Signature not valid.", 401, "refused", "unauthorised", "refused"),
    ("Invalid API Key.", 401, "refused", "unauthorised", "refused"),
    ("This key is disabled.", 401, "refused", "unauthorised", "refused"),
    ("This IP address is not allowed to use this key.", 403, "refused", "forbidden", "refused"),
    ("Access Denied", 403, "refused", "forbidden", "refused"),
    ("Not Found", 404, "refused", "not_found", "nothing"),
    ("Unable to cancel order due to existing state: Filled", 400, "refused", "unable_to_cancel",
     "nothing"),
    ("Unable to cancel order: Not found or not owned by user", 400, "refused", "unable_to_cancel",
     "nothing"),
    ("Rate limit exceeded, retry in 1 seconds.", 429, "refused", "rate_limited", "refused"),
    (OVERLOADED, 503, "refused", "overloaded", "refused"),
    # The same words elsewhere, or others in the same place, prove nothing.
    (OVERLOADED[:-1], 503, "in_doubt", "http_503", "in_doubt"),
    (OVERLOADED + " Or not.", 503, "in_doubt", "http_503", "in_doubt"),
    (OVERLOADED.upper(), 503, "in_doubt", "http_503", "in_doubt"),
    ("", 503, "in_doubt", "http_503", "in_doubt"),
    ("Service unavailable", 503, "in_doubt", "http_503", "in_doubt"),
    (OVERLOADED, 502, "in_doubt", "http_502", "in_doubt"),
    ("Market is not open", 500, "in_doubt", "http_500", "in_doubt"),
    ("Duplicate clOrdID", 409, "in_doubt", "http_409", "in_doubt"),
    ("Rate limit exceeded, retry in 1 seconds.", 503, "in_doubt", "http_503", "in_doubt"),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "status", "placed", "code", "cancelled"), SENTENCES)
@pytest.mark.parametrize("name", ["HTTPError", "ValidationError", "CodedHTTPError", "Error"])
def test_every_sentence_of_the_venue(
    sentence: str, status: int, placed: str, code: str, cancelled: str, name: str
) -> None:
    """It is the message that counts, by how it begins, and never the class that is named."""
    body = error(sentence, name)
    answered = verdict(Kind.PLACE, status, body)
    assert (answered.outcome, answered.code, answered.text) == (placed, code, sentence)
    assert verdict(Kind.CANCEL, status, body).outcome == cancelled


@pytest.mark.parametrize(
    ("header", "wait_us"),
    [
        ({"retry-after": "1"}, 1_000_000),
        ({"retry-after": "0.25"}, 250_000),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "604800"}, 300_000_000),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:07 GMT",
          "date": "Fri, 15 Jan 2027 08:00:00 GMT"}, 7_000_000),
        ({}, 0),
    ],
)  # fmt: skip
def test_every_form_of_retry_after(header: dict[str, str], wait_us: int) -> None:
    """A 429 is a no in each of them, and the wait reaches the core with it."""
    body = error("Rate limit exceeded, retry in 1 seconds.", "RateLimitError")
    for kind in KINDS:
        answered = verdict(kind, 429, body, **header)
        assert (answered.outcome, answered.retry_after_us) == (Outcome.REFUSED, wait_us)
