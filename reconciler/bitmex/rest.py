"""
Looking things up: reads by REST, one at a time, in the thread `bitmex-reader`.

A read changes nothing, so it may fail and be repeated; who asked decides that. The only module
that imports requests, and it holds one session: no environment, no retries, no redirects.

Source: https://www.bitmex.com/app/restAPI, and https://www.bitmex.com/api/explorer.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import requests
from requests.adapters import HTTPAdapter

from reconciler.core.events import (
    OVER,
    AnyEvent,
    OrderRead,
    PositionSeen,
    Source,
)
from reconciler.errors import ProtocolError
from reconciler.venue import Host

from . import messages, rows
from .answers import Failure, Reply
from .net import CONNECT_S, Address
from .signing import Signer

API = "/api/v1"
PAGE = 500  # rows; the most that the venue gives of these tables
PAGES_MAX = 400
EXPIRES_S = 30
BODY_MAX = 64 * 1024 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def authorities() -> str:
    """The file of certificate authorities that requests trusts."""
    return requests.utils.DEFAULT_CA_BUNDLE_PATH


class ReadFailed(Exception):
    """A look-up got no usable answer."""

    def __init__(self, answer: Reply | Failure) -> None:
        super().__init__("a look-up got no usable answer")
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer, with what budget and clock want to know of it."""

    reply: Reply | Failure
    sent: int  # `Budget.sent` when it left
    sent_orders: int
    sent_us: int
    received_us: int


@dataclass(slots=True, kw_only=True)
class Found:
    """What a look-up found: rows as events, and the ids of the orders that rest."""

    events: list[AnyEvent] = field(default_factory=list)
    open_order_ids: list[str] = field(default_factory=list)


