"""
Ledgers of the search: few, beside the states that hold them, so each is worked out once.

A *page* is a ledger that is never changed. What an event makes of it, what time makes of it and
what its tidy form is are remembered with it: the real `step` is a function of the ledger and the
event, so for both the same, a second call could only say the same again.

The settings, the run and the instrument are the same on all pages of a search and are not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from hashlib import blake2b
from typing import Any

import msgspec

from reconciler.core import decisions as d
from reconciler.core.events import AnyEvent
from reconciler.core.ledger import Book, Ledger

KEPT = 4_000  # pages with all that is remembered of them; then forgetting begins anew

_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_DECODER = msgspec.msgpack.Decoder(Ledger)
_fixed: list[tuple[Any, ...]] = []  # by the first byte of a page's data
_pages: dict[bytes, Page] = {}


class Led(msgspec.Struct, frozen=True):
    """What one event led to."""

    page: Page
    decisions: tuple[d.AnyDecision, ...]
    facts: tuple[d.AnyFact, ...]


class Page:
    """One ledger, by its bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.after: dict[AnyEvent, Led] = {}
        self.forms: dict[Hashable, Page] = {}

    @cached_property
    def ledger(self) -> Ledger:
        """To be read, and never to be changed: it is shared."""
        return self.fresh()

    @cached_property
    def digest(self) -> bytes:
        """Its name."""
        return blake2b(self.data[1:], digest_size=16).digest()

    def fresh(self) -> Ledger:
        """A copy to be changed at will."""
        ledger = _DECODER.decode(memoryview(self.data)[1:])
        ledger.settings, ledger.run, _the_book(ledger).instrument = _fixed[self.data[0]]
        return ledger

    def form(self, key: Hashable, change: Callable[[Ledger], None]) -> Page:
        """The page that *change* makes of it; *key* tells all that *change* depends on."""
        found = self.forms.get(key)
        if found is None:
            ledger = self.fresh()
            change(ledger)
            found = self.forms[key] = page_of(ledger)
        return found


def _the_book(ledger: Ledger) -> Book:
    (book,) = ledger.books.values()
    return book


def page_of(ledger: Ledger) -> Page:
    """The page that holds this ledger, which nobody may change from now on."""
    book = _the_book(ledger)
    fixed = ledger.settings, ledger.run, book.instrument
    if fixed not in _fixed:
        _fixed.append(fixed)
    kept, ledger.settings, ledger.run, book.instrument = ledger.settings, _BARE, None, None
    data = bytes([_fixed.index(fixed)]) + _ENCODER.encode(ledger)
    ledger.settings, ledger.run, book.instrument = kept, fixed[1], fixed[2]
    page = page_at(data)
    page.__dict__.setdefault("ledger", ledger)
    return page


def page_at(data: bytes) -> Page:
    """The page with these bytes."""
    page = _pages.get(data)
    if page is None:
        if len(_pages) >= KEPT:
            forget()
        page = _pages[data] = Page(data)
    return page


def forget() -> None:
    """Whoever changes the core, as the tests do, begins with pages that remember nothing."""
    for page in _pages.values():
        page.after.clear()  # they refer to one another
        page.forms.clear()
    _pages.clear()


_BARE = Ledger().settings
