"""What a service says while it does not see its venue."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from reconciler.core.settings import Settings
from reconciler.service.options import Options
from reconciler.service.service import Service

SECOND = 1_000_000


def test_a_stream_that_is_not_in_sync_is_told_after_a_while_and_again(tmp_path: Path) -> None:
    """Every start is out of sync for a moment: it is news after 3 s, and then twice a minute."""
    said: list[str] = []

    def say(level: str, event: str, **_: object) -> None:
        said.append(f"{level} {event}")

    options = Options(database=tmp_path / "journal.db", settings=Settings(symbols=("XBTUSD",)))
    service = Service(options, None, say=say)
    asked: Any = service
    asked._engine = SimpleNamespace(ledger=SimpleNamespace(in_sync=False))
    asked._venue = SimpleNamespace(health=lambda: {"stream": "connecting"})
    began_us = service.loop.now_us()
    told_at = []
    for second in range(70):
        before = len(said)
        asked._say_if_out_of_sync(began_us + second * SECOND + SECOND // 2)
        if len(said) > before:
            told_at.append(second)
    service.loop.close()
    assert told_at == [3, 34, 65]
    assert set(said) == {"warning stream.wait"}
