"""The end of a service: what has threads ends side by side, and nobody keeps the others waiting."""

from __future__ import annotations

import time
from pathlib import Path

from reconciler.core.settings import Settings
from reconciler.service.options import Options
from reconciler.service.service import END_WITHIN_S, STOP_WITHIN_S, Service
from reconciler.service.strategies import Strategies
from reconciler.service.together import STOP_WITHIN_S as ALL_WITHIN_S
from reconciler.strategy.registry import Spec

SLOW_S = 0.4


class Slow:
    """A venue and an API that take their time to end, as over a network that is silent."""

    url = "http://127.0.0.1:1"
    ended: tuple[str, ...] = ()

    def start(self, *_: object) -> None:
        """It is there."""

    def withdraw(self) -> None:
        """Nothing is on its way."""

    def tick(self, _: int) -> tuple[()]:
        return ()

    def close(self, timeout_s: float) -> None:
        time.sleep(min(SLOW_S, timeout_s))
        self.ended += ("venue",)

    def stop(self) -> None:
        time.sleep(SLOW_S)
        self.ended += ("api",)

    def health(self) -> dict[str, object]:
        return {}


def test_the_end_takes_as_long_as_the_slowest_part(tmp_path: Path, monkeypatch) -> None:
    """Strategies that hang, a door that answers and a silent venue are not waited for in turn."""
    slow = Slow()

    def close(self: Strategies) -> None:
        time.sleep(SLOW_S)
        slow.ended += ("strategies",)

    monkeypatch.setattr(Strategies, "close", close)
    options = Options(
        database=tmp_path / "journal.db",
        settings=Settings(symbols=("XBTUSD",)),
        strategies=(Spec(name="r", kind="random", symbols=("XBTUSD",), enabled=False),),
        make_feed=lambda *_: None,  # type: ignore[arg-type,return-value]
    )
    service = Service(options, lambda *_: slow, make_api=lambda *_: slow)  # type: ignore[arg-type,return-value]
    service.stop("enough")
    began = time.monotonic()
    assert service.run() == 0
    assert sorted(slow.ended) == ["api", "strategies", "venue"]
    assert time.monotonic() - began < 3 * SLOW_S  # one after the other they would take longer


def test_the_promise_of_fifteen_seconds_adds_up() -> None:
    """To cancel what rests, two seconds for the venue, then the threads, and a second to spare."""
    assert STOP_WITHIN_S + 2 + END_WITHIN_S + 1 <= ALL_WITHIN_S < 15
