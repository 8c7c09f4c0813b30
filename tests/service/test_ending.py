"""The end of a service: what has threads ends side by side, and nobody keeps the others waiting."""

from __future__ import annotations

import threading
from pathlib import Path

from reconciler.core.settings import Settings
from reconciler.service.options import STOP_WITHIN_S, Options
from reconciler.service.service import END_WITHIN_S, Service
from reconciler.service.servicefile import ServiceFile
from reconciler.service.strategies import Strategies
from reconciler.service.together import STOP_WITHIN_S as ALL_WITHIN_S
from reconciler.strategy.registry import Spec


class Slow:
    """A venue and an API of which none ends before all have begun to."""

    url = "http://127.0.0.1:1"

    def __init__(self) -> None:
        self.all_end = threading.Barrier(3)
        self.ended: list[str] = []

    def end(self, name: str) -> None:
        self.all_end.wait(10)
        self.ended.append(name)

    def start(self, *_: object) -> None:
        """It is there."""

    def withdraw(self) -> None:
        """Nothing is on its way."""

    def tick(self, _: int) -> tuple[()]:
        return ()

    def close(self, timeout_s: float) -> None:
        self.end("venue")

    def stop(self) -> None:
        self.end("api")

    def health(self) -> dict[str, object]:
        return {}


def test_nobody_waits_for_another_to_end(tmp_path: Path, monkeypatch) -> None:
    """Strategies that hang, a door that answers and a silent venue are not waited for in turn."""
    slow = Slow()
    monkeypatch.setattr(Strategies, "close", lambda _: slow.end("strategies"))
    options = Options(
        database=tmp_path / "journal.db",
        settings=Settings(symbols=("XBTUSD",)),
        strategies=(Spec(name="r", kind="random", symbols=("XBTUSD",), enabled=False),),
        make_feed=lambda *_: None,  # type: ignore[arg-type,return-value]
    )
    service = Service(options, lambda *_: slow, make_api=lambda *_: slow)  # type: ignore[arg-type,return-value]
    service.stop("enough")
    assert service.run() == 0
    assert sorted(slow.ended) == ["api", "strategies", "venue"]


def test_who_is_answered_finds_the_token_beside_the_journal(tmp_path: Path) -> None:
    """Written down before the first answer: a no to the token of before is not the last word."""
    database = tmp_path / "journal.db"
    seen: list[bool] = []

    class Door(Slow):
        def start(self, *_: object) -> None:
            seen.append(ServiceFile(database).read() is not None)

        def end(self, name: str) -> None:
            """At once."""

    options = Options(database=database, settings=Settings(symbols=("XBTUSD",)))
    service = Service(options, lambda *_: Door(), make_api=lambda *_: Door())  # type: ignore[arg-type,return-value]
    service.stop("enough")
    assert service.run() == 0
    assert seen[-1]  # the venue starts first


def test_the_promise_of_fifteen_seconds_adds_up() -> None:
    """To cancel what rests, two seconds for the venue, then the threads, and a second to spare."""
    assert STOP_WITHIN_S + 2 + END_WITHIN_S + 1 <= ALL_WITHIN_S < 15
