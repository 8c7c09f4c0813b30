"""
The REST side: a request in, an answer out (protocol sheet, sections 3 to 5, 7 and 12).

Handling has two halves. `admit` is the door: route, signature, expiry, rate limits, load shedding.
`act` is the engine behind it. A fault may keep a request waiting between the two, as a queue would,
and what has passed the door is acted on however late (section 2.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from . import errors, intake
from .auth import Key, KeyRing
from .exchange import Exchange
from .formats import rendered
from .limits import Bans, Limits
from .order_faults import OrderFaults
from .orders import Row
from .protocol import encode
from .quirks import Quirks
from .rest_faults import RestFaults
from .routes import ROUTES
from .stream import Hub
from .times import iso
from .web import Answer, Asked, Request, Route


@dataclass(slots=True)
class Admitted:
    """A request that passed the door."""

    request: Request
    route: Route
    key: Key | None
    headers: dict[str, str]
    wait_s: float = 0.0  # in the queue, before it is acted on
    log: Sequence[Row] = ()  # its entries in the truth's log of placements, one an order


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
        self.faults = RestFaults(self)
        self.order_faults = OrderFaults(exchange, hub, quirks)
        # Every order that a POST asked for: the newest, and how many there were.
        keep = exchange.forgetting.keep
        self.placements: deque[Row] = deque(maxlen=keep or None)
        self.placed = 0
        self.bans = Bans()
        self._requests = 0

    # -- the door -----------------------------------------------------------------------------

    def admit(self, request: Request, now_ms: int) -> Admitted | Answer:
        """Check a request up to the engine's queue; an `Answer` means that it ends here."""
        log = self._log(request, now_ms)
        trace = self._trace()
        try:
            admitted = self._admit(request, now_ms)
        except errors.Refusal as refusal:
            self._count_refusal(request, refusal, now_ms)
            refusal.headers |= trace
            return self._refused(refusal, log)
        admitted.headers |= trace
        admitted.log = log
        if admitted.key is not None:
            for entry in log:
                entry["account"] = admitted.key.account
        shut = self.faults.at_door(admitted, now_ms)
        if shut is None:
            return admitted
        for entry in log:
            entry["status"] = None if shut.dropped else shut.status
        return shut

    def _trace(self) -> dict[str, str]:
        """Headers that name a request, on every answer since December 2025 (section 3)."""
        self._requests += 1
        return {"x-request-id": f"00000000-0000-4000-8000-{self._requests:012x}",
                "x-stream-id": "1"}  # fmt: skip

    def _admit(self, request: Request, now_ms: int) -> Admitted:
        if self.quirks.asked("ip-ban"):
            self.bans.check(request.address, now_ms)
        verb = "GET" if request.verb == "HEAD" else request.verb
        route = ROUTES.get((verb, request.path.rstrip("/")))
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
            if not key.admits(request.address):
                raise errors.wrong_address()
            if not allowed:
                raise errors.forbidden()
        who = f"account {key.account}" if key is not None else request.address
        headers = self.limits.admit(who, signed=key is not None, burst=route.burst, now_ms=now_ms)
        return Admitted(request, route, key, headers)

    def _count_refusal(self, request: Request, refusal: errors.Refusal, now_ms: int) -> None:
        if not self.quirks.on("ip-ban"):
            return
        if self.bans.enough(request.address, refusal.status, now_ms):
            if self.quirks.strikes("ip-ban"):
                self.bans.ban(request.address, now_ms)

    # -- the engine ---------------------------------------------------------------------------

    def act(self, admitted: Admitted, now_ms: int) -> Answer:
        """Do what was asked, send the rows, and answer."""
        answer = self.faults.act(admitted, now_ms)
        for entry in admitted.log:
            entry["status"] = None if answer.dropped else answer.status
        return answer

    def run(self, admitted: Admitted, now_ms: int) -> Answer:
        """What the engine does with a request, and its honest answer."""
        self.hub.turn.begin(now_ms)
        try:
            fields = admitted.request.fields()
            asked = Asked(admitted.key, fields, now_ms)
            made = admitted.route.handler(self, asked)
            if self.hub.legacy is not None:
                made = self.hub.legacy.rest(admitted.request.path, made)
            body, kind = rendered(made, fields.get("_format"))
            answer = Answer(body=body, headers=admitted.headers, content_type=kind)
        except errors.Refusal as refusal:
            self._count_refusal(admitted.request, refusal, now_ms)
            refusal.headers |= admitted.headers
            answer = self._refused(refusal, ())
        self.hub.turn.done(now_ms)
        return answer

    @staticmethod
    def _refused(refusal: errors.Refusal, log: Sequence[Row]) -> Answer:
        for entry in log:
            entry["status"] = refusal.status
        return Answer(status=refusal.status, body=encode(refusal.body()), headers=refusal.headers)

    def _log(self, request: Request, now_ms: int) -> Sequence[Row]:
        """An entry for every order that is asked for, whatever becomes of it."""
        log = [
            {
                "clOrdID": fields.get("clOrdID"), "symbol": fields.get("symbol"),
                "side": fields.get("side"), "orderQty": fields.get("orderQty"),
                "price": fields.get("price"), "at": iso(now_ms), "status": None,
                "account": None,
            }
            for fields in _placements(request)
        ]  # fmt: skip
        self.placements += log
        self.placed += len(log)
        return log


def _placements(request: Request) -> Sequence[intake.Fields]:
    """The fields of each order that a request places: one, those of a bulk call, or none."""
    path = request.path.rstrip("/")
    if request.verb != "POST" or path not in ("/api/v1/order", "/api/v1/order/bulk"):
        return ()
    try:
        fields = request.fields()
        return [fields] if path == "/api/v1/order" else intake.objects(fields, "orders")
    except errors.Refusal:  # it cannot be read; a bulk call of nothing asks for nothing
        return [{}] if path == "/api/v1/order" else ()
