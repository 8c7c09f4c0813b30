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

from reconciler.errors import ConfigError

from .app import AppConfig, database_path, names_of, shown
from .layers import Layer, dotted, layers


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
    """
    environ = os.environ if environ is None else environ
    found = layers(files, options or {}, environ, names_of(AppConfig))
    origins: dict[str, str] = {}
    for layer in found:
        for name, origin in layer.origins.items():
            origins.setdefault(name, origin)
    try:
        config = AppConfig(layers=[layer.values for layer in found])  # type: ignore[call-arg]
    except ValidationError as error:
        raise _told(error, origins, found) from None
    config._origins.update(origins)
    _check_together(config, origins)
    database_path(config.database.url, origins.get("database.url", ""))
    return config


def _check_together(config: AppConfig, origins: Mapping[str, str]) -> None:
    """What no setting shows by itself."""
    known = config.core_settings().policies
    if (name := config.reconcile.default_policy) not in known:
        raise _problem("reconcile.default_policy", name, f"is none of {', '.join(known)}", origins)
    for symbol in config.limits.symbol:
        if symbol not in config.exchange.symbols:
            listed, name = ", ".join(config.exchange.symbols), f"limits.symbol.{symbol}"
            raise ConfigError(
                f"{name}: {symbol} is not in exchange.symbols ({listed})", setting=name
            )
    for name, strategy in config.strategy.items():
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
