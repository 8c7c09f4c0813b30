"""
What signals mean in events: the signals themselves, and the targets that follow from them.

The same whether a service runs or not. A target goes through the same checks as anybody's; one
that is refused is recorded as such, and the target before it stays in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import msgspec

from reconciler.core.events import AnyEvent, Signalled, TargetRefused
from reconciler.core.ledger import Book, Ledger
from reconciler.core.portfolio.shares import wanted
from reconciler.core.targets import intake
from reconciler.errors import Refused, UnknownStrategy, UnknownSymbol, UsageError
from reconciler.service.door import SignalResult, TargetVersion
from reconciler.service.moments import iso
from reconciler.service.words import check_words, legible
from reconciler.strategy.base import BadSignal, price_of, strength_of
from reconciler.strategy.portfolio import Netted, Netter, Portfolio, known
from reconciler.strategy.signals import Signal

#: Of a strategy that no table configures: what can be read in a list, and asked for by its name.
IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,200}")
MOST_SHARE = 10**15  # contracts: whoever asks for more has made a mistake
NO_SIGNALS: Mapping[str, Signalled] = MappingProxyType({})


class Weights:
    """
    Who may signal, and what it is worth.

    Args:
        portfolios: In force.
        strategies: Identifiers of the configured instances.
    """

    def __init__(
        self, portfolios: tuple[Portfolio, ...] = (), strategies: tuple[str, ...] = ()
    ) -> None:
        self.portfolios = portfolios
        self.strategies = strategies
        self.named = frozenset(strategies)
        self.netter = Netter(portfolios, self.has_say)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weights):
            return NotImplemented
        return (self.portfolios, self.strategies) == (other.portfolios, other.strategies)

    def has_say(self, strategy: str) -> bool:
        """
        Whether it is configured, or some portfolio's source: a pattern of weights is no say.

        Who was taken out has none, whatever he said before.
        """
        return strategy in self.named or known(self.portfolios, (), strategy)


class Memory:
    """
    What is kept between batches, so that each looks at the symbols alone that may have moved.

    Attributes:
        refused: By symbol, the refusal that was recorded last: it is tried again, and not told.
        unsettled: Symbols whose lot was not known when they were netted. None: not looked yet.
    """

    def __init__(self) -> None:
        self.refused: dict[str, tuple[int, str]] = {}
        self.unsettled: set[str] | None = None


class Followed(msgspec.Struct, frozen=True):
    """What a batch of signals leads to."""

    events: list[AnyEvent]
    finish: Callable[[Ledger], dict[str, TargetVersion]]  # by symbol: those that were set
    refused: dict[str, str]  # by symbol: why its target stayed as it was


def checked(signal: Signal, weights: Weights, ledger: Ledger) -> Signal:
    """
    What came from outside, in exact numbers.

    Raises:
        UsageError: Its strength or price is no finite number, or a text is none.
        UnknownStrategy, UnknownSymbol: As of `check_say`.
    """
    check_words(strategy=signal.strategy, reason=signal.reason)
    try:
        strength, price = strength_of(signal.strength), price_of(signal.price)
    except BadSignal as bad:
        raise UsageError(
            f"signal of {signal.strategy[:80]!r} for {signal.symbol[:40]!r}: {bad}",
            next_step="The signal in force stays.",
        ) from None
    check_say(signal, weights, ledger)
    reason = legible(signal.reason)
    return msgspec.structs.replace(signal, strength=strength, price=price, reason=reason)


def check_say(signal: Signal, weights: Weights, ledger: Ledger) -> None:
    """
    Of a strategy in the service nothing else is to be checked: `Strategy.signal` made it exact.

    Raises:
        UnknownStrategy, UnknownSymbol: Nobody of this name may signal, or nothing is called so.
    """
    strategy, symbol = signal.strategy, signal.symbol
    if strategy not in weights.named and not (
        IDENTIFIER.fullmatch(strategy) and weights.has_say(strategy)
    ):
        there = ", ".join(weights.strategies) or "none"
        raise UnknownStrategy(
            f"{strategy[:80]!r} is no strategy that may signal here (configured: {there})",
            strategy=strategy[:80],
        )
    if symbol not in ledger.settings.named:
        symbols = ", ".join(ledger.settings.symbols) or "none"
        raise UnknownSymbol(
            f"{symbol[:40]!r} is not one of the configured symbols ({symbols})",
            symbol=symbol[:40],
        )


def follow(
    ledger: Ledger,
    said: Iterable[Signal],
    weights: Weights,
    on_expiry: str,
    at_us: int,
    memory: Memory,
    why: str = "",
) -> Followed:
    """
    The events of *said*, in the order in which they are to be recorded.

    Args:
        ledger: As it is now; not changed.
        said: Checked signals, of each strategy and symbol at most one; one that says again what is
            in force adds nothing.
        weights: In force.
        on_expiry: What the end of a target means, where a portfolio does not say.
        at_us: Now.
        memory: Of the batches before; changed in place.
        why: All targets are netted anew for this reason, signals or not.
    """
    batch = _Batch(ledger, at_us, why)
    for signal in said:
        batch.hear(signal)
    for netted in _netted(batch, weights, memory):
        if batch.is_due(ledger.books[netted.symbol], netted):
            batch.ask(_wanted(netted, batch, on_expiry), netted, memory)
    accepted = batch.accepted

    def finish(after: Ledger) -> dict[str, TargetVersion]:
        return {symbol: _version(after, symbol, done) for symbol, done in accepted.items()}

    return Followed(batch.events, finish, batch.refused)


class _Batch:
    """Signals that are taken at once, and what follows from them so far."""

    __slots__ = (
        "accepted", "at_us", "events", "ledger", "refused", "repeated", "spoken", "why",
    )  # fmt: skip

    def __init__(self, ledger: Ledger, at_us: int, why: str) -> None:
        self.ledger, self.at_us, self.why = ledger, at_us, why
        self.events: list[AnyEvent] = []
        self.spoken: dict[str, list[Signalled]] = {}  # what is new, by symbol
        self.repeated: set[str] = set()  # symbols of which something was said again
        self.accepted: dict[str, intake.Accepted] = {}
        self.refused: dict[str, str] = {}

    def hear(self, signal: Signal) -> None:
        """Take in one: an event, unless it says again what is in force."""
        strategy, symbol, strength = signal.strategy, signal.symbol, signal.strength
        before = self.ledger.signals.get(symbol, NO_SIGNALS).get(strategy)
        if before is not None and before.strength == strength:
            self.repeated.add(symbol)
            return
        event = Signalled(
            at_us=self.at_us,
            number=self.ledger.next_signal_number + len(self.events),
            strategy=strategy,
            symbol=symbol,
            strength=strength,
            reason=signal.reason,
            price=signal.price,
        )
        self.events.append(event)
        self.spoken.setdefault(symbol, []).append(event)

    def in_force(self, symbol: str) -> Mapping[str, Signalled]:
        """By strategy."""
        before = self.ledger.signals.get(symbol, NO_SIGNALS)
        if symbol not in self.spoken:
            return before
        found = dict(before)
        for event in self.spoken[symbol]:
            found[event.strategy] = event
        return found

    def is_due(self, book: Book, netted: Netted) -> bool:
        """Whether a target is to be asked for. What ran out comes back by being spoken of alone."""
        if not book.netted_expired and (self.spoken or self.why) and _is_news(book, netted):
            return True
        if netted.symbol not in self.spoken and netted.symbol not in self.repeated:
            return False
        return book.netted_expired or _ran_down(book, netted, self.at_us)

    def ask(self, target: intake.Wanted, netted: Netted, memory: Memory) -> None:
        """Have a target checked as anybody's; a refusal is recorded once."""
        symbol = target.symbol
        try:
            _check_shares(netted)
            accepted = intake.accept(self.ledger, target, self.at_us)
        except (Refused, UsageError) as refusal:
            self.refused[symbol] = refusal.message
            mark = (netted.contracts, refusal.code)
            if memory.refused.get(symbol) != mark:
                memory.refused[symbol] = mark
                self.events.append(_refusal(target, refusal, self.at_us))
            return
        memory.refused.pop(symbol, None)
        self.accepted[symbol] = accepted
        if accepted.event is not None:
            self.events.append(accepted.event)


