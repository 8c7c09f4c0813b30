"""Start: `demo`, `run`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import early, parse
from reconciler.cli.app import Ask, command
from reconciler.errors import ConfigError, NeedsLive, NotLeader, UsageError

if TYPE_CHECKING:
    import socket

    from reconciler.config import AppConfig
    from reconciler.logs import Say
    from reconciler.service.service import Service

For = Annotated[str | None, typer.Option("--for", metavar="D", help="Stop after 90s, 10m…")]
Seed = Annotated[int, typer.Option(metavar="N", help="Names the market and its faults.")]
Symbols = Annotated[
    list[str] | None,
    typer.Option("--symbol", "--symbols", metavar="S", help="Instrument to list; repeatable."),
]
Faults = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="NAME[=P]", help="Switch a fault on; repeatable."),
]
Port = Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="On 127.0.0.1.")]


@command("demo")
def demo(
    ask: Ask,
    for_: For = None,
    seed: Seed = 7,
    every: Annotated[str, typer.Option(metavar="D", help="A new target so often.")] = "30s",
    symbols: Symbols = None,
    port: Port = 0,
    fault: Faults = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a picture.")] = False,
    strategies: Annotated[
        bool,
        typer.Option("--strategies", help="Two EMA crosses and a random one on XBTUSD, netted."),
    ] = False,
) -> None:
    """Run it all on the simulated exchange, with random targets or with strategies."""
    from reconciler.cli.demo import Demo

    Demo(
        ask,
        for_s=parse.seconds(for_) if for_ is not None else None,
        seed=seed,
        every_s=parse.seconds(every),
        symbols=named(symbols) or (("XBTUSD",) if strategies else ("XBTUSD", "ETHUSD")),
        port=port,
        faults=tuple(fault or ()),
        plain=plain,
        strategies=strategies,
    ).run()


@command("run")
def run(
    ask: Ask,
    live: Annotated[bool, typer.Option("--live", help="Trade real money.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop when every target is held.")] = False,
    for_: For = None,
    no_api: Annotated[bool, typer.Option("--no-api", help="Take no questions by HTTP.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Every account, in this process.")] = False,
) -> None:
    """Hold the targets: recover, connect, reconcile until stopped."""
    from reconciler.cli import preflight, together, wiring

    for_s = parse.seconds(for_) if for_ is not None else None
    if all_:
        code = together.run_all(ask, live=live, once=once, for_s=for_s, no_api=no_api)
    else:
        config = ask.settings()
        check_money([config], live=live)
        bitmex = wiring.bitmex_config(config)
        preflight.check_key(config, bitmex)
        bound = None if no_api else listen(config)
        say = log(ask, config)
        service = made(ask, config, bound, say, once=once, for_s=for_s)
        service.handle_signals()
        try:
            code = service.run() if not early.ended(say) else 0
        finally:
            if bound is not None:
                bound.close()
    if code:
        raise typer.Exit(code)


def made(
    ask: Ask,
    config: AppConfig,
    bound: socket.socket | None,
    say: Say,
    *,
    once: bool = False,
    for_s: int | None = None,
) -> Service:
    """The service of one account, with all that the configuration puts around it."""
    from reconciler.cli import again, wiring
    from reconciler.service.service import Service

    return Service(
        wiring.options(config, once=once, for_s=for_s),
        wiring.make_venue(wiring.bitmex_config(config)),
        make_api=api_maker(config.database_path, bound) if bound is not None else None,
        say=say,
        reload=again.reader(ask, config),
    )


def check_money(configs: Iterable[AppConfig], *, live: bool) -> None:
    """
    Real money needs the configuration and the word.

    Raises:
        NeedsLive: One of them trades real money, and it was not said.
        UsageError: It was said, and none does.
    """
    environments = [config.exchange.environment for config in configs]
    if "live" in environments and not live:
        raise NeedsLive('exchange.environment is "live", and --live was not said')
    if live and "live" not in environments:
        raise UsageError(
            f'--live was said, and exchange.environment is "{environments[0]}"',
            next_step='Leave --live out, or set exchange.environment = "live".',
        )


def named(symbols: list[str] | None) -> tuple[str, ...]:
    """Symbols of options that may each name several: ``--symbols XBTUSD,ETHUSD``."""
    found = tuple(dict.fromkeys(s for words in symbols or () for s in words.split(",") if s))
    if symbols and not found:
        raise UsageError(
            f"{','.join(symbols)!r} names no symbol",
            next_step="Write --symbol XBTUSD,ETHUSD, or leave it out for the usual ones.",
        )
    return found


def faults_of(words: list[str] | None) -> dict[str, float]:
    """``["lost-answer=0.01", "late-fill"]`` as names and probabilities; none named: always."""
    found = {}
    for word in words or ():
        name, _, probability = word.partition("=")
        try:
            found[name] = float(probability) if probability else 1.0
        except ValueError:
            raise UsageError(
                f"{word!r} is no fault", next_step="Write NAME or NAME=0.01."
            ) from None
    return found


def listen(config: AppConfig) -> socket.socket:
    """
    The port of the API, taken before anything is written.

    Raises:
        NotLeader: A service of this journal has it.
        ConfigError: Another program has it.
    """
    from reconciler.api.server import bind

    try:
        return bind(*config.listen)
    except ConfigError:
        from reconciler.cli import wiring
        from reconciler.service.servicefile import ServiceFile

        found = ServiceFile(config.database_path).read()
        if found is not None and (service := wiring.running(Ask(), config)) is not None:
            service.close()
            raise NotLeader(
                f"{config.database_path} is in use by a service, pid {found.pid}",
                path=str(config.database_path),
                pid=found.pid,
            ) from None
        raise


def api_maker(database: Path, bound: socket.socket):  # type: ignore[no-untyped-def]
    """What makes the server once the service knows its token."""
    from reconciler.api.server import ApiServer

    return lambda door, token: ApiServer(door, database, bound, token)


def log(ask: Ask, config: AppConfig, others: Iterable[AppConfig] = ()) -> Say:
    """The log of a service, on standard error; of other accounts there no secret is told."""
    from reconciler import logs

    level = {0: config.log.level, 1: "info"}.get(ask.verbose, "debug")
    return logs.configure(
        stream=sys.stderr,
        form=config.log.format,
        level="warning" if ask.quiet else level,
        secrets=[secret for one in (config, *others) for secret in one.hidden],
        several=bool(others),
        account=config.exchange.account,
    )
