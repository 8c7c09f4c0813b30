"""
``python -m reconciler.paper`` is ``reconciler simulate`` without the rest of the reconciler.

It needs four packages (httptools, msgspec, uvicorn, websockets), and reads no configuration.
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .auth import DEFAULT_KEYS, Key
from .feed import QUOTES_A_SECOND
from .forgetting import KEEP
from .serving import PORT, files_of, serve, show_rerun, symbols_of
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
        "--prices", action="append", default=[], metavar="S=FILE",
        help="take an instrument's prices from OHLC bars or a path (CSV, TOML); repeatable",
    )  # fmt: skip
    add(
        "--replay", "--replay-file", type=Path, metavar="FILE",
        help="take prices from a recording of frames",
    )  # fmt: skip
    add(
        "--quotes", type=int, default=QUOTES_A_SECOND, metavar="N",
        help="how often a second other traders change the best prices",
    )  # fmt: skip
    add("--scenario", type=Path, metavar="FILE", help="what happens when (TOML)")
    add("--record", type=Path, metavar="FILE", help="write everything that is said to a tape")
    add(
        "--rerun", type=Path, metavar="FILE",
        help="tell an exchange all that is on a tape again, show what it says otherwise, and end",
    )  # fmt: skip
    add(
        "--keep", type=int, default=KEEP, metavar="N",
        help="of the past: N requests, N/4 orders and fills of each account; 0: everything",
    )  # fmt: skip
    add("--legacy", action="store_true", help="speak as BitMEX did until 2022: wide rows, nulls")
    add(
        "--tls", nargs=2, metavar=("CERT", "KEY"),
        help="speak https and wss with this certificate and its key (PEM), and nothing else",
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
        keys = [Key.parse(text) for text in asked.key] or DEFAULT_KEYS
        if asked.rerun is not None:
            return show_rerun(asked.rerun, keys)
        serve(
            PaperExchange(
                port=asked.port,
                seed=asked.seed,
                symbols=symbols_of(asked.symbol),
                faults=dict(map(_fault, asked.fault)),
                speed=asked.speed,
                replay=asked.replay,
                prices=files_of(asked.prices),
                quotes=asked.quotes,
                scenario=asked.scenario,
                record=asked.record,
                legacy=asked.legacy,
                keep=asked.keep,
                tls=asked.tls and tuple(asked.tls),
                keys=keys,
            )
        )
    except (ValueError, OverflowError) as problem:
        return _refuse(str(problem))
    except BrokenPipeError:  # nobody reads where it is: nobody will come
        return 128 + signal.SIGPIPE
    except OSError as problem:
        if problem.filename is not None:
            return _refuse(f"{problem.filename} cannot be read: {problem.strerror}")
        if problem.errno == errno.EADDRINUSE:
            return _refuse(f"port {asked.port} on 127.0.0.1 is in use; choose another with --port")
        return _refuse(f"port {asked.port} on 127.0.0.1 cannot be served: {problem.strerror}")
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