class Reader:
    """A queue of look-ups and the thread that does them."""

    def __init__(
        self,
        to: Address,
        ca_file: str,
        signer: Signer | None,
        host: Host,
        exchanged: Callable[[Exchange], None],
        crashed: Callable[[BaseException], None],
        timeout_s: float,
        redact: Callable[[bytes], bytes],
    ) -> None:
        scheme = "https" if to.secure else "http"
        self._base = f"{scheme}://{to.authority}{to.path}"
        self._signer = signer
        self._host = host
        self._exchanged = exchanged
        self._crashed = crashed
        self._timeout_s = timeout_s
        self._redact = redact
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = ca_file
        for prefix in ("http://", "https://"):
            self._session.mount(prefix, HTTPAdapter(pool_connections=1, pool_maxsize=1))
        self._tasks: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="bitmex-reader", daemon=True)
        self.not_before_us = 0  # set by the loop: the budget is down to its reserve
        self.sent = self.sent_orders = 0  # set by the loop: as `Budget` counts
        self.offset_us = 0  # set by the loop: venue time minus ours

    def start(self) -> None:
        """Begin to work on the queue."""
        self._thread.start()

    def ask(self, task: Callable[[], None]) -> None:
        """Queue *task*; it runs in the reader thread and may use the look-ups below."""
        with self._wake:
            self._tasks.append(task)
            self._wake.notify()

    def close(self, until_s: float) -> None:
        """End the thread, after the request that it is in."""
        with self._wake:
            self._closing = True
            self._tasks.clear()
            self._wake.notify()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(max(until_s - time.monotonic(), 0.01))
        self._session.close()

    # -- look-ups, in the reader thread

    def executions_since(
        self, since_us: int, account: int | None, wanted: Callable[[], bool]
    ) -> list[AnyEvent]:
        """
        Every execution from *since_us* (venue time) on.

        A page begins at the time of the last row of the page before, so it overlaps, and nothing
        between two pages can slip through. The end is a short page that shows a known row again,
        or an empty one.
        """
        known: dict[str, messages.ExecutionRow] = {}
        start_us, skip = since_us, 0
        for _ in range(PAGES_MAX):
            query = {"count": PAGE, "start": skip, "startTime": iso(start_us), "reverse": "false"}
            page = messages.executions(self._get("/execution", query, wanted))
            overlapped = any(row.execID in known for row in page)
            known.update((row.execID, row) for row in page)
            if not page or (len(page) < PAGE and overlapped):
                break
            last = page[-1].timestamp
            last_us = start_us if last is None else rows.micros(last)
            if last_us > start_us:
                start_us, skip = last_us, 0
            elif len(page) < PAGE and not overlapped:
                break  # all rows bear the time that was asked for: there is nothing to overlap
            else:
                skip += len(page)
        else:
            raise ReadFailed(Failure(code="endless", text="the executions don't end"))
        return [*messages.executions_seen(known.values(), account, Source.READ, self._now())]

    def open_orders(self, account: int | None, wanted: Callable[[], bool]) -> Found:
        """Every order that rests on the account."""
        found = Found()
        for row in self._all("/order", {"filter": '{"open":true}'}, "orderID", wanted):
            if _mine(row, account):
                order = rows.order_seen(row, Source.READ, self._now())
                found.events.append(order)
                if order.status not in OVER and order.leaves > 0:
                    found.open_order_ids.append(order.order_id)
        return found

    def positions(
        self, symbols: tuple[str, ...], account: int | None, wanted: Callable[[], bool]
    ) -> list[AnyEvent]:
        """The position of each of *symbols*, 0 without a row, and of others that are not 0."""
        found: dict[str, list[rows.Row]] = {symbol: [] for symbol in symbols}
        reply = self._get("/position", {"count": PAGE}, wanted)
        for row in messages.rows(reply):
            if _mine(row, account):
                found.setdefault(rows.need_text(row, "symbol"), []).append(row)
        events: list[AnyEvent] = []
        for symbol, together in found.items():
            seen = rows.position_seen(symbol, together, Source.READ, self._now())
            if seen is not None and (seen.contracts or symbol in symbols):
                events.append(seen)
        return events

    def position(self, symbol: str, account: int | None) -> PositionSeen:
        """The position of one symbol, 0 without a row."""
        query = {"count": PAGE, "filter": json.dumps({"symbol": symbol})}
        page = messages.rows(self._get("/position", query, _always))
        together = [row for row in page if row.get("symbol") == symbol and _mine(row, account)]
        seen = rows.position_seen(symbol, together, Source.READ, self._now())
        if seen is None:
            raise ProtocolError(f"the position row of {symbol} says no quantity")
        return seen

    def order(self, request_id: int, cl_ord_id: str, account: int | None) -> list[AnyEvent]:
        """One order by its client id, then its executions: those may be newer, never older."""
        named = {"filter": json.dumps({"clOrdID": cl_ord_id})}
        events: list[AnyEvent] = []
        for row in self._all("/order", named, "orderID", _always):
            if row.get("clOrdID") == cl_ord_id and _mine(row, account):
                events.append(rows.order_seen(row, Source.READ, self._now()))
        orders = len(events)
        found: dict[str, messages.ExecutionRow] = {}
        for skip in range(0, PAGES_MAX * PAGE, PAGE):
            query = {**named, "count": PAGE, "start": skip}
            page = messages.executions(self._get("/execution", query, _always))
            found.update((row.execID, row) for row in page if row.clOrdID == cl_ord_id)
            if len(page) < PAGE:
                break
        now_us = self._now()
        events.extend(messages.executions_seen(found.values(), account, Source.READ, now_us))
        events.append(
            OrderRead(
                at_us=now_us,
                request_id=request_id,
                cl_ord_id=cl_ord_id,
                orders=orders,
                executions=len(events) - orders,
            )
        )
        return events

    def instruments(
        self, symbols: tuple[str, ...], wanted: Callable[[], bool]
    ) -> list[dict[str, object]]:
        """Rules and prices of *symbols* in one answer; no row for what the venue doesn't list."""
        if not symbols:
            return []
        query = {
            "filter": json.dumps({"symbol": symbols}),
            "columns": json.dumps(rows.RULES + rows.PRICES),
            "count": PAGE,
        }
        page = messages.rows(self._get("/instrument", query, wanted))
        found = [row for row in page if row.get("symbol") in symbols]
        for row in found:
            rows.instrument_seen(row, 0)  # if it can't be read, the look-up has failed
        return found

    def body(self, path: str, query: Mapping[str, object]) -> bytes:
        """
        One answer of a public table, as it came.

        Raises:
            ReadFailed: There was none that is of use.
        """
        return self._get(path, query, _always)

    # -- below them

    def _all(
        self, path: str, query: Mapping[str, object], key: str, wanted: Callable[[], bool]
    ) -> list[dict[str, object]]:
        """All rows of a table that matches, each key once, page by page."""
        found: dict[object, dict[str, object]] = {}
        for skip in range(0, PAGES_MAX * PAGE, PAGE):
            page = messages.rows(self._get(path, {**query, "count": PAGE, "start": skip}, wanted))
            for row in page:
                found[rows.need_text(row, key)] = row  # the newest reading of it
            if len(page) < PAGE:
                return list(found.values())
        raise ReadFailed(Failure(code="endless", text=f"the rows of {path} don't end"))

    def _get(self, path: str, query: Mapping[str, object], wanted: Callable[[], bool]) -> bytes:
        """
        The body of one answer with status 200.

        Raises:
            ReadFailed: It was another one, or none came, or *wanted* said that it is useless now.
        """
        self._wait(wanted)
        sent, sent_orders = self.sent, self.sent_orders
        sent_us = self._now()
        reply = self._ask(f"{API}{path}?{urlencode(query, quote_via=quote)}")
        self._exchanged(
            Exchange(
                reply=reply,
                sent=sent,
                sent_orders=sent_orders,
                sent_us=sent_us,
                received_us=self._now(),
            )
        )
        if isinstance(reply, Reply):
            if reply.status == 200:
                return reply.body
            reply = replace(reply, body=self._redact(reply.body))
        raise ReadFailed(reply)

    def _wait(self, wanted: Callable[[], bool]) -> None:
        """Wait for the request budget, unless the look-up became useless."""
        while True:
            if self._closing or not wanted():
                raise ReadFailed(Failure(code="abandoned", unsent=True))
            wait_us = self.not_before_us - self._now()
            if wait_us <= 0:
                return
            with self._wake:
                self._wake.wait_for(lambda: self._closing, min(wait_us / 1_000_000, 0.25))

    def _ask(self, target: str) -> Reply | Failure:
        url = f"{self._base}{target}"
        prepared = requests.Request("GET", url).prepare()
        prepared.headers["accept"] = "application/json"
        if self._signer is not None:
            expires = (self._now() + self.offset_us) // 1_000_000 + EXPIRES_S
            # Signed is what is sent: requests may have encoded the query once more.
            signature = self._signer.sign("GET", prepared.path_url, expires)
            prepared.headers["api-key"] = self._signer.api_key
            prepared.headers["api-expires"] = str(expires)
            prepared.headers["api-signature"] = signature
        until_s = time.monotonic() + self._timeout_s
        try:
            with self._session.send(
                prepared,
                timeout=(CONNECT_S, self._timeout_s),
                allow_redirects=False,
                stream=True,
                verify=self._session.verify,
            ) as response:
                body = bytearray()
                for chunk in response.iter_content(65_536):
                    body += chunk
                    if time.monotonic() > until_s or len(body) > BODY_MAX:
                        response.close()
                        return Failure(code="timeout", text="the answer was too slow or too long")
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(status=response.status_code, headers=headers, body=bytes(body))
        except requests.Timeout:
            return Failure(code="timeout", text="no answer in time")
        except requests.RequestException as error:
            return Failure(code="unreachable", text=type(error).__name__)

    def _now(self) -> int:
        return self._host.now_us()

    # -- the thread

    def _run(self) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._closing or self._tasks)
                    if self._closing:
                        return
                    task = self._tasks.popleft()
                task()
        except BaseException as error:
            self._crashed(error)


def iso(at_us: int) -> str:
    """A time as the venue writes it; milliseconds, never after *at_us*."""
    moment = _EPOCH + timedelta(milliseconds=max(at_us, 0) // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _mine(row: Mapping[str, object], account: int | None) -> bool:
    theirs = row.get("account")
    return theirs is None or account is None or theirs == account


def _always() -> bool:
    return True
