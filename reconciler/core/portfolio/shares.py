"""
Whose is what: the sub-ledger of strategies.

A target of a portfolio says how much of it each strategy asks for. From this follow, per symbol
and strategy, a position that the strategy holds in the account's books, what it cost, and what
closing it brought. Three rules:

1. The parts add up, always: over the strategies and "" (nobody) to the account's position; over a
   fill's parts to the fill, in contracts, cost and fee. What "" holds is never counted, it is what
   is left. So nothing that moves the account can make the sum wrong.
2. An order is placed for whoever is off his share at that moment, in proportion to his gap, and
   each of its fills is shared in that proportion. Who stands against the net buys from those
   who stand with it, at the fill's price. The fee is borne in proportion to what each traded.
3. What nobody asked for is nobody's: foreign trades, liquidations, adjustments, the targets of
   people, what rounding and caps left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from reconciler.core.decisions import FillShared
from reconciler.core.events import ExecutionSeen, InstrumentSeen, Share
from reconciler.core.ledger import Book, Ledger, Order, Part
from reconciler.core.portfolio.costs import Cost, count
from reconciler.core.turn import Turn

NOBODY = ""


class Trade(NamedTuple):
    """What made contracts or money change hands."""

    exec_id: str  # empty: strategies among themselves
    price: Decimal | None
    currency: str


def held(book: Book, strategy: str) -> int:
    """The contracts of *strategy*; of nobody: what the strategies leave of the position."""
    if strategy:
        part = book.parts.get(strategy)
        return part.contracts if part is not None else 0
    return book.position - sum([part.contracts for part in book.parts.values()])


def gaps(book: Book) -> dict[str, int]:
    """What each lacks to his share of the target in force; they add up to the symbol's own gap."""
    target = book.target
    if target is None or not target.shares:
        return {}
    lacks = wanted(target.shares)
    lacks.pop(NOBODY, None)
    left = target.contracts - sum(lacks.values()) - book.position  # to nobody, less what he holds
    for name, part in book.parts.items():
        if name:
            lacks[name] = lacks.get(name, 0) - part.contracts
            left += part.contracts
    lacks[NOBODY] = left
    return {name: lacks[name] for name in sorted(lacks)}


def wanted(shares: Sequence[Share]) -> dict[str, int]:
    """Contracts by strategy: in several portfolios it may have several shares."""
    wants: dict[str, int] = {}
    for share in shares:
        wants[share.strategy] = wants.get(share.strategy, 0) + share.contracts
    return wants


def split(total: int, weights: Sequence[int]) -> list[int]:
    """
    *total* in proportion to *weights*, whole, to the last unit: largest remainder first.

    Weights of both signs are fine as long as they do not add up to zero. While *total* is no more
    than the weights add up to, and of their sign, no part is more than its weight.
    """
    of = sum(weights)
    side = 1 if of > 0 else -1
    parts, rests = [], []
    for number, weight in enumerate(weights):
        part, rest = divmod(total * weight * side, of * side)
        parts.append(part)
        rests.append((-rest, number))
    for _, number in sorted(rests)[: total - sum(parts)]:
        parts[number] += 1
    return parts


def order_parts(book: Book, contracts: int) -> dict[str, int]:
    """For whom an order of *contracts* is placed; empty: nobody asked for it."""
    lacks = gaps(book)
    sizes = list(lacks.values())
    gap = sum(sizes)
    if gap * contracts <= 0:
        return {}
    most = contracts if abs(contracts) <= abs(gap) else gap
    return dict(zip(lacks, sizes if most == gap else split(most, sizes), strict=True))


def share_fill(turn: Turn, book: Book, row: ExecutionSeen, order: Order | None) -> None:
    """Share a fill that has just moved the position among those whom its order was placed for."""
    asked: dict[str, int] = order.parts if order is not None else {}
    if not asked and not book.parts:
        return  # no strategy was ever here: all is nobody's
    parts = _take(asked, row.contracts)
    for name, contracts in parts.items():
        asked[name] -= contracts
    excess = row.contracts - sum(parts.values())
    parts[NOBODY] = parts.get(NOBODY, 0) + excess
    before = {name: held(book, name) for name in parts}
    before[NOBODY] -= row.contracts  # the position has moved, and nobody's is what is left of it
    sizes = list(parts.values())
    costs = split(row.cost_minor, sizes)
    fees = split(row.fee_minor, [abs(size) for size in sizes])
    trade = Trade(row.exec_id, row.price, row.currency)
    for (name, size), cost, fee in zip(parts.items(), costs, fees, strict=True):
        if size:
            _move(turn, book, trade, name, before[name], size, cost, fee)


