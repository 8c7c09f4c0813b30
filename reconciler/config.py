"""
The configuration: what can be set, what each setting may be, and where its value came from.

First wins: command line, environment, secrets directory, file (of several, the later), default.
A name that is not known is an error at every level, because a limit that was misspelt is no
limit. Only what the program uses today can be set.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

import msgspec
import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from reconciler.config_layers import MASK, EnvText, Layer, Names, dotted, layers
from reconciler.core import settings as core
from reconciler.errors import ConfigError

_LIMITS, _PASSIVE, _TIMING = core.Limits(), core.Policy(), core.Timing()


def _whole(value: object) -> object:
    if type(value) is int:
        return value
    if isinstance(value, EnvText) and re.fullmatch(r"[0-9]{1,15}", value):
        return int(value)
    raise ValueError("must be a whole number")


def _decimal(value: object) -> object:
    if type(value) is int:
        return Decimal(value)
    if type(value) is Decimal and value.is_finite():
        return value
    if isinstance(value, EnvText) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value):
        return Decimal(value)
    raise ValueError("must be a number of seconds")


def _words(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, EnvText) else value


def _symbols(value: tuple[str, ...]) -> tuple[str, ...]:
    for symbol in value:
        if not re.fullmatch(r"[A-Z0-9_.]{1,30}", symbol):
            raise ValueError(f"must be symbols in capitals; {symbol[:40]!r} is none")
        if value.count(symbol) > 1:
            raise ValueError(f"has {symbol} twice")
    return value


def _address(value: str) -> str:
    """A host and a port on this machine: the token travels in the clear."""
    host, port = split_listen(value)
    if host != "localhost":
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError("must be on this machine, such as 127.0.0.1:8764")
    if port > 65_535:
        raise ValueError("must have a port from 0 to 65535")
    return value


def split_listen(value: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8764`` or ``[::1]:8764``."""
    host, colon, port = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8764")
    return host.removeprefix("[").removesuffix("]"), int(port)


Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**15)]
AtLeastOne = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**15)]
BasisPoints = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10_000)]
Seconds = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, le=10**7)]
SomeSeconds = Annotated[Decimal, BeforeValidator(_decimal), Field(gt=0, le=10**7)]
Symbols = Annotated[
    tuple[str, ...], BeforeValidator(_words), Field(min_length=1), AfterValidator(_symbols)
]


