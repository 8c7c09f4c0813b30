"""The settings in force, all sections together, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import platformdirs
from pydantic import BaseModel, PrivateAttr, SecretStr
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from reconciler.core import settings as core
from reconciler.errors import ConfigError
from reconciler.logs import MASK, called_secret, masked

from .kinds import Section, micro, split_listen
from .layers import Names, dotted
from .limits import Limits
from .policies import Policy, policies_of
from .portfolios import Portfolio
from .sections import Api, Database, Exchange, Log, Reconcile, Secrets
from .strategies import Strategy


class AppConfig(BaseSettings):
    """The settings in force. Make one with `load`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    exchange: Exchange = Exchange()
    database: Database = Database()
    limits: Limits = Limits()
    policy: dict[str, Policy] = {}
    reconcile: Reconcile = Reconcile()
    api: Api = Api()
    log: Log = Log()
    secrets: Secrets = Secrets()
    strategy: dict[str, Strategy] = {}
    portfolio: dict[str, Portfolio] = {}

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _accounts: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only ours, as `load` gives them: they know where each value was written."""
        found: Sequence[dict[str, Any]] = init_settings().get("layers", ())
        return tuple(InitSettingsSource(settings_cls, init_kwargs=values) for values in found)

    @property
    def database_path(self) -> Path:
        """Where the journal is."""
        return database_path(self.database.url)

    @property
    def listen(self) -> tuple[str, int]:
        """Host and port of the API."""
        return split_listen(self.api.listen)

    @property
    def accounts(self) -> tuple[str, ...]:
        """All accounts that the files declare; none: there is one, and it has no table."""
        return self._accounts

    @property
    def hidden(self) -> tuple[str, ...]:
        """The values that may be seen nowhere: keys, and parameters that are called as keys are."""
        found = (self.exchange.api_key, self.exchange.api_secret)
        keys = [secret.get_secret_value() for secret in found if secret is not None]
        parameters = [one.parameters for one in self.strategy.values()]
        return (*keys, *called_secret(parameters))

    def credentials(self) -> tuple[str, str]:
        """
        API key and secret.

        Raises:
            ConfigError: Not set; the simulated exchange needs none to be set.
        """
        simulated = self.exchange.environment == "simulated"
        known = ("sim-key", "sim-secret") if simulated else ("", "")
        given = (self.exchange.api_key, self.exchange.api_secret)
        key, secret = (
            s.get_secret_value() if s is not None else default
            for s, default in zip(given, known, strict=True)
        )
        if not key or not secret:
            prefix = "BITMEX" if self.exchange.environment == "live" else "BITMEX_TESTNET"
            missing = "api_key" if not key else "api_secret"
            if self._accounts:
                raise self._no_credential(missing)
            raise ConfigError(
                f"exchange.{missing} is not set, and {self.exchange.environment} needs it",
                next_step=f"Set {prefix}_{missing.upper()} in the environment.",
                setting=f"exchange.{missing}",
            )
        return key, secret

    def _no_credential(self, missing: str) -> ConfigError:
        account = self.exchange.account
        variable = account.upper().replace("-", "_")
        return ConfigError(
            f"account.{account}.{missing} is not set, and {self.exchange.environment} needs it",
            next_step=f"Set RECONCILER_ACCOUNT__{variable}__{missing.upper()} in the environment,"
            " or put it into a file of the secrets directory.",
            setting=f"account.{account}.{missing}",
        )

    def core_settings(self) -> core.Settings:
        """What of all this changes decisions, in the core's units."""
        limits = _renamed(self.limits, leave=("symbol", "account"))
        base = core.Limits(**limits)
        return core.Settings(
            symbols=self.exchange.symbols,
            limits=base,
            symbol_limits={
                symbol: msgspec.structs.replace(base, **_renamed(own))
                for symbol, own in self.limits.symbol.items()
                if symbol in self.exchange.symbols
            },
            policies=policies_of(self.policy),
            default_policy=self.reconcile.default_policy,
            timing=core.Timing(in_flight_deadline_us=micro(self.reconcile.in_flight_deadline_s)),
            account_limits=core.AccountLimits(**_renamed(self.limits.account)),
            foreign_orders=self.reconcile.foreign_orders,
            on_mismatch=self.reconcile.on_mismatch,
            mismatches_per_day=self.reconcile.mismatches_per_day,
            dead_man_us=micro(self.exchange.dead_man_s),
        )

    def origins(self) -> dict[str, str]:
        """Each setting that was set, and where: a file and line, a variable, an option."""
        return dict(self._origins)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, value as it would be written in a file, and origin of each setting in force."""
        values = self.model_dump(by_alias=True)
        for strategy in values["strategy"].values():
            strategy["parameters"] = masked(strategy["parameters"])
        for name, value in _leaves(values):
            if name == "database.url" and not value:
                value = f"sqlite:///{self.database_path}"
            yield name, shown(value), self._origin_of(name)

    def _origin_of(self, name: str) -> str:
        """Where a setting was written: a table of free names is written as one value."""
        while name not in self._origins and "." in name:
            name = name.rpartition(".")[0]
        return self._origins.get(name, "default")


def database_path(url: str, origin: str = "") -> Path:
    """
    The file that a database URL names; empty: the default one.

    Raises:
        ConfigError: It is no SQLite file.
    """
    if not url:
        return Path(platformdirs.user_data_path("reconciler", appauthor=False)) / "journal.db"
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "sqlite", "/" + url  # a plain path
    where = f" ({origin})" if origin else ""
    name = rest.removeprefix("/")
    if scheme != "sqlite":
        problem = f"database.url{where} begins with {scheme}://, and this version knows only sqlite"
    elif not rest.startswith("/") or not name or name.startswith(":") or "?" in name:
        problem = f"database.url = {url!r}{where} names no file"
    else:
        return Path(name).expanduser()
    advice = "Write sqlite:///path/to/journal.db."
    raise ConfigError(problem, next_step=advice, setting="database.url")


def names_of(model: type[BaseModel]) -> Names:
    """The names that a section knows, each with those of the section behind it."""
    found: Names = {}
    for attribute, field in model.model_fields.items():
        name, kind = field.alias or attribute, field.annotation
        arguments = get_args(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found[name] = names_of(kind)
        elif len(arguments) == 2 and isinstance(arguments[1], type):
            is_section = issubclass(arguments[1], BaseModel)
            found[name] = {"*": names_of(arguments[1])} if is_section else None
        else:
            found[name] = None
    return found


def _renamed(section: Section, leave: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a section that are set, as the core names and counts them."""
    found: dict[str, Any] = {}
    for name, value in section:
        if name in leave or value is None:
            continue
        if name.endswith("_s"):
            name, value = f"{name[:-2]}_us", micro(value)
        found[name] = value
    return found


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        elif value is not None:
            yield dotted((*path, name)), value


def shown(value: object) -> str:
    """A value as TOML has it, secrets masked."""
    if isinstance(value, SecretStr):
        return f'"{MASK}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(shown(item) for item in value)}]"
    if isinstance(value, Mapping):
        set_ = (f"{name} = {shown(one)}" for name, one in value.items() if one is not None)
        return f"{{ {', '.join(set_)} }}"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, str):
        return msgspec.json.encode(str(value)).decode()
    return str(value)
