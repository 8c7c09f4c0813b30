"""
Reading the configuration: the layers merged, then what no setting shows by itself.

What is wrong is told by the setting's name, its value (never a secret's), and where it was written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from pydantic import ValidationError

from reconciler.core.policy import ladder
from reconciler.errors import ConfigError

from . import accounts, policies
from .app import AppConfig, database_path, names_of, shown
from .layers import Layer, Names, add_credentials, dotted, layers, strongest


def load(
    files: Sequence[Path] = (),
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> AppConfig:
    """
    Read the configuration.

    Args:
        files: Those named on the command line; of two that set the same, the later wins.
        options: Settings from the command line, by dotted name.
        environ: Instead of the process's environment.

    Raises:
        ConfigError: A file cannot be read, a name is not known, or a value is not allowed.
        UsageError: There are several accounts, and the options name none.
    """
    found, environ, names = _read(files, options, environ)
    if not (declared := accounts.declared(found)):
        add_credentials(found, environ)
        return _made(found)
    chosen = accounts.choose(found, declared)
    return _each(found, declared, names)[chosen]


def load_all(
    files: Sequence[Path] = (),
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, AppConfig]:
    """
    The configuration of every account, by name, in the order of the files.

    Without an ``[account.NAME]`` table there is one, of the name in ``exchange.account``.

    Raises:
        ConfigError: As `load`; or two accounts share a key, a journal or a port.
    """
    found, environ, names = _read(files, options, environ)
    if not (declared := accounts.declared(found)):
        add_credentials(found, environ)
        config = _made(found)
        return {config.exchange.account: config}
    return _each(found, declared, names)


def _read(
    files: Sequence[Path],
    options: Mapping[str, str] | None,
    environ: Mapping[str, str] | None,
) -> tuple[list[Layer], Mapping[str, str], Names]:
    environ = os.environ if environ is None else environ
    names = names_of(AppConfig)
    found = layers(files, options or {}, environ, accounts.with_accounts(names))
    return found, environ, names


def _each(found: Sequence[Layer], declared: tuple[str, ...], names: Names) -> dict[str, AppConfig]:
    """Every account's: a mistake in one is told whichever was asked for, like any other."""
    accounts.check_common(found)
    common = strongest(found, "database.url")
    origin = next((at for one in found if (at := one.origins.get("database.url"))), "")
    base = database_path(common if isinstance(common, str) else "", origin)
    made: dict[str, AppConfig] = {}
    for account in declared:
        own = list(accounts.layers_of(account, found, base, names["exchange"] or {}))
        try:
            made[account] = _made(own, check=False)
        except ConfigError as error:
            error.message = f"account {account}: {error.message}"
            raise
        made[account]._accounts = declared
    symbols = {symbol for config in made.values() for symbol in config.exchange.symbols}
    for account, config in made.items():
        try:
            _check_together(config, config.origins(), symbols)
        except ConfigError as error:
            error.message = f"account {account}: {error.message}"
            raise
    _check_apart(made)
    return made


def _made(found: Sequence[Layer], *, check: bool = True) -> AppConfig:
    origins: dict[str, str] = {}
    for layer in found:
        for name, origin in layer.origins.items():
            origins.setdefault(name, origin)
    try:
        config = AppConfig(layers=[layer.values for layer in found])  # type: ignore[call-arg]
    except ValidationError as error:
        raise _told(error, origins, found) from None
    config._origins.update(origins)
    if check:
        _check_together(config, origins, set(config.exchange.symbols))
    database_path(config.database.url, origins.get("database.url", ""))
    return config


def _check_apart(made: Mapping[str, AppConfig]) -> None:
    """No two accounts share a key, a journal or a port."""
    taken: dict[tuple[str, object], str] = {}
    for account, config in made.items():
        venue: str = config.exchange.environment  # an address can be spelt in many ways
        if venue == "simulated":  # many of these, and all know the usual key
            venue = config.exchange.url or venue
        _, port = config.listen
        given = config.exchange.api_key
        simulated = "sim-key" if config.exchange.environment == "simulated" else ""
        key = given.get_secret_value() if given is not None else simulated
        for what, value, setting in (
            ("key", (venue, key) if key else None, "api_key"),
            ("journal", config.database_path.absolute(), "database.url"),
            ("port", port or None, "api.listen"),
        ):
            if value is None:
                continue
            if other := taken.get((what, value)):
                raise ConfigError(
                    f"accounts {other} and {account} have one {what}",
                    next_step=f"Set account.{account}.{setting} to one of its own.",
                    setting=f"account.{account}.{setting}",
                )
            taken[what, value] = account


def _check_together(config: AppConfig, origins: Mapping[str, str], symbols: set[str]) -> None:
    """
    What no setting shows by itself.

    Args:
        config: What was read.
        origins: Where each setting was written.
        symbols: Those of all accounts: a limit for a symbol of another account is no mistake.
    """
    known = config.core_settings().policies
    for name, table in config.policy.items():
        if why := policies.problem(table) or ladder.problem(known[name]):
            raise ConfigError(f"policy.{name} {why}", setting=f"policy.{name}")
    if (name := config.reconcile.default_policy) not in known:
        raise _problem("reconcile.default_policy", name, f"is none of {', '.join(known)}", origins)
    for symbol in config.limits.symbol:
        if symbol not in symbols:
            listed, name = ", ".join(config.exchange.symbols), f"limits.symbol.{symbol}"
            raise ConfigError(
                f"{name}: {symbol} is not in exchange.symbols ({listed})", setting=name
            )
    for name, strategy in config.strategy.items():
        if not strategy.enabled:
            continue
        if foreign := [s for s in strategy.symbols if s not in config.exchange.symbols]:
            listed, setting = ", ".join(config.exchange.symbols), f"strategy.{name}.symbols"
            raise _problem(setting, foreign[0], f"is not in exchange.symbols ({listed})", origins)


def _told(
    error: ValidationError, origins: Mapping[str, str], found: Sequence[Layer]
) -> ConfigError:
    """The first problem in our words."""
    first, *others = error.errors(include_url=False)
    name = dotted(str(part) for part in first["loc"] if not isinstance(part, int))
    value = next((layer.get(name) for layer in found if layer.get(name) is not None), None)
    context = first.get("ctx", {})
    kind = first["type"]
    if kind == "value_error":
        what = str(context["error"])
    elif kind == "literal_error":
        what = f"must be {context['expected']}"
    elif kind == "string_pattern_mismatch":
        what = "has letters that are not allowed there"
    else:
        what = first["msg"].replace("Input should be", "must be", 1)
    problem = _problem(name, value, what, origins)
    if others:
        problem.message += f" (and {len(others)} more)"
    return problem


def _problem(name: str, value: object, what: str, origins: Mapping[str, str]) -> ConfigError:
    secret = name.rpartition(".")[2] in {"api_key", "api_secret"}
    origin = origins.get(name)
    where = f" ({origin})" if origin else ""
    said = f" = {shown(value)[:200]}" if _is_plain(value) and not secret else ""
    return ConfigError(f"{name}{said}{where} {what}", setting=name, origin=origin or "default")


def _is_plain(value: object) -> bool:
    """A value or a list of values; a table in the wrong place may hold a secret."""
    together = value if isinstance(value, list) else [value]
    return all(isinstance(one, (str, int, Decimal)) for one in together)
