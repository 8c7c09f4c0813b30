"""One strategy as the runner knows it: its state, its calls, and its row for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from reconciler.logs import called_secret, masked
from reconciler.strategy.base import Needs, Strategy
from reconciler.strategy.registry import Spec
from reconciler.strategy.signals import Signal


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy is in another state."""

    strategy: str
    state: str  # running | stopped | failed
    detail: str = ""
    parameters: str = ""  # JSON
    traceback: str = ""  # of a failure, whole


class Call(msgspec.Struct, frozen=True):
    """One callback that is due."""

    instance: Instance
    life: int
    name: str
    argument: Any = None


class Outcome(NamedTuple):
    """How a call ended."""

    error: BaseException | None = None
    loaded: Loaded | None = None


DONE = Outcome()


class Loaded(NamedTuple):
    """An instance of the user's class, and where it writes what it says."""

    strategy: Strategy
    needs: Needs
    said: dict[str, Signal]


class Instance:
    """One strategy and what has become of it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.identifier = spec.identifier
        self.state = "off"  # off | waiting | running | stopped | failed
        self.detail = ""
        self.parameters = ""
        self.hidden: tuple[str, ...] = ()  # what its parameters call a secret, in this life
        self.signals: dict[str, Signal] = {}  # in force
        self.told_us: dict[str, int] = {}  # when it was last handed on, by symbol
        self.strategy: Strategy | None = None
        self.needs = Needs()
        self.said: dict[str, Signal] = {}  # by the call that is under way: the last of each symbol
        self.notes, self.noted_s = 0, 0  # for the log, in a second of the market
        self.life = 0  # rises with every start and end: calls of an earlier one are dropped
        self.defined: frozenset[str] = frozenset()
        self.lengths_us: frozenset[int] = frozenset()  # of the bars that it is told of

    @property
    def bars(self) -> tuple[str, ...]:
        """The bar lengths that it wants to be told of."""
        own = (self.spec.bar,) if self.spec.bar else ()
        return tuple(dict.fromkeys((*own, *self.needs.bars)))

    def begin(self) -> None:
        """Another life: it is to be loaded, with the parameters of now."""
        self.life += 1
        self.hidden = hidden_of(self.spec)
        self.state, self.detail = "waiting", "to be loaded"

    def masked(self, text: str) -> str:
        """What it says, without its secrets: it is recorded, and shown to people."""
        return str(masked(text, self.hidden))

    def clean(self, signal: Signal) -> Signal:
        """The same of a signal's reason."""
        if not self.hidden:
            return signal
        return msgspec.structs.replace(signal, reason=self.masked(signal.reason))

    def may_say(self, signal: Signal) -> bool:
        """Whether it is its own: what it is called and may signal, its code can overwrite."""
        name = signal.strategy
        is_own = type(name) is str and name == self.identifier
        return is_own and signal.symbol in self.spec.symbols


def hidden_of(spec: Spec) -> tuple[str, ...]:
    """The texts that nobody is to see, the longest first: one may be a part of another."""
    return tuple(sorted(called_secret(spec.parameters), key=len, reverse=True))


#: A row of a strategy of which nothing is known but its identifier.
BLANK: Mapping[str, Any] = {
    "strategy": "", "name": "", "class": "", "symbols": "", "bar": "", "runs": "elsewhere",
    "state": "off", "signals": "", "holds": "", "on_failure": "", "detail": "", "parameters": "",
}  # fmt: skip


def row_of(spec: Spec) -> dict[str, Any]:
    """What the configuration says of an instance, for people."""
    return {
        **BLANK,
        "strategy": spec.identifier,
        "name": spec.name,
        "class": spec.kind,
        "symbols": ",".join(spec.symbols),
        "bar": spec.bar,
        "runs": spec.runs,
        "on_failure": spec.on_failure,
        "detail": "" if spec.enabled else "enabled = false",
    }
