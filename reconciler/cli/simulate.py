"""The paper exchange alone: `simulate`."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.app import Ask, command
from reconciler.cli.run import Faults, Port, Seed, Symbols, faults_of
from reconciler.errors import ConfigError, ReconcilerError, UsageError

Speed = Annotated[
    float, typer.Option(min=0.001, max=1000, metavar="X", help="Of the market's time.")
]
Prices = Annotated[
    list[str] | None,
    typer.Option(metavar="S=FILE", help="Take prices from OHLC bars or a path; repeatable."),
]
Replay = Annotated[
    Path | None,
    typer.Option("--replay", "--replay-file", metavar="FILE", help="Take prices from a recording."),
]
Quotes = Annotated[
    int, typer.Option(min=0, max=1000, metavar="N", help="Of other traders, a second.")
]
Scenario = Annotated[Path | None, typer.Option(metavar="FILE", help="What happens when (TOML).")]
Record = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write everything that is said to a tape.")
]
Rerun = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Tell a tape again, show what is said otherwise, end."),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID:SECRET[:ACCOUNT[:PERMISSIONS]]",
        help="An API key in place of the usual two; repeatable.",
    ),
]
Legacy = Annotated[
    bool, typer.Option("--legacy", help="Speak as BitMEX did until 2022: wide rows with nulls.")
]
Tls = Annotated[
    tuple[Path, Path] | None,
    typer.Option(metavar="CERT KEY", help="Speak https and wss, with these files (PEM)."),
]
Keep = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Of the past: N requests, N/4 orders and fills of each account; 0: everything.",
    ),
]
WithParent = Annotated[
    bool, typer.Option("--with-parent", hidden=True, help="End with standard input.")
]


@command("simulate")
def simulate(
    ask: Ask,
    port: Port = 8766,
    seed: Seed = 7,
    symbols: Symbols = None,
    fault: Faults = None,
    speed: Speed = 1.0,
    prices: Prices = None,
    replay: Replay = None,
    quotes: Quotes = 10,
    scenario: Scenario = None,
    record: Record = None,
    rerun: Rerun = None,
    key: Keys = None,
    legacy: Legacy = False,
    tls: Tls = None,
    keep: Keep = 200_000,
    with_parent: WithParent = False,
) -> None:
    """
    Serve the paper exchange alone, for your own BitMEX program.

    BitMEX's REST and websocket protocol on this machine, and a market behind it. It reads no
    configuration: point your program at the addresses and the key that it prints. Listed are
    XBTUSD, ETHUSD and XBTUSDT, if --symbol names no others (XBT_USDT, XBTZ26). --fault takes the
    names of docs/paper-faults.md; all else is told in docs/paper-exchange.md.
    `python -m reconciler.paper` is the same.
    """
    from reconciler.paper import Key, PaperExchange, serve
    from reconciler.paper.auth import DEFAULT_KEYS
    from reconciler.paper.serving import files_of, show_rerun, symbols_of

    if with_parent:
        threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        keys = [Key.parse(text) for text in key or ()] or DEFAULT_KEYS
        if rerun is not None:
            raise typer.Exit(show_rerun(rerun, keys))
        exchange = PaperExchange(
            port=port, seed=seed, symbols=symbols_of(symbols or ()), faults=faults_of(fault),
            speed=speed, replay=replay, prices=files_of(prices or ()), quotes=quotes,
            scenario=scenario, record=record, legacy=legacy, keep=keep, tls=tls, keys=keys,
        )  # fmt: skip
        serve(exchange)
    except ValueError as error:
        raise UsageError(str(error), next_step="See `reconciler simulate --help`.") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _in_our_words(error, port) from None


def _in_our_words(error: OSError, port: int) -> ReconcilerError:
    """A file that cannot be read, or a port that cannot be had."""
    if error.filename is not None:
        return UsageError(f"{error.filename} cannot be read: {error.strerror}")
    why = "is in use" if error.errno == errno.EADDRINUSE else f"is refused: {error.strerror}"
    return ConfigError(
        f"port {port} on 127.0.0.1 {why}",
        next_step="Choose another with --port, or end the program that has it.",
        port=port,
    )


def _end_with_input() -> None:
    """End this process when whoever started it is gone: its end of the pipe closes."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