def answer(
    signal: Signal,
    followed: Followed,
    targets: Mapping[str, TargetVersion],
    before: int,
    after: Ledger,
) -> SignalResult:
    """
    What to say to whoever gave *signal*.

    Args:
        targets: What `Followed.finish` said.
        before: Number of the next signal when the batch began: one from there on is new.
        after: With all of it recorded.
    """
    number = after.signals[signal.symbol][signal.strategy].number
    return SignalResult(
        strategy=signal.strategy,
        symbol=signal.symbol,
        number=number,
        changed=number >= before,
        targets=tuple(targets.values()),
        refused=tuple(followed.refused.values()),
    )


def _netted(batch: _Batch, weights: Weights, memory: Memory) -> list[Netted]:
    """The targets that follow, of the symbols that are configured and whose lot is known."""
    if not weights.portfolios:
        return []  # whoever took all of them away has not said what to do: targets stay
    ledger, netter = batch.ledger, weights.netter
    named = ledger.settings.named
    books: list[tuple[Book, int]] = []  # with their lots
    unsettled: set[str] = set()
    for symbol in sorted(_looked_at(batch, weights, memory)):
        if symbol not in named:
            continue
        book = ledger.books.get(symbol)
        if book is None or book.instrument is None:
            unsettled.add(symbol)
        else:
            books.append((book, book.instrument.lot))
    if batch.spoken or batch.why:  # repeats alone set no target that was missing
        memory.unsettled = unsettled
    if netter.is_capped:
        signals = {s: batch.in_force(s) for s in sorted({*ledger.signals, *batch.spoken})}
        lots = {book.symbol: lot for book, lot in books}
        found = netter.net(signals, lots, {book.symbol: book.netted for book, _ in books})
        return list(found.values())
    each = []
    for book, lot in books:
        netted = netter.net_one(book.symbol, batch.in_force(book.symbol), lot, book.netted)
        if netted is not None:
            each.append(netted)
    return each


