"""
What REST handlers work with: a request, its answer, what was asked, and what a route is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .auth import Key
from .protocol import fields_of

if TYPE_CHECKING:
    from .rest import Api


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
    _fields: dict[str, object] | None = None

    def fields(self) -> dict[str, object]:
        """
        The named values of query and body, read once; nobody changes them.

        Raises:
            Refusal: 400, the body is neither an object in JSON nor a form.
        """
        if self._fields is None:
            kind = self.headers.get("content-type", "")
            self._fields = fields_of(self.body, kind, self.query)
        return self._fields


@dataclass(slots=True, kw_only=True)
class Answer:
    """
    What goes back. ``dropped``: nothing does, the connection is closed; ``cut``: it is closed in
    the middle of the body; ``closes``: it is closed behind the answer, which does not say so.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    delay_s: float = 0.0
    dropped: bool = False
    cut: bool = False
    closes: bool = False

    @property
    def prompt(self) -> bool:
        """Whether it goes out whole and at once, and the connection stays."""
        return not (self.delay_s or self.dropped or self.cut or self.closes)


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
