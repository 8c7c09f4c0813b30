"""
What a single setting may be: whole numbers, seconds, symbols, addresses on this machine.

A value of the file has its type; one of the environment or the command line is text (`EnvText`) and
may be meant as a number. No float gets in.
"""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .layers import EnvText


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


def address_here(value: str) -> str:
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


def some(value: Decimal) -> Decimal:
    """What would be counted as no time at all would turn its rule off."""
    if not micro(value):
        raise ValueError("must be a microsecond at least")
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
SomeSeconds = Annotated[
    Decimal, BeforeValidator(_decimal), Field(gt=0, le=10**7), AfterValidator(some)
]
Symbols = Annotated[
    tuple[str, ...], BeforeValidator(_words), Field(min_length=1), AfterValidator(_symbols)
]


class Section(BaseModel):
    """A table of the file. Unknown names are errors here as everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def micro(seconds: Decimal) -> int:
    """Seconds as whole microseconds."""
    return int(seconds * 1_000_000)
