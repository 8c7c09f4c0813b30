"""
``python -m reconciler.paper`` is ``reconciler simulate`` without the rest of the reconciler.

It needs four packages (httptools, msgspec, uvicorn, websockets), and reads no configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .auth import DEFAULT_KEYS, Key
from .serving import PORT, serve
from .venue import SYMBOLS, PaperExchange

ABOUT = """\
A paper BitMEX on this machine: its REST and websocket protocol, and a market behind it. Nothing
to configure: point your program at the addresses that it prints. docs/paper-exchange.md tells more.
"""


def parser() -> argparse.ArgumentParser:
    """The options, which are those of `reconciler simulate`."""
    found = argparse.ArgumentParser("python -m reconciler.paper", description=ABOUT)
    add = found.add_argument
    add("--port", type=int, default=PORT, metavar="PORT", help="on 127.0.0.1; 0: a free one")
    add("--seed", type=int, default=7, metavar="N", help="names the market and its faults")
    add(
        "--symbol", "--symbols", action="append", default=[], metavar="S",
        help=f"instrument to list, repeatable; without one: {', '.join(SYMBOLS)}",
    )  # fmt: skip
    add(
        "--fault", action="append", default=[], metavar="NAME[=P]",
        help="switch a fault on, with its probability; repeatable",
    )  # fmt: skip
    add("--speed", type=float, default=1.0, metavar="X", help="of the market's time")
    add(
        "--replay-file", type=Path, metavar="FILE", help="take prices from a recording of frames"
    )  # fmt: skip
    add(
        "--key", action="append", default=[], metavar="ID:SECRET[:ACCOUNT[:PERMISSIONS]]",
        help="an API key in place of the usual two, repeatable; permissions, joined by +: order "
        "(the default), orderCancel and withdraw; none after the last colon: it may only read",
    )  # fmt: skip
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; the exit code."""
    asked = parser().parse_args(words)
    try:
        serve(
            PaperExchange(
                port=asked.port,
                seed=asked.seed,
                symbols=[s for words in asked.symbol for s in words.split(",") if s] or SYMBOLS,
                faults=dict(map(_fault, asked.fault)),
                speed=asked.speed,
                record=asked.replay_file,
                keys=[Key.parse(text) for text in asked.key] or DEFAULT_KEYS,
            )
        )
    except (ValueError, OverflowError) as problem:
        return _refuse(str(problem))
    except OSError as problem:
        if problem.filename is not None:
            return _refuse(f"{problem.filename} cannot be read: {problem.strerror}")
        return _refuse(f"port {asked.port} on 127.0.0.1 is in use; choose another with --port")
    return 0


def _fault(text: str) -> tuple[str, float]:
    """``lost-answer=0.01`` as name and probability; without one: always."""
    name, _, probability = text.partition("=")
    try:
        return name, float(probability) if probability else 1.0
    except ValueError:
        raise ValueError(f"{text!r} is no fault: write NAME or NAME=0.01") from None


def _refuse(why: str) -> int:
    print(f"error: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
