"""
Several accounts in one configuration: which there are, and the layers of each.

``[account.NAME]`` holds what ``[exchange]`` holds, and tables of the file under their own names
(``[account.NAME.limits]``). What is said of an account beats what is said of all, wherever each was
written; the command line beats both. Three things are never shared: a key, a journal, a port.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.errors import ConfigError, UsageError

from .layers import Layer, Names, dotted, nearest, strongest

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}"
NAMED = "Use up to 40 letters and digits, with single - and _ between them."
CREDENTIALS = ("exchange.api_key", "exchange.api_secret")
#: Tables that are of the process and of no account.
OF_ALL = frozenset({"account", "exchange", "log", "secrets"})


def with_accounts(names: Names) -> Names:
    """The names that a file knows: those of the sections, and those of an account's table."""
    venue = {name: None for name in names["exchange"] or {} if name != "account"}
    tables = {name: behind for name, behind in names.items() if name not in OF_ALL}
    return {**names, "account": {"*": {**venue, **tables}}}


def is_name(name: str) -> bool:
    """Whether an account can be called so: its variables and secret files must be readable, too."""
    there = folded(name)
    return re.fullmatch(NAME, name) is not None and "__" not in there and not there.endswith("_")


def folded(name: str) -> str:
    """A name as variables and secret files can bear it; no two accounts may be the same here."""
    return name.lower().replace("-", "_")


def declared(found: Sequence[Layer]) -> tuple[str, ...]:
    """
    The accounts that the files have tables for, in their order.

    Raises:
        ConfigError: A name cannot be one, two cannot be told apart, or a variable names another.
    """
    places = {name: at for layer in reversed(found) for name, at in layer.accounts.items()}
    known: dict[str, str] = {}
    for name, place in places.items():
        if not is_name(name):
            raise ConfigError(
                f"account.{name[:60]} ({place}) is no name of an account",
                next_step=NAMED,
                origin=place,
            )
        if other := known.get(folded(name)):
            raise ConfigError(
                f"account.{name} ({place}) and account.{other} ({places[other]}) are one name in"
                " variables and file names",
                next_step="Rename one.",
                origin=place,
            )
        known[folded(name)] = name
    for layer in found:
        _check_known(layer, known)
    return tuple(places)


def _check_known(layer: Layer, known: Mapping[str, str]) -> None:
    tables = layer.values.get("account", {})
    if not isinstance(tables, dict):
        raise ConfigError(
            f"account ({layer.origins.get('account')}) is no table",
            next_step="Write [account.NAME].",
        )
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"account.{name} ({layer.origins.get(f'account.{name}')}) is no table",
                next_step=f"Write [account.{name}].",
            )
        if folded(name) not in known:
            origin = next(
                at for said, at in layer.origins.items() if said.startswith(f"account.{name}.")
            )
            near = nearest(folded(name), dict.fromkeys(known))
            meant = f"did you mean {known[near]}?" if near else f"Write [account.{name}] first."
            raise ConfigError(
                f"{origin} sets something of account {name!r}, and no file has [account.{name}]",
                next_step=meant[:1].upper() + meant[1:],
                origin=origin,
            )


def choose(found: Sequence[Layer], accounts: Sequence[str]) -> str:
    """
    The account that is meant: that of ``-a`` or of ``exchange.account``, else the only one.

    Raises:
        UsageError: There are several and none was named, or there is none of that name.
    """
    listed = ", ".join(accounts)
    said = strongest(found, "exchange.account")
    if said is None:
        if len(accounts) == 1:
            return accounts[0]
        raise UsageError(
            f"there are {len(accounts)} accounts: {listed}",
            next_step="Say which with -a NAME; `run --all` and `accounts halt` mean all of them.",
        )
    if said not in accounts:
        raise UsageError(
            f"{str(said)[:60]!r} is none of the accounts ({listed})",
            next_step="Name one of them with -a NAME.",
        )
    return str(said)


def check_common(found: Sequence[Layer]) -> None:
    """
    What may not be said of all accounts at once.

    Raises:
        ConfigError: A key is.
    """
    for name in CREDENTIALS:
        for layer in found:
            if layer.get(name) is not None:
                raise ConfigError(
                    f"{name} ({layer.origins.get(name)}) is nobody's: there are [account.NAME]"
                    " tables, and each account has a key of its own",
                    next_step=f"Set account.NAME.{name.rpartition('.')[2]} instead.",
                    setting=name,
                )


def layers_of(account: str, found: Sequence[Layer], base: Path, exchange: Names) -> Iterator[Layer]:
    """
    The layers of one account, the strongest first.

    Args:
        account: Its name.
        found: The layers of all; the first is the command line.
        base: The common journal. The account's is beside it, under its own name.
        exchange: The names in ``[exchange]``.
    """
    options, *written = found
    yield _without(options, {"exchange.account"})
    for layer in written:
        yield _own(layer, account, exchange)
    yield _by_name(account, base, free_port=strongest(found, "api.listen") is None)
    for layer in written:
        yield _without(layer, {"exchange.account", "database.url"})


def _own(layer: Layer, account: str, exchange: Names) -> Layer:
    """What a layer says of *account*, under the names that the sections have."""
    own = Layer()
    for path, value, origin in _leaves(layer):
        if path[0] == "account" and folded(path[1]) == folded(account):
            rest = path[2:]
            own.set(("exchange", *rest) if rest[0] in exchange else rest, value, origin)
    return own


def _by_name(account: str, base: Path, *, free_port: bool) -> Layer:
    """What follows from the name, if nothing else is said of the account."""
    layer = Layer()
    journal = base.with_name(f"{base.stem}-{account}{base.suffix}")
    layer.set(("exchange", "account"), account, f"account.{account}")
    layer.set(("database", "url"), f"sqlite:///{journal}", f"account.{account}")
    if free_port:  # who looks for the service finds its address beside the journal
        layer.set(("api", "listen"), "127.0.0.1:0", f"account.{account}")
    return layer


def _without(layer: Layer, left_out: set[str]) -> Layer:
    rest = Layer()
    for path, value, origin in _leaves(layer):
        if path[0] != "account" and dotted(path) not in left_out:
            rest.set(path, value, origin)
    return rest


def _leaves(layer: Layer) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Every setting of a layer: its path, its value, and where it was written."""

    def walk(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Any]:
        for name, value in values.items():
            here = (*path, name)
            if (origin := layer.origins.get(dotted(here))) is not None:
                yield here, value, origin
            else:
                yield from walk(value, here)

    yield from walk(layer.values, ())
