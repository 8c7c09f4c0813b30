"""``[portfolio.NAME]``: what signals are worth in contracts."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from .kinds import AtLeastOne, Section, Whole
from .layers import EnvText


def _number(value: object) -> object:
    if type(value) is int:
        return Decimal(value)
    if type(value) is Decimal and value.is_finite():
        return value
    if isinstance(value, EnvText) and re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return Decimal(value)
    raise ValueError("must be a number")


def _some(value: dict[str, Decimal]) -> dict[str, Decimal]:
    for name, number in value.items():
        if number <= 0:
            raise ValueError(f"{name} must be above zero: a weight of a strategy has the sign")
    return value


Number = Annotated[Decimal, BeforeValidator(_number), Field(ge=-(10**9), le=10**9)]
Positive = Annotated[Decimal, BeforeValidator(_number), Field(gt=0, le=10**9)]


class Portfolio(Section):
    strategies: dict[str, Number]  # identifier or pattern: weight
    symbols: Annotated[dict[str, Number], AfterValidator(_some)]  # contracts for a strength of 1
    sources: tuple[Annotated[str, Field(min_length=1, max_length=80)], ...] = ()
    max_strength: Positive | None = None  # of one strategy, weighted
    max_contracts: dict[str, Whole] = Field(default={})  # of the portfolio's net, by symbol
    max_gross: Positive | None = None  # of all its symbols, as strengths
    policy: str = ""
    ttl_s: Annotated[AtLeastOne, Field(le=10 * 366 * 86_400)] | None = None
    on_expiry: Literal["hold", "flatten", "freeze"] | None = None
    weights_file: str = ""
