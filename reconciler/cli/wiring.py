"""
What a command needs, made of the configuration: a door, a service's options, a venue.

There are three doors and one way to choose: the address that was named, else the service that
runs on this journal, else the journal itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from reconciler.cli.app import Ask
from reconciler.errors import ConfigError, NotLeader, Unreachable, UsageError

if TYPE_CHECKING:
    from reconciler.bitmex.config import BitmexConfig
    from reconciler.client import HttpDoor
    from reconciler.config import AppConfig
    from reconciler.service.door import Door
    from reconciler.service.service import Options, Service
    from reconciler.venue import Host, Venue

PAPER_URL = "http://127.0.0.1:8766"


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
        return door
    from reconciler.service.servicefile import ServiceFile

    config = config or ask.settings()
    found = ServiceFile(config.database_path).read()
    if found is None:
        return None
    from reconciler.client import HttpDoor

    door = HttpDoor(found.url, found.token)
    return door if door.is_alive() else None


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
    service = running(ask, config)
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
    return OfflineDoor(options(config), make), False


def held(error: NotLeader) -> Unreachable:
    """That the journal is held by a process that takes no questions."""
    holder = error.fields.get("holder") or "another process"
    return Unreachable(
        f"{error.fields.get('path')} is in use by {holder}, which does not answer",
        next_step="Wait until it has started, or see what it does.",
        **error.fields,
    )


def options(config: AppConfig, *, once: bool = False, for_s: int | None = None) -> Options:
    """What a service needs to know of the configuration."""
    from reconciler.service.service import Options

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
    )


def bitmex_config(config: AppConfig, url: str | None = None) -> BitmexConfig:
    """
    Where the venue is and who we are there.

    Raises:
        ConfigError: Credentials are missing.
    """
    from reconciler.bitmex.config import BitmexConfig, addresses

    key, secret = config.credentials()
    environment = config.exchange.environment
    rest, stream = (PAPER_URL, "") if environment == "simulated" else addresses(environment)
    if named := url or config.exchange.url:
        rest, stream = named, ""
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
