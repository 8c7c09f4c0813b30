"""
Answers of the venue, honest and not: as bytes on a connection, as replies, as pages of look-ups.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from reconciler.bitmex import rest
from reconciler.bitmex.answers import Asked, Failure, Kind, Reply, events_of, retry_after_us
from reconciler.bitmex.connection import Connection
from reconciler.bitmex.signing import Signer
from reconciler.bitmex.vitals import Vitals
from reconciler.core import events as e
from reconciler.errors import ProtocolError
from tests.bitmex import made
from tests.fuzz.frames import CONFIG, NOW_MS, Still, encoded, execution, order, spelt
from tests.fuzz.material import VALUES, damaged, hostile

STATUS = (200, 200, 200, 200, 201, 204, 301, 302, 400, 400, 401, 403, 404, 429, 429, 500)
MORE_STATUS = (502, 503, 503, 504, 520, 0, 999)
REFUSING = {400, 401, 403, 404, 429, 503}
MESSAGES = (
    "The system is currently overloaded. Please try again later.",
    "The system is currently overloaded. Please try again later. ",
    "Duplicate clOrdID",
    "Unable to cancel order due to existing state: Filled",
    "Not Found",
    "Invalid ordStatus",
    "Invalid amend: orderQty, leavesQty, price, stopPx unchanged",
    "Account has insufficient Available Balance, 5 XBt required",
    "Rate limit exceeded, retry in 1 seconds.",
    "This request has expired - `expires` is in the past",
    "",
    "\x00\x1b[31m<script>",
    "x" * 5_000,
)
HEADERS = {
    "retry-after": [
        *b"1 0 -1 1.5 1e3 1e999999 -1e999999 9e99999999999 NaN sNaN inf soon 9".split(),
        b"Wed, 20 May 2026 11:00:05 GMT",
        b"Fri, 31 Dec 9999 23:59:59 -2359",
        b"x" * 3_000,
    ],
    "date": [
        b"Wed, 20 May 2026 11:00:00 GMT",
        b"Mon, 01 Jan 0001 00:00:00 +2359",
        b"Fri, 31 Dec 9999 23:59:59 -2359",
        b"Wed, 99 May 99999999999999 11:00:00 GMT",
        b"",
        b"yesterday",
    ],
    "x-ratelimit-limit": b"120 60 0 -1 999999 9999999 1e3 x".split(),
    "x-ratelimit-remaining": b"119 0 -5 999999 1.5 x".split(),
    "x-ratelimit-remaining-1s": b"9 0 -5 99999999 x".split(),
    "x-ratelimit-limit-1s": b"10 0 1 x".split(),
}
PAGES = (
    b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
    b"",
    b"upstream connect error or disconnect/reset before headers",
    b"error code: 520",
    b"[]",
    b"{}",
    b"null",
    b'{"error":{}}',
    b'{"error":"no"}',
    b'{"error":null}',
    b'{"error":{"message":null}}',
    b'{"error":{"message":5,"name":"HTTPError"}}',
)


def body(rng: random.Random) -> bytes:
    """A body of any sort."""
    what = rng.randrange(6)
    if what == 0:
        return rng.choice(PAGES)
    if what < 3:
        said = {"error": {"message": rng.choice(MESSAGES), "name": "HTTPError"}}
        return hostile(rng, said)
    if what == 3:
        return hostile(rng, {"now": made.AT, "cancelTime": made.AT})
    row = order(rng) | {"clOrdID": rng.choice(("rc-17", "rc-17", "rc-18"))}
    if rng.random() < 0.3:
        row["error"] = rng.choice(MESSAGES)
    return hostile(rng, row if what == 4 else [row] * rng.randrange(0, 3))


def headers(rng: random.Random) -> dict[str, str]:
    """Some headers, seldom as they should be."""
    return {
        name: rng.choice(values).decode() for name, values in HEADERS.items() if rng.random() < 0.5
    }


def refusal_of(said: bytes) -> str | None:
    """The message of an error in the venue's own shape, read by plain json."""
    try:
        value = json.loads(said, parse_float=spelt, parse_int=spelt)
    except (ValueError, RecursionError):
        return None
    error = value.get("error") if isinstance(value, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else None


class Replies:
    """Whole answers, through the table that says what they prove."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.vitals = Vitals()
        self.at_us = NOW_MS * 1000

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng = self.rng
        kind = rng.choice((Kind.PLACE, Kind.PLACE, Kind.AMEND, Kind.CANCEL, Kind.DEAD_MAN))
        asked = Asked(
            kind=kind,
            request_id=rng.randrange(1, 99),
            cl_ord_id="" if kind is Kind.DEAD_MAN else "rc-17",
            symbol="XBTUSD",
            timeout_ms=rng.choice((0, 60_000)),
        )
        said = body(rng)
        status = rng.choice(STATUS + MORE_STATUS)
        reply = Reply(status=status, headers=headers(rng), body=said)
        self.at_us += 1_000
        self.vitals.learn(reply, 0, 0, self.at_us - 500, self.at_us)
        encoded(self.vitals.news(self.at_us))
        assert 0 <= retry_after_us(reply.headers, self.at_us) <= 300_000_000
        told = events_of(asked, reply, self.at_us)
        encoded(told)
        self.judge(asked, reply, told)
        return said

    def judge(self, asked: Asked, reply: Reply, told: list[Any]) -> None:
        """One answer, and never more certainty than the venue's own words give."""
        answered = [event for event in told if isinstance(event, e.Answered)]
        assert len(answered) == 1
        assert told[-1] is answered[0]
        assert answered[0].request_id == asked.request_id
        outcome = answered[0].outcome
        self.seen[outcome.value] += 1
        assert outcome is not e.Outcome.NOT_SENT, "an answer came: it was sent"
        if outcome is e.Outcome.IN_DOUBT:
            return
        if reply.status == 200:
            assert outcome is not e.Outcome.REFUSED
            value: Any = json.loads(reply.body.decode("utf-8", "replace"), parse_float=spelt)
            assert isinstance(value, list) == (asked.kind is Kind.CANCEL)
            if asked.kind in (Kind.PLACE, Kind.AMEND):
                assert value["clOrdID"] == asked.cl_ord_id
                assert value["symbol"] == asked.symbol
        else:
            assert reply.status in REFUSING, f"status {reply.status} proves nothing"
            assert refusal_of(reply.body) is not None, f"{outcome}: {reply.body[:200]!r}"
        for event in told:
            if isinstance(event, e.OrderSeen):
                assert event.cl_ord_id in ("", asked.cl_ord_id)


class Wires:
    """Bytes of an answer, on a connection, cut anywhere."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()

    def close(self) -> None: ...

    def one(self) -> bytes:
        rng = self.rng
        said = body(rng)
        if len(said) > 60_000:
            said = said[:60_000]
        status = rng.choice((b"200 OK", b"400 Bad Request", b"503 x", b"502", b"20", b"-1 x"))
        lines = [b"HTTP/1.1 " + status]
        lines += [f"{name}: {value}".encode() for name, value in headers(rng).items()]
        plain, framing = said, rng.randrange(5)
        if framing < 3:
            lines.append(b"content-length: %d" % len(said))
        elif framing == 3:
            lines.append(b"transfer-encoding: chunked")
            said = b"%x\r\n%s\r\n0\r\n\r\n" % (len(said), said) if said else b"0\r\n\r\n"
        whole = b"\r\n".join(lines) + b"\r\n\r\n" + said
        sent, cut = whole, False
        drawn = rng.random()
        if drawn < 0.4:
            sent, cut = whole[: rng.randrange(len(whole))], True
        elif drawn < 0.5:
            sent = damaged(rng, whole)
        answer = self.read(sent)
        assert isinstance(answer, (Reply, Failure))
        if isinstance(answer, Failure):
            self.seen[answer.code] += 1
            assert not answer.unsent, "its request was sent"
        else:
            self.seen["whole"] += 1
            assert not cut or answer.body == plain, f"cut off, yet whole: {sent[-200:]!r}"
        return sent

    @staticmethod
    def read(sent: bytes) -> Reply | Failure:
        ours, theirs = socket.socketpair()
        try:
            theirs.sendall(sent)
            theirs.close()
            pool = SimpleNamespace(timeout_s=1.0)
            connection = Connection(cast(Any, pool), ours, 1)
            return connection._read(time.monotonic() + 1)[0]
        finally:
            ours.close()


class Pages:
    """Look-ups whose pages say anything."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.seen: Counter[str] = Counter()
        self.said: list[bytes] = []
        self.reader = rest.Reader(
            CONFIG.rest,
            rest.authorities(),
            Signer("sim-key", "sim-secret"),
            Still(),
            lambda exchange: None,
            lambda error: None,
            1.0,
            CONFIG.redacted_bytes,
        )
        self.reader._get = self.get  # type: ignore[method-assign]

    def close(self) -> None:
        self.reader._session.close()

    def get(self, path: str, query: Any, wanted: Any) -> bytes:
        """Two pages, then none: so that what is asked for page by page ends."""
        rng = self.rng
        if len(self.said) >= 2:
            return b"[]"
        make = execution if path == "/execution" else position if path == "/position" else order
        rows = [make(rng) for _ in range(rng.randrange(0, 4))]
        said = rng.choice(PAGES) if rng.random() < 0.05 else hostile(rng, rows)
        self.said.append(said)
        return said

    def one(self) -> bytes:
        rng, reader = self.rng, self.reader
        self.said.clear()
        what = rng.randrange(6)
        found: list[Any] = []
        try:
            if what == 0:
                found = reader.executions_since(NOW_MS * 1000, 1001, lambda: True)
            elif what == 1:
                found = reader.open_orders(1001, lambda: True).events
            elif what == 2:
                found = reader.positions(("XBTUSD",), 1001, lambda: True)
            elif what == 3:
                found = [reader.position("XBTUSD", 1001)]
            elif what == 4:
                found = reader.order(5, "rc-17", 1001)
            else:
                reader.instruments(("XBTUSD", "ETHUSD"), lambda: True)
            self.seen["read"] += 1
        except ProtocolError:
            self.seen["refused"] += 1
        except rest.ReadFailed as error:
            self.seen["failed"] += 1
            encoded(events_of(Asked(kind=Kind.READ, request_id=1), error.answer, 1))
        encoded(found)
        for event in found:
            price = getattr(event, "price", None)
            assert price is None or isinstance(price, Decimal)
        return b"\n".join(self.said)


def position(rng: random.Random) -> dict[str, Any]:
    """A row of the position table."""
    return {
        "account": 1001,
        "symbol": rng.choice(("XBTUSD", "ETHUSD")),
        "currentQty": rng.choice((0, 100, -300)),
        "avgEntryPrice": 61250.5,
        "isOpen": True,
        "timestamp": made.AT,
        "oddity": rng.choice(VALUES[:40]),
    }