def _looked_at(batch: _Batch, weights: Weights, memory: Memory) -> Iterable[str]:
    """
    The symbols that may have moved.

    Those that were spoken of, or refused, or could not be netted yet; the others stay as they are,
    unless there is a reason to look at all of them, or a cap goes over all of them.
    """
    if batch.why or memory.unsettled is None or weights.netter.is_capped:
        return batch.ledger.settings.symbols
    return memory.unsettled.union(batch.repeated, batch.spoken, memory.refused)


def _is_news(book: Book, netted: Netted) -> bool:
    """
    Whether the portfolios want something else than when they last said so: at first, nothing.

    A target of somebody else's that is in force stays until they do; who of them asks for how much
    is no reason to take it back.
    """
    if netted.contracts != sum([share.contracts for share in book.netted]):
        return True
    ours = book.target is not None and bool(book.target.shares)
    return ours and netted.shares != book.netted


def _ran_down(book: Book, netted: Netted, at_us: int) -> bool:
    """Whether a strategy that says the same again gives the target new time to live."""
    ttl_s, target = netted.terms.ttl_s, book.target
    if ttl_s is None or target is None or not target.shares or target.expires_us is None:
        return False
    return target.expires_us - at_us < ttl_s * 500_000


def _wanted(netted: Netted, batch: _Batch, on_expiry: str) -> intake.Wanted:
    spoken, terms = batch.spoken.get(netted.symbol, ()), netted.terms
    said = [f"{one.strategy} {one.strength:+f}: {one.reason}".rstrip(": ") for one in spoken]
    return intake.Wanted(
        symbol=netted.symbol,
        contracts=netted.contracts,
        by=None,
        source=legible(terms.source),
        reason=legible("; ".join(said) or batch.why or "said again"),
        policy=terms.policy,
        on_expiry=terms.on_expiry or on_expiry,
        expires_us=None if terms.ttl_s is None else batch.at_us + terms.ttl_s * 1_000_000,
        if_version=None,
        key="",
        price=spoken[-1].price if spoken else None,
        shares=netted.shares,
    )


def _check_shares(netted: Netted) -> None:
    """Caps may cut a target; what a strategy asks for has to make sense all the same."""
    if sum([abs(share.contracts) for share in netted.shares]) <= MOST_SHARE:
        return
    for name, contracts in wanted(netted.shares).items():
        if abs(contracts) > MOST_SHARE:
            raise Refused(
                f"{netted.symbol}: {name or 'nobody'} asks for more than {MOST_SHARE:,} contracts; "
                "the weights or the strength are wrong",
                symbol=netted.symbol,
            )


def _refusal(target: intake.Wanted, refusal: Refused | UsageError, at_us: int) -> TargetRefused:
    contracts = target.contracts
    if contracts is not None and abs(contracts) > intake.MOST_CONTRACTS:
        contracts = None
    return TargetRefused(
        at_us=at_us,
        symbol=target.symbol,
        contracts=contracts,
        source=target.source,
        code=refusal.code,
        text=legible(refusal.message),
        reason=target.reason,
    )


def _version(after: Ledger, symbol: str, accepted: intake.Accepted) -> TargetVersion:
    book = after.book(symbol)
    target = book.target
    expires_us = target.expires_us if target is not None else None
    return TargetVersion(
        symbol=symbol,
        contracts=accepted.contracts,
        previous=accepted.previous,
        version=accepted.version,
        changed=accepted.event is not None,
        expires_at=iso(expires_us) if expires_us is not None else None,
        on_expiry=target.on_expiry if target is not None else "hold",
        state=str(book.state),
        note=accepted.note,
    )
