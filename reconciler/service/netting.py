"""
What signals mean in events: the signals themselves, and the targets that follow from them.

The same whether a service runs or not. A target goes through the same checks as anybody's; one
that is refused is recorded as such, and the target before it stays in force.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from reconciler.core import intake
from reconciler.core.events import AnyEvent, Share, Signalled, TargetRefused
from reconciler.core.ledger import Book, Ledger
from reconciler.core.shares import wanted
from reconciler.errors import Refused, UnknownStrategy, UnknownSymbol, UsageError
from reconciler.service.door import SignalResult, TargetVersion
from reconciler.service.moments import iso
from reconciler.service.words import check_words, legible
from reconciler.strategy import portfolio as strategy_portfolio
from reconciler.strategy.base import BadSignal, price_of, strength_of
from reconciler.strategy.portfolio import Netted, Portfolio
from reconciler.strategy.signals import Signal

#: Of a strategy that no table configures: what can be read in a list, and asked for by its name.
IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,200}")
MOST_SHARE = 10**15  # contracts: whoever asks for more has made a mistake


class Weights(NamedTuple):
    """Who may signal, and what it is worth."""

    portfolios: tuple[Portfolio, ...] = ()
    strategies: tuple[str, ...] = ()  # identifiers of the configured instances


class Followed(NamedTuple):
    """What a batch of signals leads to."""

    events: list[AnyEvent]
    finish: Callable[[Ledger], dict[str, TargetVersion]]  # by symbol: those that were set
    refused: dict[str, str]  # by symbol: why its target stayed as it was
    numbers: dict[str, int]  # by "strategy symbol": of the signal in force


def checked(signal: Signal, weights: Weights, ledger: Ledger) -> Signal:
    """
    The signal in exact numbers.

    Raises:
        UsageError: Its strength or price is no finite number, or a text is none.
        UnknownStrategy, UnknownSymbol: Nobody of this name may signal, or nothing is called so.
    """
    check_words(strategy=signal.strategy, reason=signal.reason)
    try:
        strength, price = strength_of(signal.strength), price_of(signal.price)
    except BadSignal as bad:
        raise UsageError(
            f"signal of {signal.strategy[:80]!r} for {signal.symbol[:40]!r}: {bad}",
            next_step="The signal in force stays.",
        ) from None
    named = signal.strategy in weights.strategies or IDENTIFIER.fullmatch(signal.strategy)
    known = strategy_portfolio.known(weights.portfolios, weights.strategies, signal.strategy)
    if not (named and known):
        there = ", ".join(weights.strategies) or "none"
        raise UnknownStrategy(
            f"{signal.strategy[:80]!r} is no strategy that may signal here (configured: {there})",
            strategy=signal.strategy[:80],
        )
    if signal.symbol not in ledger.settings.symbols:
        symbols = ", ".join(ledger.settings.symbols) or "none"
        raise UnknownSymbol(
            f"{signal.symbol[:40]!r} is not one of the configured symbols ({symbols})",
            symbol=signal.symbol[:40],
        )
    reason = legible(signal.reason)
    return msgspec.structs.replace(signal, strength=strength, price=price, reason=reason)


def follow(
    ledger: Ledger,
    said: Iterable[Signal],
    weights: Weights,
    on_expiry: str,
    at_us: int,
    told: dict[str, tuple[int, str]],
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
        told: By symbol, the refusal that was recorded last; changed in place.
        why: All targets are netted anew for this reason, signals or not.
    """
    named = frozenset(weights.strategies)
    signals = {  # who was taken out of the configuration has no say, whatever a pattern fits
        name: one
        for name, one in ledger.signals.items()
        if one.strategy in named or strategy_portfolio.known(weights.portfolios, (), one.strategy)
    }
    numbers: dict[str, int] = {}
    events: list[AnyEvent] = []
    spoken: dict[str, list[Signalled]] = {}
    repeated: set[str] = set()
    for signal in said:
        name = f"{signal.strategy} {signal.symbol}"
        before = signals.get(name)
        if before is not None and before.strength == signal.strength:
            numbers[name] = before.number
            repeated.add(signal.symbol)
            continue
        number = ledger.next_signal_number + len(events)
        event = Signalled(
            at_us=at_us,
            number=number,
            strategy=signal.strategy,
            symbol=signal.symbol,
            strength=signal.strength,
            reason=signal.reason,
            price=signal.price,
        )
        events.append(event)
        signals[name], numbers[name] = event, number
        spoken.setdefault(signal.symbol, []).append(event)
    accepted: dict[str, intake.Accepted] = {}
    refused: dict[str, str] = {}
    moved = None if why else repeated.union(spoken, told)
    for symbol, netted in _netted(ledger, signals, weights, moved).items():
        book = ledger.books[symbol]
        speaks = symbol in spoken or symbol in repeated
        if book.netted_expired:
            due = speaks  # and nothing else brings back what ran out
        else:
            due = (bool(spoken or why) and _is_news(book, netted)) or (
                speaks and _ran_down(book, netted, at_us)
            )
        if not due:
            continue
        target = _wanted(netted, spoken.get(symbol, ()), on_expiry, at_us, why)
        try:
            _check_shares(netted)
            accepted[symbol] = intake.accept(ledger, target, at_us)
        except (Refused, UsageError) as refusal:
            refused[symbol] = refusal.message
            mark = (netted.contracts, refusal.code)
            if told.get(symbol) != mark:
                told[symbol] = mark
                events.append(_refusal(target, refusal, at_us))
            continue
        told.pop(symbol, None)
        if (set_it := accepted[symbol].event) is not None:
            events.append(set_it)

    def finish(after: Ledger) -> dict[str, TargetVersion]:
        return {symbol: _version(after, symbol, done) for symbol, done in accepted.items()}

    return Followed(events, finish, refused, numbers)


