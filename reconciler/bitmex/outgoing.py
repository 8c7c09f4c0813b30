"""
From a decision to the bytes of a request.

Everything that does not change between two requests is prepared once; what is left is the body,
one signature and one join. Pure.
"""

from __future__ import annotations

import msgspec

from reconciler.core.decisions import AmendOrder, ArmDeadMan, CancelOrder, PlaceOrder

from . import messages
from .answers import Asked, Kind
from .net import Address
from .signing import Signer

API = "/api/v1"
IDS_KEPT = 10_000  # client order ids of the newest orders that were made into requests
Sent = PlaceOrder | AmendOrder | CancelOrder | ArmDeadMan


class Job(msgspec.Struct, kw_only=True, eq=False):
    """One request on its way."""

    asked: Asked
    data: bytes  # head and body: they hold the signature
    urgent: bool  # a cancel, or a heartbeat
    deadline_us: int = 0  # our time after which it must not be sent; 0: none
    sent: int = 0  # `Budget.sent` and `sent_orders` with it
    sent_orders: int = 0
    sent_us: int = 0
    sent_ns: int = 0  # by the monotonic clock

    def __repr__(self) -> str:
        return f"Job({self.asked})"


class _Route:
    """A verb and a path, and the part of the head that is always the same."""

    def __init__(self, verb: str, path: str, to: Address, api_key: str) -> None:
        self.verb = verb
        self.path = f"{to.path}{API}{path}"
        self.head = (
            f"{verb} {self.path} HTTP/1.1\r\n"
            f"Host: {to.authority}\r\n"
            "User-Agent: reconciler\r\n"
            "Accept: application/json\r\n"
            "Content-Type: application/json\r\n"
            f"api-key: {api_key}\r\n"
            "api-expires: "
        ).encode()


class Outgoing:
    """Makes jobs."""

    def __init__(self, to: Address, signer: Signer) -> None:
        self._signer = signer
        self._place = _Route("POST", "/order", to, signer.api_key)
        self._amend = _Route("PUT", "/order", to, signer.api_key)
        self._cancel = _Route("DELETE", "/order", to, signer.api_key)
        self._dead_man = _Route("POST", "/order/cancelAllAfter", to, signer.api_key)
        self._placed: dict[str, None] = {}

    def job(self, decision: Sent, expires_s: int) -> Job:
        """
        The request that carries out *decision*.

        Args:
            decision: New orders and amends bring their own expiry, in the venue's time.
            expires_s: Of the others, whole seconds of the venue's time.
        """
        request_id = decision.request_id
        if isinstance(decision, PlaceOrder):
            self._place_once(decision.cl_ord_id)
            return Job(
                asked=Asked(
                    kind=Kind.PLACE,
                    request_id=request_id,
                    cl_ord_id=decision.cl_ord_id,
                    symbol=decision.symbol,
                ),
                data=self._bytes(
                    self._place, messages.place_body(decision), decision.expires_us // 1_000_000
                ),
                urgent=False,
                deadline_us=decision.deadline_us,
            )
        if isinstance(decision, CancelOrder):
            kind, route, body = Kind.CANCEL, self._cancel, messages.cancel_body(decision)
        elif isinstance(decision, AmendOrder):
            kind, route, body = Kind.AMEND, self._amend, messages.amend_body(decision)
            expires_s = decision.expires_us // 1_000_000
        else:
            return Job(
                asked=Asked(
                    kind=Kind.DEAD_MAN, request_id=request_id, timeout_ms=decision.timeout_ms
                ),
                data=self._bytes(self._dead_man, messages.dead_man_body(decision), expires_s),
                urgent=True,
            )
        return Job(
            asked=Asked(
                kind=kind,
                request_id=request_id,
                cl_ord_id=decision.cl_ord_id,
                symbol=decision.symbol,
            ),
            data=self._bytes(route, body, expires_s),
            urgent=kind is Kind.CANCEL,
        )

    def _place_once(self, cl_ord_id: str) -> None:
        """The venue would take an id again once its order has filled: whoever asks, we don't."""
        assert cl_ord_id not in self._placed, f"{cl_ord_id} was made into a request before"
        self._placed[cl_ord_id] = None
        if len(self._placed) > IDS_KEPT:
            del self._placed[next(iter(self._placed))]

    def _bytes(self, route: _Route, body: bytes, expires_s: int) -> bytes:
        signature = self._signer.sign(route.verb, route.path, expires_s, body)
        tail = f"{expires_s}\r\napi-signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        return b"".join((route.head, tail.encode(), body))
