"""
A strategy: a small class that looks at a market and says what it thinks of a symbol.

    class AboveTheMean(Strategy):
        \"\"\"Long above the mean of the last bars, short below it.\"\"\"

        length: int = 20  # an annotated name is a parameter

        def needs(self) -> Needs:
            return Needs(look_back=self.length)

        def on_bar_close(self, bar):
            closes = [b.close for b in self.market[bar.symbol].bars(bar.length, self.length)]
            mean = sum(closes) / len(closes)
            self.signal(bar.symbol, 1 if bar.close > mean else -1, f"mean {mean:.1f}", bar.close)

It never says what to trade, only how strongly it leans: what a strength of 1 is worth in contracts
is for a portfolio to say. What a callback signals counts once the callback has returned; one that
raises has said nothing. Callbacks of all strategies run one after the other in one thread that is
not the trading loop's.
"""

from __future__ import annotations

import inspect
import operator
import typing
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import msgspec

from reconciler.errors import ConfigError
from reconciler.feed import TABLES
from reconciler.logs import MASK, is_secret, masked
from reconciler.strategy.bars import length_us
from reconciler.strategy.signals import Signal

if TYPE_CHECKING:
    from reconciler.core.decisions import FillShared
    from reconciler.strategy.bars import Bar
    from reconciler.strategy.market import Market, Snapshot, Tick

MOST_STRENGTH = 1_000_000  # far beyond any weight: what is larger is a mistake
STEP = Decimal("0.000000001")  # strengths are rounded to it: finer than any lot can tell
MOST_PLACES = 40  # of a price, behind the point
LONGEST_REASON = 200
MOST_LOOK_BACK = 100_000  # bars: a day of seconds, and what an exchange tells in some minutes
_ROOMY = Context(prec=60, rounding=ROUND_HALF_EVEN)
#: What most strategies say, as `strength_of` would have it.
_SMALL = {number: Decimal(number).normalize(_ROOMY) for number in range(-100, 101)}

#: What a user's class may define, and the runner calls.
CALLBACKS = ("on_start", "on_tick", "on_bar_open", "on_bar_close", "on_snapshot", "on_fill")


class Needs(NamedTuple):
    """What a strategy wants to see, beside its symbols and the bar of its configuration."""

    look_back: int = 0  # closed bars that are there at on_start
    tables: tuple[str, ...] = ()  # of `feed.TABLES`, as "book"; trades and quotes always come
    bars: tuple[str, ...] = ()  # more bar lengths


class BadSignal(ValueError):
    """A strategy said something that no portfolio could use. It counts as its failure."""


class Strategy:
    """
    Derive from it, and define the callbacks that you want; leave ``__init__`` alone.

    Annotated names of a class are its parameters: they are set from the configuration, checked
    against their type (`typing.Annotated` with `msgspec.Meta` sets bounds), and those without a
    default have to be given. A name that begins with an underscore is your own.

    Attributes:
        identifier: Names this instance, as ``EmaCross_XBTUSD_15s_1``: in signals, shares and logs.
        symbols: That the configuration gives it; it may signal these and no others.
        bar: Length of its bars, as "15s"; "" if it has none.
        market: What is known of its symbols: ``self.market["XBTUSD"].last``.
        signals: Its signals in force, by symbol: after a restart those of before.
    """

    identifier: str = ""
    symbols: tuple[str, ...] = ()
    bar: str = ""
    market: Market
    signals: Mapping[str, Signal]
    _say: Callable[[Signal], None]
    _warn: Callable[[str], None]

    # -- to be defined

    def check(self) -> None:
        """Refuse parameters that do not fit together: raise ValueError."""

    def needs(self) -> Needs:
        """Say what to have ready, once the parameters are set."""
        return Needs()

    def on_start(self) -> None:
        """The market is there, with the look-back; nothing was called before."""

    def on_tick(self, tick: Tick) -> None:
        """A trade, or another best bid or ask."""

    def on_bar_open(self, bar: Bar) -> None:
        """A bar begins, trade or not."""

    def on_bar_close(self, bar: Bar) -> None:
        """A bar is complete, trade or not."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Once a second, for those who don't want every tick."""

    def on_fill(self, fill: FillShared) -> None:
        """Contracts came or went on behalf of this strategy; ``fill.position`` is what it holds."""

    # -- to be used

    def signal(
        self, symbol: str, strength: Any, reason: str = "", price: Decimal | None = None
    ) -> None:
        """
        Say how strongly to lean, from now on.

        Args:
            symbol: One of `symbols`.
            strength: Signed; whole, `Decimal` or float, and finite. 0: no opinion, nothing held.
            reason: For people: it can be read at the order that follows.
            price: That it was decided at, for policies that follow it.

        Raises:
            BadSignal: It could not be used. Let it pass: it is a failure of the strategy.
        """
        symbol = plain(symbol)
        if symbol not in self.symbols:
            own = ", ".join(self.symbols)
            raise BadSignal(f"signal for {str(symbol)[:40]!r}: the strategy's symbols are {own}")
        self._say(
            Signal(
                strategy=self.identifier,
                symbol=symbol,
                strength=strength_of(strength),
                reason=_text_of(reason),
                price=price_of(price),
            )
        )

    def warn(self, text: str) -> None:
        """Write *text* to the log of the service; nothing else follows."""
        self._warn(_text_of(text))


