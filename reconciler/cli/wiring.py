"""
What a command needs, made of the configuration: a door, a service's options, a venue.

There are three doors and one way to choose: the address that was named, else the service that
runs on this journal, else the journal itself.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from reconciler.cli.app import Ask
from reconciler.errors import ConfigError, NotLeader, Unreachable, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.bitmex.config import BitmexConfig
    from reconciler.client import HttpDoor
    from reconciler.config import AppConfig
    from reconciler.feed import News
    from reconciler.service.door import Door
    from reconciler.service.netting import Weights
    from reconciler.service.options import Options
    from reconciler.service.service import Service
    from reconciler.service.strategies import MakeFeed
    from reconciler.strategy.history import Needs
    from reconciler.strategy.portfolio import Portfolio
    from reconciler.strategy.registry import Spec
    from reconciler.strategy.weights import WeightFiles
    from reconciler.venue import Feed, Host, Venue

#: Sections and settings that a running service takes up; see `service.reloading`.
TAKEN_UP = frozenset(
    {
        *("limits", "policy", "strategy", "portfolio", "exchange.symbols", "exchange.dead_man_s"),
        *("reconcile.default_policy", "reconcile.in_flight_deadline_s"),
        *("reconcile.foreign_orders", "reconcile.on_mismatch", "reconcile.mismatches_per_day"),
    }
)
PAPER_URL = "http://127.0.0.1:8766"
STARTS_WITHIN_S = 10  # a service, until it takes questions
LOOK_S = 0.1


def running(ask: Ask, config: AppConfig | None = None) -> HttpDoor | None:
    """
    The door of the service that runs; None if none does.

    Raises:
        Unreachable: One was named, by ``--api``, and nothing answers there.
    """
    if ask.api is not None:
        from reconciler.client import HttpDoor

        token = os.environ.get("RECONCILER_TOKEN", "")
        if not token:
            raise UsageError(
                "RECONCILER_TOKEN is not set, and --api needs it",
                next_step="Set it to the token of the service.",
            )
        door = HttpDoor(ask.api, token)
        if not door.is_alive():
            raise Unreachable(f"no service answers at {ask.api}", url=ask.api)
        _check_account(ask, door)
        return door
    config = config or ask.settings()
    return beside(config.database_path)


def beside(database: Path) -> HttpDoor | None:
    """
    The door that the file beside a journal names, if a service answers there.

    A new start listens long before it answers: who was answered may be another than was named.
    """
    from reconciler.service.servicefile import ServiceFile

    file = ServiceFile(database)
    found = file.read()
    while found is not None:
        from reconciler.client import HttpDoor

        door = HttpDoor(found.url, found.token)
        if not door.is_alive():
            return None
        before, found = found, file.read()
        if found == before:
            return door
        door.close()
    return None


def _check_account(ask: Ask, door: HttpDoor) -> None:
    """An address and a name that are not of one account: neither is guessed to be the right one."""
    if ask.account is None:
        return
    there = door.status()["service"]["account"]
    if there != ask.account:
        raise UsageError(
            f"{ask.api} is the service of account {there!r}, and -a says {ask.account!r}",
            next_step="Leave one of them out.",
        )


def door(ask: Ask, *, venue: bool = False) -> tuple[Door, bool]:
    """
    The door to ask, and whether a service is behind it.

    Args:
        ask: The global options.
        venue: Whether the journal's own door may connect to the venue, to end orders.

    Raises:
        Unreachable: A service holds the journal and does not answer.
    """
    config = None if ask.api is not None else ask.settings()
    service = running(ask, config) or (_once_started(ask, config) if config else None)
    if service is not None:
        return service, True
    assert config is not None
    from reconciler.service.offline import OfflineDoor

    make = None
    if venue:
        try:
            make = make_venue(bitmex_config(config))
        except ConfigError as error:  # what can be done without the venue is done all the same
            ask.note(f"note: the exchange cannot be asked: {error}")
    return OfflineDoor(options(config, strict=False), make), False


def _once_started(ask: Ask, config: AppConfig) -> HttpDoor | None:
    """A service that has begun just now, once it answers; None: there is none, or it does not."""
    from reconciler.journal.lock import began_within

    while began_within(config.database_path, STARTS_WITHIN_S, what="run"):
        time.sleep(LOOK_S)
        if (service := running(ask, config)) is not None:
            return service
    return None


def held(error: NotLeader) -> Unreachable:
    """That the journal is held by a process that takes no questions."""
    holder = error.fields.get("holder") or "another process"
    return Unreachable(
        f"{error.fields.get('path')} is in use by {holder}, which does not answer",
        next_step="Wait until it has started, or see what it does.",
        **error.fields,
    )


def options(
    config: AppConfig, *, once: bool = False, for_s: int | None = None, strict: bool = True
) -> Options:
    """
    What a service needs to know of the configuration.

    Args:
        config: What was read.
        once: End when every target is held.
        for_s: End after so many seconds.
        strict: Raise ConfigError for weights that make no sense. A halt needs none.
    """
    from reconciler.service.options import Options

    return Options(
        database=config.database_path,
        settings=config.core_settings(),
        account=config.exchange.account,
        environment=config.exchange.environment,
        durability=config.database.durability,
        on_expiry=config.reconcile.on_expiry,
        keep_orders=config.reconcile.on_stop == "keep",
        once=once,
        for_s=for_s,
        rest_timeout_s=float(config.exchange.rest_timeout_s),
        weights=weights(config) if strict else _weights_if_any(config),
        read_weights=weights_again(config),
        strategies=strategies(config) if strict else (),
        make_feed=make_feed(config),
        fixed=_fixed(config) if strict else None,
    )


def _fixed(config: AppConfig) -> dict[str, str]:
    """The settings that a running service does not take up when they are read again."""
    return {
        name: value
        for name, value, _ in config.rows()
        if name.partition(".")[0] not in TAKEN_UP and name not in TAKEN_UP
    }


def weights(config: AppConfig) -> Weights:
    """
    The portfolios, with what their weights files say now.

    Raises:
        ConfigError: A weight has an unknown identifier or symbol, or a file makes no sense.
    """
    try:
        return _weights(config, _weight_files(config).changed() or ())
    except ConfigError as error:
        if config.accounts:
            error.message = f"account {config.exchange.account}: {error.message}"
        raise


def _weights_if_any(config: AppConfig) -> Weights | None:
    try:
        return weights(config)
    except ConfigError:
        return None


def weights_again(config: AppConfig) -> Callable[[], Weights | None] | None:
    """Tells the weights once a weights file has changed; None: there is no such file."""
    if not any(table.weights_file for table in config.portfolio.values()):
        return None
    files = _weight_files(config)
    with contextlib.suppress(ConfigError):
        files.changed()  # those in force

    def again() -> Weights | None:
        found = files.changed()
        return None if found is None else _weights(config, found)

    return again


def _weights(config: AppConfig, portfolios: tuple[Portfolio, ...]) -> Weights:
    from reconciler.service.netting import Weights

    return Weights(portfolios, tuple(spec.identifier for spec in strategies(config)))


def _weight_files(config: AppConfig) -> WeightFiles:
    from reconciler.strategy.portfolio import Portfolio
    from reconciler.strategy.weights import WeightFiles

    policies = config.core_settings().policies
    found = []
    for name, table in config.portfolio.items():
        if table.policy and table.policy not in policies:
            known = ", ".join(sorted(policies))
            raise ConfigError(
                f"portfolio.{name}.policy = {table.policy[:40]!r} is none of {known}",
                setting=f"portfolio.{name}.policy",
            )
        found.append(
            Portfolio(
                name=name,
                strategies=dict(table.strategies),
                symbols=dict(table.symbols),
                sources=table.sources,
                max_strength=table.max_strength,
                max_contracts=dict(table.max_contracts),
                max_gross=table.max_gross,
                policy=table.policy,
                ttl_s=table.ttl_s,
                on_expiry=table.on_expiry or "",
                weights_file=table.weights_file,
            )
        )
    identifiers = [spec.identifier for spec in strategies(config)]
    return WeightFiles(found, identifiers, config.exchange.symbols)


def strategies(config: AppConfig) -> tuple[Spec, ...]:
    """
    The strategies of the configuration. None of their code is run.

    Raises:
        ConfigError: A class is unknown, or two would have one identifier.
    """
    if not config.strategy:
        return ()
    from reconciler.strategy import registry

    specs = tuple(
        registry.Spec(
            name=name,
            kind=table.class_,
            symbols=table.symbols,
            bar=table.bar,
            parameters=table.parameters,
            on_failure=table.on_failure,
            patience_s=float(table.patience_s),
            number=table.number,
            enabled=table.enabled,
            runs=table.runs,
        )
        for name, table in config.strategy.items()
    )
    registry.check_distinct(specs)
    return specs


def make_feed(config: AppConfig, url: str | None = None) -> MakeFeed:
    """What connects strategies to public market data; it needs no key."""

    def make(
        needs: Mapping[str, Needs],
        tables: tuple[str, ...],
        sink: Callable[[Iterable[News]], None],
        on_crash: Callable[[BaseException], None],
    ) -> Feed:
        from reconciler.bitmex.public import PublicFeed
        from reconciler.strategy.history import Joiner

        rest, stream = _addresses(config, url)
        return PublicFeed(
            rest,
            needs,
            sink,
            tables=tables,
            joiner=Joiner(needs),
            ws_url=stream,
            rest_timeout_s=float(config.exchange.rest_timeout_s),
            on_crash=on_crash,
        )

    return make


def _addresses(config: AppConfig, url: str | None) -> tuple[str, str]:
    """Of the venue's REST, and of its stream if that is elsewhere."""
    from reconciler.bitmex.config import addresses

    if named := url or config.exchange.url:
        return named, ""
    environment = config.exchange.environment
    return (PAPER_URL, "") if environment == "simulated" else addresses(environment)


def bitmex_config(config: AppConfig, url: str | None = None) -> BitmexConfig:
    """
    Where the venue is and who we are there.

    Raises:
        ConfigError: Credentials are missing.
    """
    from reconciler.bitmex.config import BitmexConfig

    key, secret = config.credentials()
    rest, stream = _addresses(config, url)
    return BitmexConfig(
        base_url=rest,
        ws_url=stream,
        api_key=key,
        api_secret=secret,
        symbols=config.exchange.symbols,
        rest_timeout_s=float(config.exchange.rest_timeout_s),
        account=config.exchange.account,
    )


def make_venue(bitmex: BitmexConfig) -> Callable[[Host, Service], Venue]:
    """What connects a service to its venue."""

    def make(host: Host, service: Service) -> Venue:
        from reconciler.bitmex.gateway import BitmexGateway

        gateway = BitmexGateway(bitmex, host)
        gateway.on_quote = service.quote_changed
        gateway.on_stranger = service.other_account_seen
        gateway.on_crash = service.loop.crash
        return gateway

    return make
