"""`run --all`: every account of the configuration in this process."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from reconciler.cli import early, preflight, wiring
from reconciler.cli.app import Ask
from reconciler.errors import ConfigError, ReconcilerError, UsageError

if TYPE_CHECKING:
    from reconciler.config import AppConfig


def run_all(ask: Ask, *, live: bool, once: bool, for_s: int | None, no_api: bool) -> int:
    """
    Run every account until stopped.

    An account that cannot start (a key that is refused, a journal in use) is said and left out, so
    that after a start of the machine the others are looked after. The exit code tells of it.

    Raises:
        UsageError: Options that are of one account.
        ConfigError: Two accounts are one at the venue.
    """
    from reconciler.cli import run
    from reconciler.service.together import Together, told

    for option, value in (("-a", ask.account), ("--database", ask.database)):
        if value is not None:
            raise UsageError(f"{option} is of one account, and --all means every one")
    configs = ask.accounts()
    run.check_money(configs.values(), live=live)
    said = {name: run.log(ask, config, _others(configs, name)) for name, config in configs.items()}
    numbers, failed = known_to_the_venue(configs)
    check_apart(configs, numbers)
    sockets: dict[str, socket.socket] = {}
    services = {}
    try:
        for name, config in configs.items():
            if name in failed:
                continue
            try:
                if not no_api:
                    sockets[name] = run.listen(config)
                services[name] = run.made(
                    ask, config, sockets.get(name), said[name], once=once, for_s=for_s
                )
            except ReconcilerError as failure:
                failed[name] = failure
        for name, why in failed.items():
            said[name]("critical", "account.fail", error=told(why))
        together = Together(services, said.__getitem__, failed)
        together.handle_signals()
        if services and early.ended(said[next(iter(services))]):
            return 0
        return together.run()
    finally:
        for bound in sockets.values():
            bound.close()


def _others(configs: Mapping[str, AppConfig], name: str) -> list[AppConfig]:
    return [config for other, config in configs.items() if other != name]


def known_to_the_venue(
    configs: Mapping[str, AppConfig],
) -> tuple[dict[str, int | None], dict[str, ReconcilerError]]:
    """
    Ask the venues of all accounts at once whether they accept the keys.

    Returns:
        The venue's number of each account that may go on (0: not told, None: no answer), and what
        is wrong with the others.
    """

    def ask(config: AppConfig) -> int | ReconcilerError | None:
        try:
            bitmex = wiring.bitmex_config(config)
            answers = preflight.check_key(config, bitmex)
            return preflight.venue_account(bitmex) if answers else None
        except ReconcilerError as refusal:
            return refusal

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = dict(zip(configs, pool.map(ask, configs.values()), strict=True))
    numbers = {n: a for n, a in answers.items() if not isinstance(a, ReconcilerError)}
    failed = {n: a for n, a in answers.items() if isinstance(a, ReconcilerError)}
    return numbers, failed


def check_apart(configs: Mapping[str, AppConfig], numbers: Mapping[str, int | None]) -> None:
    """
    No two of them are one account of the venue: they would undo each other's work.

    Raises:
        ConfigError: Two are.
    """
    taken: dict[tuple[str, int], str] = {}
    for name, number in numbers.items():
        if not number:
            continue
        at = (wiring.bitmex_config(configs[name]).base_url, number)
        if other := taken.get(at):
            raise ConfigError(
                f"accounts {other} and {name} have keys of one account of {at[0]}",
                next_step="Give each its own, or leave one out.",
                setting=f"account.{name}.api_key",
            )
        taken[at] = name