def strength_of(value: object) -> Decimal:
    """
    A strength as an exact number, rounded to `STEP`.

    Raises:
        BadSignal: It is no number, not finite, or too large.
    """
    if type(value) is int and (small := _SMALL.get(value)) is not None:
        return small
    exact = _number(value, "strength")
    if exact.copy_abs() > MOST_STRENGTH:  # abs() has a limit of its own, and raises
        raise BadSignal(f"strength is {exact:.3E}; at most {MOST_STRENGTH:,} is believed")
    rounded = exact.quantize(STEP, context=_ROOMY).normalize(_ROOMY)
    return rounded if rounded else Decimal(0)  # never -0


def price_of(value: object) -> Decimal | None:
    """A price that a signal was given at, or none. Raises BadSignal."""
    if value is None:
        return None
    exact = _number(value, "price")
    if not 0 < exact < 10**12:
        raise BadSignal(f"price is {exact:.12g}; it must be above zero and below 1e12")
    if exact.as_tuple().exponent < -MOST_PLACES:  # type: ignore[operator]  # a number has one
        raise BadSignal(f"price is {exact:.12g}; at most {MOST_PLACES} places are believed")
    return exact


def plain(text: Any) -> Any:
    """Text as nothing but text: a subclass of a stranger's may mean anything by itself."""
    return text if type(text) is str or not isinstance(text, str) else str.__str__(text)


def _number(value: object, what: str) -> Decimal:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise BadSignal(f"{what} is {str(value)[:40]!r}, a {type(value).__name__}: no number")
    if isinstance(value, Decimal):
        exact = Decimal(value)
    elif isinstance(value, float):
        exact = Decimal(repr(float(value)))  # as it is written, without the tail of its bits
    else:
        try:
            exact = Decimal(operator.index(value))  # type: ignore[arg-type]
        except TypeError:
            raise BadSignal(f"{what} is a {type(value).__name__}: no number") from None
    if not exact.is_finite():
        raise BadSignal(f"{what} is {exact}; it must be finite")
    return exact


def _text_of(reason: object) -> str:
    if not isinstance(reason, str):
        raise BadSignal(f"reason is a {type(reason).__name__}; it must be text")
    if reason.isascii():
        return reason[:LONGEST_REASON]
    said: str = plain(reason)
    return said[:LONGEST_REASON].encode(errors="replace").decode()


def parameters_of(kind: type[Strategy]) -> dict[str, Any]:
    """
    The parameters that a class has, each with its type.

    Raises:
        ConfigError: An annotation of the class names nothing.
    """
    found: dict[str, Any] = {}
    for one in reversed(kind.__mro__):
        if not issubclass(one, Strategy) or one is Strategy:
            continue
        try:
            hints = inspect.get_annotations(one, eval_str=True)
        except (NameError, TypeError, SyntaxError) as error:
            raise ConfigError(f"{one.__name__}: an annotation is not understood: {error}") from None
        for name, hint in hints.items():
            if name in Strategy.__annotations__:
                raise ConfigError(f"{one.__name__}: {name!r} is given to it, and is no parameter")
            if not (name.startswith("_") or ClassVar in (hint, typing.get_origin(hint))):
                found[name] = hint
    return found


