"""
The REST side: a request in, an answer out (protocol sheet, sections 3 to 5, 7 and 12).

Handling has two halves. `admit` is the door: route, signature, expiry, rate limits, load shedding.
`act` is the engine behind it. A fault may keep a request waiting between the two, as a queue would,
and what has passed the door is acted on however late (section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from . import errors, intake, reads
from .auth import Key, KeyRing
from .exchange import Exchange
from .limits import Limits
from .orders import CLOSE
from .protocol import encode, fields_of
from .queries import matches
from .quirks import Quirks
from .stream import Hub
from .times import iso

BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)


@dataclass(slots=True, kw_only=True)
class Request:
    """A request as it arrived."""

    verb: str
    path: str  # decoded, without query
    target: str  # path and query exactly as received: what is signed
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    address: str


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back. ``dropped``: nothing does, the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    delay_s: float = 0.0
    dropped: bool = False


class Asked(NamedTuple):
    """What a handler needs to know."""

    key: Key | None
    fields: dict[str, object]
    now_ms: int

    @property
    def account(self) -> int:
        assert self.key is not None
        return self.key.account


Handler = Callable[["Api", Asked], object]


@dataclass(frozen=True, slots=True)
class Route:
    handler: Handler
    access: str = "public"  # public, read, cancel, order
    burst: bool = False  # counts against the 10-a-second bucket
    shed: bool = False  # refused when the engine is overloaded (section 12.3)


@dataclass(slots=True)
class Admitted:
    """A request that passed the door."""

    request: Request
    route: Route
    key: Key | None
    headers: dict[str, str]
    wait_s: float = 0.0  # in the queue, before it is acted on
    log: dict[str, object] | None = None  # its entry in the truth's log of placements


class Api:
    """All REST routes over one exchange."""

    def __init__(
        self, exchange: Exchange, hub: Hub, keys: KeyRing, limits: Limits, quirks: Quirks
    ) -> None:
        self.exchange = exchange
        self.hub = hub
        self.keys = keys
        self.limits = limits
        self.quirks = quirks
        self.placements: list[dict[str, object]] = []  # every POST /order that arrived

    # -- the door -----------------------------------------------------------------------------

    def admit(self, request: Request, now_ms: int) -> Admitted | Answer:
        """Check a request up to the engine's queue; an `Answer` means that it ends here."""
        log = self._log(request, now_ms)
        try:
            admitted = self._admit(request, now_ms)
        except errors.Refusal as refusal:
            return self._refused(refusal, log)
        admitted.log = log
        if log is not None and admitted.key is not None:
            log["account"] = admitted.key.account
        if admitted.route.access in ("order", "cancel"):
            shut = self._door_faults(admitted)
            if shut is not None:
                if log is not None:
                    log["status"] = None if shut.dropped else shut.status
                return shut
        return admitted

    def _admit(self, request: Request, now_ms: int) -> Admitted:
        route = ROUTES.get((request.verb, request.path.rstrip("/")))
        if route is None:
            raise errors.not_found()
        signed = "api-key" in request.headers
        key = None
        if signed or route.access != "public":
            key = self.keys.verify(
                request.headers, request.verb, request.target, request.body, now_ms
            )
            allowed = (
                key.may_order() if route.access == "order"
                else key.may_cancel() if route.access == "cancel" else True
            )  # fmt: skip
            if not allowed:
                raise errors.forbidden()
        who = f"account {key.account}" if key is not None else request.address
        headers = self.limits.admit(who, signed=key is not None, burst=route.burst, now_ms=now_ms)
        return Admitted(request, route, key, headers)

    def _door_faults(self, admitted: Admitted) -> Answer | None:
        """Faults that strike before the engine."""
        quirks = self.quirks
        if quirks.strikes("lost-request"):
            return Answer(dropped=True)
        if quirks.strikes("rate-limit-429"):
            refusal = errors.rate_limited(1)
            refusal.headers |= admitted.headers | {"x-ratelimit-remaining": "0"}
            return self._refused(refusal, None)
        if admitted.route.shed and not self._exempt(admitted) and quirks.strikes("overload-503"):
            return self._refused(errors.overloaded(), None)
        if quirks.strikes("slow-queue"):
            admitted.wait_s = quirks.seconds("slow-queue", 0.2, 3.0)
        return None

    @staticmethod
    def _exempt(admitted: Admitted) -> bool:
        """Close orders without a quantity are never shed (section 12.3)."""
        try:
            fields = _fields(admitted.request)
        except errors.Refusal:
            return False
        return CLOSE in str(fields.get("execInst", "")) and not fields.get("orderQty")

    # -- the engine ---------------------------------------------------------------------------

    def act(self, admitted: Admitted, now_ms: int) -> Answer:
        """Do what was asked, send the rows, and answer."""
        answer = self._act(admitted, now_ms)
        if admitted.log is not None:
            admitted.log["status"] = None if answer.dropped else answer.status
        return answer

    def _act(self, admitted: Admitted, now_ms: int) -> Answer:
        quirks = self.quirks
        faulty = admitted.route.access in ("order", "cancel")
        if faulty and quirks.strikes("bad-gateway-502"):
            if quirks.stream("bad-gateway-502").random() < 0.5:
                self._run(admitted, now_ms)
            return Answer(status=502, body=BAD_GATEWAY, content_type="text/html")
        answer = self._run(admitted, now_ms)
        if faulty and quirks.strikes("lost-answer"):
            return Answer(dropped=True)
        if faulty and quirks.strikes("slow-answer"):
            answer.delay_s = quirks.seconds("slow-answer", 0.2, 3.0)
        return answer

    def _run(self, admitted: Admitted, now_ms: int) -> Answer:
        try:
            asked = Asked(admitted.key, _fields(admitted.request), now_ms)
            body = encode(admitted.route.handler(self, asked))
            answer = Answer(body=body, headers=admitted.headers)
        except errors.Refusal as refusal:
            refusal.headers |= admitted.headers
            answer = self._refused(refusal, None)
        self.hub.publish(self.exchange.flush(now_ms), now_ms)
        return answer

    @staticmethod
    def _refused(refusal: errors.Refusal, log: dict[str, object] | None) -> Answer:
        if log is not None:
            log["status"] = refusal.status
        return Answer(status=refusal.status, body=encode(refusal.body()), headers=refusal.headers)

    def _log(self, request: Request, now_ms: int) -> dict[str, object] | None:
        """An entry for every placement that arrives, whatever becomes of it."""
        if request.verb != "POST" or request.path != "/api/v1/order":
            return None
        try:
            fields = _fields(request)
        except errors.Refusal:
            fields = {}
        entry: dict[str, object] = {
            "clOrdID": fields.get("clOrdID"), "symbol": fields.get("symbol"),
            "side": fields.get("side"), "orderQty": fields.get("orderQty"),
            "price": fields.get("price"), "at": iso(now_ms), "status": None,
            "account": None,
        }  # fmt: skip
        self.placements.append(entry)
        return entry