def _take(asked: Mapping[str, int], contracts: int) -> dict[str, int]:
    """The parts of a fill, of what its order is still to be filled for."""
    left = sum(asked.values())
    if left * contracts <= 0:
        return {}
    most = contracts if abs(contracts) <= abs(left) else left
    return dict(zip(asked, split(most, list(asked.values())), strict=True))


def share_funding(turn: Turn, book: Book, row: ExecutionSeen) -> None:
    """Whoever holds contracts pays for them, or is paid. It is cash: no position moves."""
    if not book.parts:
        return
    holders = {name: held(book, name) for name in sorted({*book.parts, NOBODY})}
    if book.position == 0:
        holders = {NOBODY: 1}
    for name, fee in zip(holders, split(row.fee_minor, list(holders.values())), strict=True):
        if not fee:
            continue
        _part(book, name).funding_minor += fee
        turn.facts.append(
            FillShared(
                exec_id=row.exec_id,
                symbol=book.symbol,
                strategy=name,
                contracts=0,
                price=row.price,
                cost_minor=0,
                fee_minor=fee,
                realised_minor=0,
                currency=row.currency,
                position=held(book, name),
            )
        )


def may_cross(book: Book) -> bool:
    """
    Whether strategies want to pass contracts to one another, and no order will do it.

    The symbol is on target; one of them wants what another wants to be rid of.
    """
    target = book.target
    if target is None or not target.held or not target.shares:
        return False
    lacks = gaps(book).values()
    return any(gap > 0 for gap in lacks) and any(gap < 0 for gap in lacks)


def usable_mark(ledger: Ledger, book: Book) -> Decimal | None:
    """The mark price, if it is new enough for such a passing on."""
    quote = book.quote
    if quote is None or quote.mark is None or quote.mark <= 0:
        return None
    age_us = ledger.at_us - quote.at_us + quote.age_us
    return quote.mark if age_us <= ledger.settings.limits_of(book.symbol).stale_price_us else None


def cross(turn: Turn, book: Book) -> None:
    """Pass on at the mark what strategies want of one another. Nothing of the account moves."""
    if not may_cross(book):
        return
    mark = usable_mark(turn.ledger, book)
    if mark is None or book.instrument is None:
        return
    lacks = gaps(book)
    buyers = {name: gap for name, gap in lacks.items() if gap > 0}
    sellers = {name: gap for name, gap in lacks.items() if gap < 0}
    most = min(sum(buyers.values()), -sum(sellers.values()))
    cost = value(book.instrument, most, mark)
    trade = Trade("", mark, book.instrument.settle_currency)
    before = {name: held(book, name) for name in lacks}
    for side, names in ((1, buyers), (-1, sellers)):
        sizes = split(side * most, list(names.values()))
        costs = split(side * cost, sizes)
        for name, size, minor in zip(names, sizes, costs, strict=True):
            if size:
                _move(turn, book, trade, name, before[name], size, minor, 0)


def value(instrument: InstrumentSeen, contracts: int, price: Decimal) -> int:
    """What *contracts* cost at *price*, in minor units, with the sign that the venue gives it."""
    each = Fraction(instrument.multiplier)
    each = each / Fraction(price) if instrument.inverse else each * Fraction(price)
    return round(contracts * each)


def _move(
    turn: Turn,
    book: Book,
    trade: Trade,
    name: str,
    before: int,
    contracts: int,
    cost_minor: int,
    fee_minor: int,
) -> None:
    """Give *contracts* to one part, at their cost, and say so."""
    part = _part(book, name)
    known = Cost(part.cost_contracts, part.cost_minor)
    (part.cost_contracts, part.cost_minor), realised = count(known, before, contracts, cost_minor)
    part.realised_minor += realised
    part.fee_minor += fee_minor
    if name:
        part.contracts += contracts
    turn.facts.append(
        FillShared(
            exec_id=trade.exec_id,
            symbol=book.symbol,
            strategy=name,
            contracts=contracts,
            price=trade.price,
            cost_minor=cost_minor,
            fee_minor=fee_minor,
            realised_minor=realised,
            currency=trade.currency,
            position=before + contracts,
        )
    )


def _part(book: Book, name: str) -> Part:
    part = book.parts.get(name)
    if part is None:
        part = book.parts[name] = Part()
    return part