def make(
    kind: type[Strategy],
    *,
    identifier: str,
    symbols: tuple[str, ...],
    bar: str,
    parameters: Mapping[str, object],
) -> Strategy:
    """
    An instance with its parameters set and checked; nothing of it was called but `check`.

    Raises:
        ConfigError: A parameter is unknown, missing, or not what it must be.
    """
    known = parameters_of(kind)
    for name in CALLBACKS:
        if inspect.iscoroutinefunction(getattr(kind, name)):
            raise ConfigError(f"{identifier}: {name} must be def, not async def: nobody awaits it")
    strategy = kind()
    for name in parameters:
        if name not in known:
            names = ", ".join(known) or "none"
            raise ConfigError(f"{identifier}: {name!r} is no parameter; known are: {names}")
    for name, hint in known.items():
        if name in parameters:
            setattr(strategy, name, _parameter(identifier, name, parameters[name], hint))
        elif not hasattr(kind, name):
            raise ConfigError(f"{identifier}: the parameter {name!r} is missing")
    for name, value in (("identifier", identifier), ("symbols", symbols), ("bar", bar)):
        setattr(strategy, name, value)
    try:
        strategy.check()
    except ValueError as error:
        raise ConfigError(f"{identifier}: {error}") from None
    return strategy


def needs_of(strategy: Strategy) -> Needs:
    """
    What it says that it needs, checked: the market of all strategies is asked for it.

    Raises:
        TypeError, ValueError: Nobody could bring that.
    """
    needs = strategy.needs()
    if not isinstance(needs, Needs):
        raise TypeError(f"needs() gave a {type(needs).__name__}, not Needs")
    if type(needs.look_back) is not int or not 0 <= needs.look_back <= MOST_LOOK_BACK:
        shown = str(needs.look_back)[:40]
        raise ValueError(f"look_back is {shown}; it must be a whole number to {MOST_LOOK_BACK:,}")
    for table in needs.tables:
        if table not in TABLES:
            known = ", ".join(TABLES)
            raise ValueError(f"no market data is called {str(table)[:40]!r}: there are {known}")
    for length in (*needs.bars, *filter(None, [strategy.bar])):
        length_us(length)
    return needs


def _parameter(identifier: str, name: str, value: object, hint: Any) -> object:
    plain, bounds = _bounds_of(hint)
    shown = MASK if is_secret(name) else str(masked(value))[:40]
    try:
        found: object = msgspec.convert(value, plain)
    except msgspec.ValidationError as error:
        said = str(error).replace("Expected", "expected", 1)
        raise ConfigError(f"{identifier}: {name} = {shown!r}: {said}") from None
    except TypeError:
        raise ConfigError(f"{identifier}: the type of {name} cannot be configured") from None
    if isinstance(found, (Decimal, float)) and not Decimal(found).is_finite():
        raise ConfigError(f"{identifier}: {name} = {shown}: must be finite")
    for sign, holds, bound in bounds:
        if not holds(found, bound):
            raise ConfigError(f"{identifier}: {name} = {shown}: must be {sign} {bound}")
    return found


def _bounds_of(hint: Any) -> tuple[Any, list[tuple[str, Callable[[Any, Any], bool], Any]]]:
    """A type, and the bounds of it that we check: msgspec sets none on `Decimal`."""
    plain, *notes = (*typing.get_args(hint),) if typing.get_origin(hint) is Annotated else (hint,)
    if plain is not Decimal:
        return hint, []
    return plain, [
        (sign, holds, bound)
        for note in notes
        if isinstance(note, msgspec.Meta)
        for sign, holds, bound in (
            (">=", operator.ge, note.ge),
            (">", operator.gt, note.gt),
            ("<=", operator.le, note.le),
            ("<", operator.lt, note.lt),
        )
        if bound is not None
    ]


def shown_parameters(strategy: Strategy) -> dict[str, Any]:
    """Every parameter with the value in force, for the journal and for people: no secret."""
    return {
        name: MASK if is_secret(name) else masked(msgspec.to_builtins(getattr(strategy, name)))
        for name in parameters_of(type(strategy))
    }
