"""The paper exchange as a command: where it is, said once it listens, and an end in order."""

from __future__ import annotations

import gc
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from .auth import Key
from .rerun import rerun
from .venue import SYMBOLS, PaperExchange

PORT = 8766


def serve(venue: PaperExchange) -> None:
    """Serve until SIGINT or SIGTERM; prints where. It listens already, since it was made."""

    # uvicorn ends in order at a signal and then raises it again for whoever handled it before. One
    # that comes before uvicorn listens to signals must end it, too.
    def end(number: int, frame: FrameType | None) -> None:
        venue.stop()

    former = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    spare_the_collector()
    try:
        print("\n".join(_head(venue)), flush=True)
        venue.run()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def spare_the_collector() -> None:
    """
    Look for cycles among what is new, in a process that does nothing else.

    Every order and row is kept and hardly any is part of a cycle: to look at all of them again and
    again took a seventh of an order's time, and ever longer pauses as they grew in number. So what
    was looked at twice is left alone, and each look is at so little that nobody waits for it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 4, 12_500)


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


MOST_SHOWN = 20


def show_rerun(tape: Path, keys: Sequence[Key]) -> int:
    """Print where a re-run of a tape says something else; 0 when it is the same, 1 when not."""
    count = 0
    for difference in rerun(tape, keys):
        count += 1
        if count <= MOST_SHOWN:
            print(difference)
    if count > MOST_SHOWN:
        print(f"and {count - MOST_SHOWN} more")
    print(f"{tape}: the re-run says the same" if not count else f"{tape}: {count} differences")
    return 1 if count else 0


def symbols_of(words: Sequence[str]) -> Sequence[str]:
    """
    Symbols of options that may each name several: ``["XBTUSD,ETHUSD"]``; without an option, the
    usual ones.

    Raises:
        ValueError: an option names none.
    """
    for word in words:
        if not word.replace(",", "").strip():
            raise ValueError(
                f"{word!r} names no symbol: write --symbol XBTUSD,ETHUSD, or leave it out "
                f"for {', '.join(SYMBOLS)}"
            )
    found = (s.strip() for word in words for s in word.split(","))
    return tuple(dict.fromkeys(s for s in found if s)) or SYMBOLS


def files_of(words: Sequence[str]) -> dict[str, Path]:
    """
    ``["XBTUSD=bars.csv"]`` as symbols and files.

    Raises:
        ValueError: it is not written so.
    """
    found = {}
    for word in words:
        symbol, _, file = word.partition("=")
        if not symbol or not file:
            raise ValueError(f"{word!r} is no file of prices: write SYMBOL=FILE")
        found[symbol] = Path(file)
    return found