def _fields(request: Request) -> dict[str, object]:
    return fields_of(request.body, request.headers.get("content-type", ""), request.query)


# -- order routes -----------------------------------------------------------------------------


def _place(api: Api, asked: Asked) -> object:
    new = intake.new_order(asked.fields, api.exchange.catalogue)
    if api.quirks.strikes("reject-in-200"):
        refused = api.exchange.refuse_row(asked.account, new, "Market is not open", asked.now_ms)
        return refused.row()
    return api.exchange.place(asked.account, new, asked.now_ms).row()


def _amend(api: Api, asked: Asked) -> object:
    amend = intake.amend(asked.fields)
    order = api.exchange.find(asked.account, amend.order_id, amend.orig_cl_ord_id)
    if order is not None and order.working and api.quirks.strikes("amend-race"):
        lot = order.instrument.lot
        part = max(lot, order.leaves // 2 // lot * lot)
        api.exchange.fill_from_house(order, part, asked.now_ms)
    return api.exchange.amend(asked.account, amend, asked.now_ms).row()


def _cancel(api: Api, asked: Asked) -> object:
    fields = asked.fields
    order_ids = intake.names(fields, "orderID")
    client_ids = intake.names(fields, "clOrdID")
    if not order_ids and not client_ids:
        raise errors.invalid("orderID or clOrdID must be sent.")
    for order_id, client_id in [(i, "") for i in order_ids] + [("", c) for c in client_ids]:
        order = api.exchange.find(asked.account, order_id, client_id)
        if order is not None and order.working and api.quirks.strikes("cancel-race"):
            api.exchange.fill_from_house(order, order.leaves, asked.now_ms)
    note = intake.text(fields, "text")
    return api.exchange.cancel(asked.account, order_ids, client_ids, note, asked.now_ms)


def _cancel_all(api: Api, asked: Asked) -> object:
    fields = asked.fields
    if intake.text(fields, "symbol"):
        intake.instrument(fields, api.exchange.catalogue)
    chosen = [
        order for order in api.exchange.open_orders(asked.account) if matches(order.row(), fields)
    ]
    return api.exchange.cancel_all(chosen, intake.text(fields, "text"), asked.now_ms)


def _cancel_all_after(api: Api, asked: Asked) -> object:
    timeout = intake.timeout_ms(asked.fields.get("timeout"))
    fires = api.exchange.arm(asked.account, timeout, asked.now_ms)
    return {"now": iso(asked.now_ms), "cancelTime": iso(fires) if fires else 0}


def _close_position(api: Api, asked: Asked) -> object:
    """Deprecated on BitMEX: Close the whole position, canceling the symbol's other orders."""
    inst = intake.instrument(asked.fields, api.exchange.catalogue)
    held = api.exchange.position(asked.account, inst.symbol).qty
    fields = {
        "symbol": inst.symbol, "execInst": CLOSE, "side": "Sell" if held >= 0 else "Buy",
        "price": asked.fields.get("price"), "text": asked.fields.get("text"),
    }  # fmt: skip
    new = intake.new_order(fields, api.exchange.catalogue)
    if held:
        others = api.exchange.open_orders(asked.account, inst.symbol)
        api.exchange.cancel_all(others, "Canceled via API.", asked.now_ms)
    return api.exchange.place(asked.account, new, asked.now_ms).row()


ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/api/v1/order"): Route(_place, "order", burst=True, shed=True),
    ("PUT", "/api/v1/order"): Route(_amend, "order", burst=True, shed=True),
    ("DELETE", "/api/v1/order"): Route(_cancel, "cancel", burst=True),
    ("DELETE", "/api/v1/order/all"): Route(_cancel_all, "cancel", burst=True),
    ("POST", "/api/v1/order/cancelAllAfter"): Route(_cancel_all_after, "cancel"),
    ("POST", "/api/v1/order/closePosition"): Route(_close_position, "order"),
    ("POST", "/api/v1/position/leverage"): Route(reads.leverage, "order", burst=True, shed=True),
    ("POST", "/api/v1/position/isolate"): Route(reads.isolate, "order", burst=True, shed=True),
    ("GET", "/api/v1/order"): Route(reads.orders, "read"),
    ("GET", "/api/v1/execution"): Route(reads.executions, "read"),
    ("GET", "/api/v1/execution/tradeHistory"): Route(reads.trade_history, "read"),
    ("GET", "/api/v1/position"): Route(reads.positions, "read"),
    ("GET", "/api/v1/user"): Route(reads.user, "read"),
    ("GET", "/api/v1/user/margin"): Route(reads.margin, "read"),
    ("GET", "/api/v1/user/wallet"): Route(reads.wallet, "read"),
    ("GET", "/api/v1/user/walletHistory"): Route(reads.wallet_history, "read"),
    ("GET", "/api/v1/user/commission"): Route(reads.commission, "read"),
    ("GET", "/api/v1/apiKey"): Route(reads.api_keys, "read"),
    ("GET", "/api/v1/wallet/assets"): Route(reads.assets),
    ("GET", "/api/v1/instrument"): Route(reads.instruments),
    ("GET", "/api/v1/instrument/active"): Route(reads.active_instruments),
    ("GET", "/api/v1/instrument/activeAndIndices"): Route(reads.active_instruments),
    ("GET", "/api/v1/instrument/indices"): Route(reads.nothing),
    ("GET", "/api/v1/orderBook/L2"): Route(reads.book),
    ("GET", "/api/v1/quote"): Route(reads.quotes),
    ("GET", "/api/v1/trade"): Route(reads.trades),
    ("GET", "/api/v1/funding"): Route(reads.nothing),
    ("GET", "/api/v1/liquidation"): Route(reads.nothing),
    ("GET", "/api/v1/settlement"): Route(reads.nothing),
    ("GET", "/api/v1/announcement"): Route(reads.nothing),
    ("GET", "/api/v1/announcement/urgent"): Route(reads.nothing),
    ("GET", "/api/v1/schema/websocketHelp"): Route(reads.websocket_help),
    ("GET", "/api/v1"): Route(reads.about),
}
