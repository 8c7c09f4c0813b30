"""The loop and those who ask: rubbish at a door is their trouble, and never the loop's."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from reconciler.core.events import AnyEvent, Tick
from reconciler.core.ledger import NEVER_US, Ledger
from reconciler.service.engine import Engine
from reconciler.service.loop import Loop


class Books:
    """An engine that only keeps what it was handed."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.heard: list[AnyEvent] = []

    def handle(self, events: Sequence[AnyEvent]) -> None:
        self.heard += events

    def due_us(self) -> int:
        return NEVER_US

    def use_quotes(self) -> None:
        """There are none."""


def rubbish(_: Any) -> Any:
    raise ZeroDivisionError("nobody foresaw it")


def test_a_question_that_nobody_foresaw_is_told_to_who_asked_and_ends_nothing() -> None:
    """Before it is recorded nothing is done; after it the record stands; the loop turns on."""
    loop, books, over = Loop(), Books(), threading.Event()
    thread = threading.Thread(target=loop.run, args=(cast("Engine", books), None, over.is_set))
    thread.start()
    try:
        with pytest.raises(ZeroDivisionError):
            loop.ask(rubbish)
        assert books.heard == []
        with pytest.raises(ZeroDivisionError):
            loop.ask(lambda _: ([Tick(at_us=1)], rubbish))
        assert books.heard == [Tick(at_us=1)]
        assert loop.ask(lambda _: ((), lambda _: "still here")) == "still here"
    finally:
        over.set()
        thread.join()
        loop.close()