def answer(signal: Signal, followed: Followed, before: int, after: Ledger) -> SignalResult:
    """
    What to say to whoever gave *signal*.

    Args:
        before: Number of the next signal when the batch began: one from there on is new.
    """
    targets = followed.finish(after)
    number = followed.numbers[f"{signal.strategy} {signal.symbol}"]
    return SignalResult(
        strategy=signal.strategy,
        symbol=signal.symbol,
        number=number,
        changed=number >= before,
        targets=tuple(targets.values()),
        refused=tuple(followed.refused.values()),
    )


def _netted(
    ledger: Ledger, signals: Mapping[str, Signalled], weights: Weights, moved: set[str] | None
) -> dict[str, Netted]:
    """
    The targets that follow, of the symbols that are configured and whose lot is known.

    Args:
        ledger: As it is.
        signals: In force.
        weights: In force.
        moved: Symbols that were spoken of, or refused; None: all may have moved. The others stay
            as they are, unless a cap goes over all symbols, or they were never netted.
    """
    if not weights.portfolios:
        return {}  # whoever took all of them away has not said what to do: targets stay
    symbols: Iterable[str] = ledger.settings.symbols
    if moved is not None and all(one.max_gross is None for one in weights.portfolios):
        books = ledger.books
        signals = {
            name: one
            for name, one in signals.items()
            if one.symbol in moved or not (one.symbol in books and books[one.symbol].netted)
        }
        wanted_now = moved.union(one.symbol for one in signals.values())
        symbols = [symbol for symbol in symbols if symbol in wanted_now]
    lots: dict[str, int] = {}
    before: dict[str, tuple[Share, ...]] = {}
    for symbol in symbols:
        book = ledger.books.get(symbol)
        if book is not None and book.instrument is not None:
            lots[symbol], before[symbol] = book.instrument.lot, book.netted
    return strategy_portfolio.net(weights.portfolios, signals, lots, before)


def _is_news(book: Book, netted: Netted) -> bool:
    """
    Whether the portfolios want something else than when they last said so: at first, nothing.

    A target of somebody else's that is in force stays until they do; who of them asks for how much
    is no reason to take it back.
    """
    if netted.contracts != sum(share.contracts for share in book.netted):
        return True
    ours = book.target is not None and bool(book.target.shares)
    return ours and netted.shares != book.netted


def _ran_down(book: Book, netted: Netted, at_us: int) -> bool:
    """Whether a strategy that says the same again gives the target new time to live."""
    ttl_s, target = _shortest_ttl_s(netted), book.target
    if ttl_s is None or target is None or not target.shares or target.expires_us is None:
        return False
    return target.expires_us - at_us < ttl_s * 500_000


def _wanted(
    netted: Netted, spoken: Sequence[Signalled], on_expiry: str, at_us: int, why: str
) -> intake.Wanted:
    said = [f"{one.strategy} {one.strength:+f}: {one.reason}".rstrip(": ") for one in spoken]
    names = [portfolio.name for portfolio in netted.portfolios]
    ttl_s = _shortest_ttl_s(netted)
    ends = [portfolio.on_expiry for portfolio in netted.portfolios if portfolio.on_expiry]
    policies = [portfolio.policy for portfolio in netted.portfolios if portfolio.policy]
    return intake.Wanted(
        symbol=netted.symbol,
        contracts=netted.contracts,
        by=None,
        source=legible(f"portfolio {'+'.join(names)}".strip()),
        reason=legible("; ".join(said) or why or "said again"),
        policy=policies[0] if policies else "",
        on_expiry=ends[0] if ends else on_expiry,
        expires_us=None if ttl_s is None else at_us + ttl_s * 1_000_000,
        if_version=None,
        key="",
        price=spoken[-1].price if spoken else None,
        shares=netted.shares,
    )


def _shortest_ttl_s(netted: Netted) -> int | None:
    lives = [portfolio.ttl_s for portfolio in netted.portfolios if portfolio.ttl_s is not None]
    return min(lives, default=None)


def _check_shares(netted: Netted) -> None:
    """Caps may cut a target; what a strategy asks for has to make sense all the same."""
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
