"""The paper exchange as a command: where it is, said once it listens, and an end in order."""

from __future__ import annotations

import signal
from types import FrameType

from .venue import PaperExchange

PORT = 8766


def serve(venue: PaperExchange) -> None:
    """Serve until SIGINT or SIGTERM; prints where. It listens already, since it was made."""
    print("\n".join(_head(venue)), flush=True)

    # uvicorn ends in order at a signal and then raises it again for whoever handled it before. One
    # that comes before uvicorn listens to signals must end it, too.
    def end(number: int, frame: FrameType | None) -> None:
        venue.stop()

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        venue.run()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _head(venue: PaperExchange) -> list[str]:
    """Addresses and keys: what a program needs to be pointed here."""
    on = sum(1 for probability in venue.faults_at_start.values() if probability)
    market = f"{_count(len(venue.symbols), 'instrument')}   {_count(on, 'fault kind')} on"
    lines = [
        f"REST       {venue.url}/api/v1      key {venue.key}  secret {venue.secret}",
        f"websocket  {venue.ws_url}      {market}",
        f"control    {venue.url}/paper      prices, fills, faults and the truth; no signature",
    ]
    wide = max(len(key.key) for key in venue.keys)
    for key in venue.keys:
        may = ", ".join(key.permissions) or "read only"
        lines.append(f"account    {key.account}  {key.key:<{wide}}  {key.secret}  ({may})")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
