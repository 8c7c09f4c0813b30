"""
Which strategies there are: what the configuration says of each, its name, and its class.

An identifier names an instance for good: its signals, its part of every target and its profit are
kept under it. It is made of the class, the symbols, the bar and a number that is written down in
the configuration, so that taking one instance out renames no other.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import msgspec

from reconciler.errors import ConfigError
from reconciler.strategy.base import Strategy

ENTRY_POINTS = "reconciler.strategies"

#: Those that come with the program, by the name in the configuration.
SHIPPED: Mapping[str, str] = {
    "random": "reconciler.strategy.random_targets:Random",
    "ema_cross": "reconciler.strategy.ema_cross:EmaCross",
    "buy_and_hold": "reconciler.strategy.buy_and_hold:BuyAndHold",
    "from_file": "reconciler.strategy.from_file:FromFile",
}


#: When the files of modules had been written, as they were first asked for.
_WRITTEN_NS: dict[str, int] = {}


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, as it was configured under ``[strategy.NAME]``."""

    name: str
    kind: str  # "ema_cross", "my.module:Class", or the name of an entry point
    symbols: tuple[str, ...]
    bar: str = ""
    parameters: Mapping[str, Any] = {}
    on_failure: str = "hold"  # hold | zero: what becomes of its last signals when it fails
    patience_s: float = 5.0  # a callback that takes longer has failed
    number: int = 1
    enabled: bool = True
    runs: str = "service"  # service | process: in `reconciler strategy run`

    @property
    def identifier(self) -> str:
        """As ``EmaCross_XBTUSD_15s_1``."""
        _, _, class_name = place_of(self.kind).partition(":")
        parts = [class_name, "-".join(self.symbols), self.bar, str(self.number)]
        return "_".join(part for part in parts if part)


def place_of(kind: str) -> str:
    """
    Where the class is, as ``module:Class``. Nothing is imported.

    Raises:
        ConfigError: There is none of that name.
    """
    if kind in SHIPPED:
        return SHIPPED[kind]
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", kind):
        return kind
    found = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if kind in found:
        return re.sub(r"\s|\[.*\]", "", found[kind])
    known = ", ".join([*SHIPPED, *sorted(found)])
    raise ConfigError(
        f"{kind[:80]!r} is no strategy",
        next_step=f"Write one of {known}, or module:Class of your own.",
    )


def load(kind: str) -> type[Strategy]:
    """
    The class itself. Its module is run, with whatever that does.

    Modules are found where Python finds them, and in the working directory.

    Raises:
        ConfigError: It is no strategy, or its module cannot be imported.
    """
    module_name, _, class_name = place_of(kind).partition(":")
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)  # one's own modules; last, so that they hide none of others
    try:
        module = import_module(module_name)
    except Exception as error:  # it is a stranger's code: anything may come
        said = f"{type(error).__name__}: {error}"[:200]
        raise ConfigError(f"{module_name} cannot be imported: {said}") from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise ConfigError(
            f"{module_name} has no strategy {class_name!r}",
            next_step="It must be a class that derives from reconciler.strategy.Strategy.",
        )
    return found


def outdated(kind: type[Strategy]) -> str:
    """The file of a class, if it was written anew since it was imported: Python keeps the old."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ""
    try:
        written_ns = os.stat(file).st_mtime_ns
    except OSError:
        return ""  # gone, or in an archive
    return file if written_ns != _WRITTEN_NS.setdefault(kind.__module__, written_ns) else ""


def check_distinct(specs: Sequence[Spec]) -> None:
    """
    Refuse two instances of one identifier: their signals could not be told apart.

    Nor may one be called as another is: a command that names it would mean both.

    Raises:
        ConfigError: There are two, or the kind of one is none.
    """
    seen: dict[str, str] = {}
    names = {spec.name for spec in specs}
    for spec in specs:
        other = seen.setdefault(spec.identifier, spec.name)
        if other != spec.name:
            raise ConfigError(
                f"strategy.{other} and strategy.{spec.name} are both {spec.identifier}",
                next_step=f"Write number = 2 in [strategy.{spec.name}].",
                setting=f"strategy.{spec.name}.number",
            )
        if spec.identifier in names and spec.identifier != spec.name:
            raise ConfigError(
                f"strategy.{spec.identifier} has the name that is the identifier of "
                f"strategy.{spec.name}",
                next_step="Give one of the two tables another name.",
                setting=f"strategy.{spec.identifier}",
            )