class Section(BaseModel):
    """A table of the file. Unknown names are errors here as everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Exchange(Section):
    environment: Literal["simulated", "testnet", "live"] = "simulated"
    url: str | None = None  # another address that speaks the same protocol
    account: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")] = "main"
    symbols: Symbols = ("XBTUSD", "ETHUSD")
    api_key: SecretStr | None = None
    api_secret: SecretStr | None = None
    rest_timeout_s: Annotated[SomeSeconds, Field(le=60)] = Decimal(7)
    dead_man_s: Seconds = Decimal(60)  # 0: off

    @model_validator(mode="after")
    def _address_fits_environment(self) -> Self:
        if self.url is None:
            return self
        parts = urlsplit(self.url)
        host = (parts.hostname or "").rstrip(".").lower()
        if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
            raise ValueError("url must be an address such as https://host, without a password")
        if host == "bitmex.com" or host.endswith(".bitmex.com"):
            real = "testnet" if host.split(".")[0].startswith("testnet") else "live"
            if self.environment != real:
                raise ValueError(f"url is BitMEX's {real}; environment is {self.environment!r}")
        local = host in {"localhost", "127.0.0.1", "::1"}
        if parts.scheme == "http" and not local:
            raise ValueError("url must begin with https:// unless it is on this machine")
        return self


class Database(Section):
    url: str = ""
    durability: Literal["power", "process"] = "power"


class SymbolLimits(Section):
    max_position_contracts: Whole | None = None
    max_order_contracts: AtLeastOne | None = None
    max_orders_per_minute: AtLeastOne | None = None
    price_collar_bps: BasisPoints | None = None
    stale_price_s: SomeSeconds | None = None


class Limits(Section):
    max_position_contracts: Whole = _LIMITS.max_position_contracts
    max_order_contracts: AtLeastOne = _LIMITS.max_order_contracts
    max_orders_per_minute: AtLeastOne = _LIMITS.max_orders_per_minute
    price_collar_bps: BasisPoints = _LIMITS.price_collar_bps
    stale_price_s: SomeSeconds = Decimal(_LIMITS.stale_price_us) / 1_000_000
    symbol: dict[str, SymbolLimits] = {}


class Policy(Section):
    start: Literal["join", "inside", "cross"] | None = None
    reprice_after_s: SomeSeconds | None = None
    reprice_ticks: Whole | None = None
    escalate_after_s: Seconds | None = None
    escalate_to: Literal["join", "inside", "cross"] | None = None
    band_contracts: Whole | None = None
    max_slippage_bps: BasisPoints | None = None


class Reconcile(Section):
    default_policy: str = "passive"
    in_flight_deadline_s: SomeSeconds = Decimal(_TIMING.in_flight_deadline_us) / 1_000_000
    foreign_orders: Literal["count", "ignore", "freeze"] = "count"
    on_stop: Literal["cancel", "keep"] = "cancel"
    on_expiry: Literal["hold", "flatten", "freeze"] = "hold"


class Api(Section):
    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8764"


class Log(Section):
    format: Literal["auto", "words", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"


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

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

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
    def secrets(self) -> tuple[str, ...]:
        """The values that may be seen nowhere."""
        found = (self.exchange.api_key, self.exchange.api_secret)
        return tuple(secret.get_secret_value() for secret in found if secret is not None)

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
            raise ConfigError(
                f"exchange.{missing} is not set, and {self.exchange.environment} needs it",
                next_step=f"Set {prefix}_{missing.upper()} in the environment.",
                setting=f"exchange.{missing}",
            )
        return key, secret

    def core_settings(self) -> core.Settings:
        """What of all this changes decisions, in the core's units."""
        limits = _renamed(self.limits, leave=("symbol",))
        base = core.Limits(**limits)
        policies = core.default_policies()
        for name, policy in self.policy.items():
            known = policies.get(name, core.Policy())
            policies[name] = msgspec.structs.replace(known, **_renamed(policy))
        return core.Settings(
            symbols=self.exchange.symbols,
            limits=base,
            symbol_limits={
                symbol: msgspec.structs.replace(base, **_renamed(own))
                for symbol, own in self.limits.symbol.items()
            },
            policies=policies,
            default_policy=self.reconcile.default_policy,
            timing=core.Timing(in_flight_deadline_us=micro(self.reconcile.in_flight_deadline_s)),
            foreign_orders=self.reconcile.foreign_orders,
            dead_man_us=micro(self.exchange.dead_man_s),
        )

    def origins(self) -> dict[str, str]:
        """Each setting that was set, and where: a file and line, a variable, an option."""
        return dict(self._origins)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, value as it would be written in a file, and origin of each setting in force."""
        for name, value in _leaves(self.model_dump()):
            if name == "database.url" and not value:
                value = f"sqlite:///{self.database_path}"
            yield name, _shown(value), self._origins.get(name, "default")


def micro(seconds: Decimal) -> int:
    """Seconds as whole microseconds."""
    return int(seconds * 1_000_000)


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
    for name, field in model.model_fields.items():
        kind = field.annotation
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
    said = f" = {_shown(value)[:200]}" if _is_plain(value) and not secret else ""
    return ConfigError(f"{name}{said}{where} {what}", setting=name, origin=origin or "default")


def _is_plain(value: object) -> bool:
    """A value or a list of values; a table in the wrong place may hold a secret."""
    together = value if isinstance(value, list) else [value]
    return all(isinstance(one, (str, int, Decimal)) for one in together)


def _leaves(values: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*path, name))
        elif value is not None:
            yield dotted((*path, name)), value


def _shown(value: object) -> str:
    """A value as TOML has it, secrets masked."""
    if isinstance(value, SecretStr):
        return f'"{MASK}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_shown(item) for item in value)}]"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, str):
        return msgspec.json.encode(str(value)).decode()
    return str(value)
