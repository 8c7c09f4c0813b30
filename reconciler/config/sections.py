"""
The tables of the file, one class each: what can be set, what it may be, and what holds unset.

Add a setting in its class and a table as a field of `AppConfig`; only what the program uses today
can be set. Defaults that change decisions come from `core.settings`, so that there is one of each.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from reconciler.core import settings as core

from .kinds import (
    Seconds,
    Section,
    SomeSeconds,
    Symbols,
    Whole,
    address_here,
)

_SETTINGS, _TIMING = core.Settings(), core.Timing()


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
        more = parts.username is not None or parts.query or parts.fragment
        if parts.scheme not in {"http", "https"} or not host or more:
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


class Reconcile(Section):
    default_policy: str = "passive"
    in_flight_deadline_s: SomeSeconds = Decimal(_TIMING.in_flight_deadline_us) / 1_000_000
    foreign_orders: Literal["count", "ignore", "cancel", "freeze"] = "count"
    on_mismatch: Literal["halt", "adopt", "trade_back"] = "halt"
    mismatches_per_day: Whole = _SETTINGS.mismatches_per_day
    on_stop: Literal["cancel", "keep"] = "cancel"
    on_expiry: Literal["hold", "flatten", "freeze"] = "hold"


class Api(Section):
    listen: Annotated[str, AfterValidator(address_here)] = "127.0.0.1:8764"


class Log(Section):
    format: Literal["auto", "words", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"


class Secrets(Section):
    directory: str | None = None  # files named reconciler_exchange__api_secret, for us alone
