"""
F2 for shares, judged by facts alone: whose is what always adds up to the account.

Each fill is its parts, in contracts, cost and fee; funding is its parts; what strategies pass
among themselves is nothing in all. What a strategy holds is the sum of its parts, as the facts say
and as the ledger says; and once things are quiet, it is the share that it was given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.simulation.draws import Draws
from reconciler.simulation.promises import Broken

STRATEGIES = ("Ema_1", "Ema_2", "Random_1")
SHARED = 0.4  # of the targets come from a portfolio


def drawn(draws: Draws, contracts: int) -> tuple[e.Share, ...]:
    """The shares of a portfolio's target, on both sides; at times there are none."""
    rng = draws.of("shares")
    if rng.random() >= SHARED:
        return ()
    asked = {name: rng.randint(-300, 300) for name in STRATEGIES if rng.random() < 0.7}
    shares = [
        e.Share(strategy=name, contracts=size, signal=n, weight="sim: 1 x 100")
        for n, (name, size) in enumerate(asked.items(), 1)
    ]
    rest = contracts - sum(asked.values())
    if rest or not shares:
        shares.append(e.Share(strategy="", contracts=rest, signal=0, weight=""))
    return tuple(shares)


class Parts:
    """Judges one life's shares."""

    def __init__(self) -> None:
        self.held: Counter[tuple[str, str]] = Counter()
        self.shared = 0  # facts that were looked at: a life without any proves nothing
        self._alive: set[str] = set()  # symbols that strategies were in

    def hear(self, facts: Sequence[d.AnyFact], positions: Counter[str]) -> None:
        """
        What one event led to, committed.

        Args:
            facts: All of it, in order.
            positions: By symbol, before these facts.
        """
        parts = [fact for fact in facts if isinstance(fact, d.FillShared)]
        whole: dict[str, d.FillBooked | d.CashBooked] = {}
        for fact in facts:
            if isinstance(fact, (d.FillBooked, d.CashBooked)):
                whole[fact.exec_id] = fact
                self._must_be_shared(fact, parts, positions)
        for exec_id in dict.fromkeys(part.exec_id for part in parts):
            self._adds_up(whole.get(exec_id), [p for p in parts if p.exec_id == exec_id])
        for part in parts:
            self.shared += 1
            self._alive.add(part.symbol)
            if not part.strategy:
                continue
            whose = part.symbol, part.strategy
            self.held[whose] += part.contracts
            if self.held[whose] != part.position:
                raise Broken("F2", f"{whose} holds {self.held[whose]:+d}, and is told {part}")

    def agree(self, ledger: Any) -> None:
        """The ledger says of every strategy what the facts said."""
        for book in ledger.books.values():
            for name, part in book.parts.items():
                if name and part.contracts != self.held[book.symbol, name]:
                    raise Broken("F2", f"{book.symbol}: {name} holds {part}, by the ledger")

    def quiet(self, ledger: Any) -> None:
        """
        On target and at rest: each strategy holds what it was given.

        But for a gap that a no-trade band leaves alone: all that they lack is of it.
        """
        for book in ledger.books.values():
            target = book.target
            if target is None or not target.shares or not target.held or book.quote is None:
                continue
            given: Counter[str] = Counter()  # in several portfolios one may have several
            for share in target.shares:
                given[share.strategy] += share.contracts
            left = target.contracts - book.position
            side = 1 if left > 0 else -1
            for name, contracts in given.items():
                lacks = contracts - self.held[book.symbol, name]
                if not name or not lacks:
                    continue
                left -= lacks
                if lacks * side < 0 or left * side < 0:
                    raise Broken(
                        "F2",
                        f"{book.symbol} is on target, and {name} holds "
                        f"{contracts - lacks:+d} of {contracts:+d}",
                    )

    def _must_be_shared(
        self,
        fact: d.FillBooked | d.CashBooked,
        parts: Sequence[d.FillShared],
        positions: Counter[str],
    ) -> None:
        if fact.symbol not in self._alive or any(p.exec_id == fact.exec_id for p in parts):
            return
        if isinstance(fact, d.CashBooked):
            shared = fact.fee_minor == 0
        else:
            shared = fact.position == positions[fact.symbol]  # late, and in the anchor
        if not shared:
            raise Broken("F2", f"{fact.exec_id} has no parts, and strategies are in {fact.symbol}")

    def _adds_up(
        self, whole: d.FillBooked | d.CashBooked | None, parts: Sequence[d.FillShared]
    ) -> None:
        contracts, cost, fee = 0, 0, 0
        if isinstance(whole, d.FillBooked):
            contracts, cost, fee = whole.contracts, whole.cost_minor, whole.fee_minor
        elif whole is not None:
            fee = whole.fee_minor
        elif parts[0].exec_id:
            raise Broken("F2", f"{parts[0]} is a part of nothing")
        sums = (
            sum(part.contracts for part in parts),
            sum(part.cost_minor for part in parts),
            sum(part.fee_minor for part in parts),
        )
        if sums != (contracts, cost, fee):
            raise Broken("F2", f"the parts add up to {sums}, of {whole}: {list(parts)}")
