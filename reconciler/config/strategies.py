"""``[strategy.NAME]``: the strategies to run, one table an instance."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from .kinds import AtLeastOne, Section, SomeSeconds, Symbols
from .layers import EnvText


def _yes_or_no(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, EnvText) and value in {"true", "false"}:
        return value == "true"
    raise ValueError("must be true or false")


def _parameters(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"has a parameter {name[:40]!r}, which is no name")
    return value


YesOrNo = Annotated[bool, BeforeValidator(_yes_or_no)]


class Strategy(Section):
    class_: Annotated[str, Field(alias="class", min_length=1, max_length=200)]
    symbols: Symbols
    bar: Annotated[str, Field(pattern=r"^([1-9][0-9]{0,5}[smhd])?$")] = ""
    parameters: Annotated[dict[str, Any], AfterValidator(_parameters)] = Field(default={})
    on_failure: Literal["hold", "zero"] = "hold"
    patience_s: Annotated[SomeSeconds, Field(le=3600)] = Decimal(5)
    number: Annotated[AtLeastOne, Field(le=999)] = 1
    enabled: YesOrNo = True
    runs: Literal["service", "process"] = "service"
