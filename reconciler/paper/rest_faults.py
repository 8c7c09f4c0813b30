"""
What befalls a REST request before the engine, and its answer behind it.

Every fault is drawn for itself, in the order of this file; the first that ends the request wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors
from .faults import ANSWER, DOOR, READ
from .orders import CLOSE
from .protocol import encode
from .series import resolve
from .web import Answer

if TYPE_CHECKING:
    from .rest import Admitted, Api

#: How long a request may queue behind the door. A client that gives one up sooner than the longest
#: of these after its expiry may be wrong.
QUEUES_S = (0.2, 3.0)
ELSEWHERE = "https://elsewhere.invalid"  # a name that can never be looked up
RETRY_AFTER = ("Wed, 21 Oct 2037 07:28:00 GMT", "", "86400", "-1", "0.5")  # "": no header at all
# Answers that tell nothing: half of the requests behind them were acted on.
AMBIGUOUS: dict[str, tuple[int, str, bool]] = {  # fault -> (status, what it is called, HTML)
    "bad-gateway-502": (502, "Bad Gateway", True),
    "gateway-timeout-504": (504, "Gateway Time-out", True),
    "unknown-520": (520, "Web server is returning an unknown error", True),
    "server-error-500": (500, "Server Error", False),
    "unavailable-503": (503, "Service unavailable", False),
    "conflict-409": (409, "Conflict", False),
}


class RestFaults:
    """The faults of one venue's REST side."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._quirks = api.quirks
        self.down_until_ms = 0  # no connection is answered until then
        self.suspended_until_ms = 0  # nothing is traded, amended or canceled until then

    # -- before the engine -----------------------------------------------------------------------

    def at_door(self, admitted: Admitted, now_ms: int) -> Answer | None:
        """An answer, when a fault ends the request here; it may also be told to wait."""
        if now_ms < self.down_until_ms:
            return Answer(dropped=True)
        if admitted.route.access not in ("order", "cancel"):
            return None
        if now_ms < self.suspended_until_ms:
            return _refused(errors.bad_request("Market is not open"), admitted)
        if not self._quirks.any_on(DOOR):
            return None
        symbol = self.symbol_of(admitted)
        if self._quirks.strikes("lost-request", symbol):
            return Answer(dropped=True)
        refusal = self._refusal(admitted, symbol, now_ms)
        if refusal is not None:
            return _refused(refusal, admitted)
        if self._quirks.strikes("redirect", symbol):
            return Answer(status=302, headers={"location": ELSEWHERE + admitted.request.target})
        self._delay(admitted, symbol)
        return None

    def _refusal(
        self, admitted: Admitted, symbol: str | None, now_ms: int
    ) -> errors.Refusal | None:
        quirks = self._quirks
        if quirks.strikes("rate-limit-429", symbol):
            refusal = errors.rate_limited(1)
            refusal.headers["x-ratelimit-remaining"] = "0"
            return refusal
        if quirks.strikes("odd-retry-after", symbol):
            refusal = errors.rate_limited(1)
            header = quirks.stream("odd-retry-after").choice(RETRY_AFTER)
            refusal.headers = {"retry-after": header} if header else {}
            return refusal
        if quirks.strikes("clock-skew", symbol):
            return errors.expired(now_ms // 1000)
        if admitted.route.shed and not _exempt(admitted):
            if quirks.strikes("overload-503", symbol):
                return errors.overloaded()
        if admitted.request.verb in ("POST", "PUT") and admitted.route.access == "order":
            if quirks.strikes("market-not-open", symbol):
                return errors.bad_request("Market is not open")
        return None

    def _delay(self, admitted: Admitted, symbol: str | None) -> None:
        quirks = self._quirks
        if quirks.strikes("slow-queue", symbol):
            admitted.wait_s = quirks.seconds("slow-queue", *QUEUES_S)
        if admitted.key is not None and quirks.strikes("drop-in-flight", symbol):
            admitted.wait_s = max(admitted.wait_s, quirks.seconds("drop-in-flight", 0.2, 1.0))
            self._api.hub.disconnect(admitted.key.account)

    # -- behind the engine -----------------------------------------------------------------------

    def act(self, admitted: Admitted, now_ms: int) -> Answer:
        """Let the engine act on a request, or not, and do to its answer what a fault does."""
        if admitted.route.access not in ("order", "cancel"):
            return self._read(admitted, now_ms)
        if not self._quirks.any_on(ANSWER):
            return self._api.run(admitted, now_ms)
        symbol = self.symbol_of(admitted)
        for name, (status, title, html) in AMBIGUOUS.items():
            if self._quirks.strikes(name, symbol):
                return self._ambiguous(name, status, title, html, admitted, now_ms)
        answer = self._api.run(admitted, now_ms)
        if self._quirks.strikes("lost-answer", symbol):
            return Answer(dropped=True)
        answer.cut = self._quirks.strikes("cut-answer", symbol)
        answer.closes = self._quirks.strikes("idle-close", symbol)
        if self._quirks.strikes("slow-answer", symbol):
            answer.delay_s = self._quirks.seconds("slow-answer", 0.2, 3.0)
        return answer

    def _ambiguous(
        self, name: str, status: int, title: str, html: bool, admitted: Admitted, now_ms: int
    ) -> Answer:
        quirks = self._quirks
        if quirks.stream(name).random() < 0.5:
            self._api.run(admitted, now_ms)
        if html:
            answer = Answer(status=status, body=_page(status, title), content_type="text/html")
        else:
            refusal = errors.Refusal(status, title)
            answer = Answer(status=status, body=encode(refusal.body()), headers=admitted.headers)
        if status == 504:
            answer.delay_s = quirks.seconds(name, 0.2, 1.0)
        return answer

    def _read(self, admitted: Admitted, now_ms: int) -> Answer:
        quirks = self._quirks
        if not quirks.any_on(READ):
            return self._api.run(admitted, now_ms)
        if quirks.strikes("lost-read"):
            return Answer(dropped=True)
        if quirks.strikes("bad-read-502"):
            return Answer(status=502, body=_page(502, "Bad Gateway"), content_type="text/html")
        answer = self._api.run(admitted, now_ms)
        if quirks.strikes("slow-read"):
            answer.delay_s = quirks.seconds("slow-read", 0.2, 3.0)
        return answer

    def symbol_of(self, admitted: Admitted) -> str | None:
        """The symbol that a request is about: named, or that of the order that it names."""
        try:
            fields = admitted.request.fields()
        except errors.Refusal:
            return None
        named = fields.get("symbol")
        if isinstance(named, str) and named:
            return resolve(named, self._api.exchange)
        if admitted.key is None:
            return None
        order_id = fields.get("orderID")
        client_id = fields.get("origClOrdID") or fields.get("clOrdID")
        order = self._api.exchange.find(
            admitted.key.account,
            order_id if isinstance(order_id, str) else "",
            client_id if isinstance(client_id, str) else "",
        )
        return None if order is None else order.instrument.symbol


def _refused(refusal: errors.Refusal, admitted: Admitted) -> Answer:
    headers = admitted.headers | refusal.headers
    if refusal.status in (401, 403):
        headers = {}  # these answers lack the rate limit's (section 3)
    return Answer(status=refusal.status, body=encode(refusal.body()), headers=headers)


def _exempt(admitted: Admitted) -> bool:
    """Close orders without a quantity are never shed (section 12.3)."""
    try:
        fields = admitted.request.fields()
    except errors.Refusal:
        return False
    return CLOSE in str(fields.get("execInst", "")) and not fields.get("orderQty")


def _page(status: int, title: str) -> bytes:
    """An HTML page as a proxy makes one."""
    return (
        f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{status} {title}</h1></center>\r\n</body>\r\n</html>\r\n"
    ).encode()
