"""
Weights in a file of their own, read again whenever it changes.

    [strategies]
    "EmaCross_*" = 0.5

    [symbols]
    XBTUSD = 800

A table that is there takes the place of the one in the configuration. What is wrong in it is one
clear error, and the weights before it stay in force, all of them. One that is being written is let
be until two looks in a row find it the same: half a file may make sense, and mean something else.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from reconciler.errors import ConfigError
from reconciler.strategy.portfolio import Portfolio

MOST_BYTES = 1_000_000
MOST_PLACES = 40  # of a weight, behind the point: all are brought over one denominator

Signature = tuple[int, int, int, int]  # times of the content and of who may read it, size, number


class WeightFiles:
    """
    The portfolios with the weights of their files.

    Args:
        portfolios: As configured.
        strategies: Identifiers of the configured instances.
        symbols: The configured ones.
    """

    def __init__(
        self, portfolios: Sequence[Portfolio], strategies: Sequence[str], symbols: Sequence[str]
    ) -> None:
        self._portfolios = tuple(portfolios)
        self._strategies, self._symbols = tuple(strategies), tuple(symbols)
        self._seen: tuple[Signature | None, ...] | None = None  # what was read, well or not
        self._looked: tuple[Signature | None, ...] | None = None  # at the look before

    def changed(self) -> tuple[Portfolio, ...] | None:
        """
        All portfolios, if this is the first time or a file is another, and was at the last look.

        Raises:
            ConfigError: A file can't be read, or says what makes no sense. Told once for each
                state of the files.
        """
        now = tuple(
            _signature(Path(one.weights_file).expanduser()) if one.weights_file else None
            for one in self._portfolios
        )
        at_rest, self._looked = now == self._looked, now
        if now == self._seen or not (at_rest or self._seen is None):
            return None
        self._seen = now
        found = tuple(_with_file(one) for one in self._portfolios)
        for one in found:
            check(one, self._strategies, self._symbols)
        _check_together(found)
        return found


def check(portfolio: Portfolio, strategies: Sequence[str], symbols: Sequence[str]) -> None:
    """
    Refuse weights of what there is not.

    Raises:
        ConfigError: A strategy or a symbol is unknown, or a number is out of bounds.
    """
    where = f"portfolio.{portfolio.name}"
    for name, weight in portfolio.strategies.items():
        if not _names_somebody(name, strategies, portfolio.sources):
            there = ", ".join([*strategies, *portfolio.sources]) or "none"
            kind = "pattern fits" if any(mark in name for mark in "*?[") else "identifier is"
            raise ConfigError(
                f"{where}: {name[:80]!r} has a weight, and that {kind} no strategy's: "
                f"there are {there}",
                next_step="Configure it under [strategy.NAME], or list it in sources.",
                setting=f"{where}.strategies",
            )
        _bounded(f"{where}: the weight of {name[:80]}", weight, zero=True)
    for name, size in portfolio.symbols.items():
        _known_symbol(f"{where}.symbols", name, symbols)
        _bounded(f"{where}: the contracts of {name}", size, zero=False)
        if size < 0:
            raise ConfigError(f"{where}: the contracts of {name} are {size}; weights have the sign")
    for name in portfolio.max_contracts:
        _known_symbol(f"{where}.max_contracts", name, symbols)
    for name, most in (
        ("max_strength", portfolio.max_strength),
        ("max_gross", portfolio.max_gross),
    ):
        if most is not None:
            _bounded(f"{where}.{name}", most, zero=False)


def _names_somebody(name: str, strategies: Sequence[str], sources: Sequence[str]) -> bool:
    if any(fnmatchcase(strategy, name) for strategy in strategies):
        return True
    return any(fnmatchcase(name, source) or fnmatchcase(source, name) for source in sources)


def _known_symbol(where: str, name: str, symbols: Sequence[str]) -> None:
    if name not in symbols:
        there = ", ".join(symbols)
        raise ConfigError(
            f"{where}: {name[:40]!r} is not one of the configured symbols ({there})", setting=where
        )


def _bounded(what: str, number: Decimal, *, zero: bool) -> None:
    if not number.is_finite() or number.copy_abs() > 10**9 or (not number and not zero):
        raise ConfigError(f"{what} is {str(number)[:40]}; it must be a number up to 1,000,000,000")
    if number.as_tuple().exponent < -MOST_PLACES:  # type: ignore[operator]  # a number has one
        raise ConfigError(
            f"{what} is {str(number)[:40]}; at most {MOST_PLACES} places are believed"
        )


def _check_together(portfolios: Sequence[Portfolio]) -> None:
    """One target has one policy and one end: portfolios that share a symbol may not name two."""
    said: dict[tuple[str, str], tuple[str, str]] = {}  # symbol, setting: its value, who says so
    for one in portfolios:
        named = {"policy": one.policy, "on_expiry": one.on_expiry}
        for symbol, setting in itertools.product(one.symbols, named):
            where, value = f"portfolio.{one.name}.{setting}", named[setting]
            if not value:
                continue
            before, by = said.setdefault((symbol, setting), (value, where))
            if before != value:
                raise ConfigError(
                    f"{where} = {value!r} and {by} = {before!r}: both trade {symbol}, whose target "
                    "has one",
                    next_step="Give both the same, or let only one of them say it.",
                    setting=where,
                )


def _signature(path: Path) -> Signature | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _with_file(portfolio: Portfolio) -> Portfolio:
    if not portfolio.weights_file:
        return portfolio
    path = Path(portfolio.weights_file).expanduser()
    where = f"portfolio.{portfolio.name}: {path}"
    try:
        if not path.is_file() and path.exists():
            raise ConfigError(f"{where} is no plain file")  # to open a pipe may take for ever
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise ConfigError(f"{where} has more than {MOST_BYTES:,} bytes")
        tables = tomllib.loads(raw.decode(), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not understood: {str(error)[:200]}") from None
    except ArithmeticError:
        raise ConfigError(f"{where} has a number that is too long") from None
    for name in tables:
        if name not in {"strategies", "symbols"}:
            raise ConfigError(f"{where}: {name[:40]!r} is no table here; strategies, symbols are")
    new = {name: _numbers(f"{where}: {name}", table) for name, table in tables.items()}
    return msgspec.structs.replace(portfolio, **new)


def _numbers(where: str, table: object) -> dict[str, Decimal]:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table of names and numbers")
    found = {}
    for name, value in table.items():
        if type(value) is int:
            value = Decimal(value)
        if type(value) is not Decimal or not value.is_finite():
            raise ConfigError(f"{where}: {name[:80]} = {str(value)[:40]} is no number")
        found[name] = value
    return found
