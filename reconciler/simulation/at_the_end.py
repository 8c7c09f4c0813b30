"""What is judged at the end of a life, when all is quiet: F1, F2, V1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.simulation import purse
from reconciler.simulation.promises import Broken

if TYPE_CHECKING:
    from reconciler.simulation.oracle import Oracle

#: Freezes and incidents that may be left: nobody is wrong.
NAMED = ("liquidation", "settlement", "runaway", "limit", "foreign_order")

#: What is waited for once a limit of losses, or of margin, was reached.
OF_LOSSES = (
    "limits.max_daily_loss_minor =",
    "limits.max_drawdown_minor =",
    "limits.account.min_margin_percent",
)


def quiet(oracle: Oracle) -> None:
    """Books and truth are equal, and nothing is left behind."""
    world = oracle.world
    assert world.process is not None
    ledger = world.process.engine.ledger
    oracle.checks += 1
    for symbol in world.exchange.symbols:
        if len(world.exchange.own_open(symbol)):
            raise Broken("V1", f"an order rests on {symbol}")
    if not oracle.inside:
        return
    oracle.detected()
    oracle.v4_small(ledger)
    oracle.parts.quiet(ledger)
    world.desks.nets.quiet()
    books(oracle)
    for book in ledger.books.values():
        if not oracle.strict and (book.frozen or ledger.frozen):
            continue  # it was noticed, and waits for a person
        if book.frozen and book.frozen_by not in NAMED:  # a named state
            raise Broken("V1", f"still frozen: {world.told()}")
    blocked_by_what_is_reached(oracle, ledger)
    left = [name for name in ledger.incidents if not _may_be_left(ledger, name)]
    if left and oracle.strict:
        raise Broken("V1", f"incidents are left open: {left}")


def books(oracle: Oracle) -> None:
    """F1, F2: every fill is in the books, and they are the truth."""
    world = oracle.world
    assert world.process is not None
    ledger = world.process.engine.ledger
    missing = never_booked(oracle)
    if missing:
        raise Broken("F1", f"fills were never booked: {missing}")
    for symbol, book in ledger.books.items():
        if not oracle.strict and (book.frozen or ledger.frozen):
            continue  # it was noticed, and waits for a person
        if book.position != world.exchange.position[symbol]:
            raise Broken("F2", world.told())


def blocked_by_what_is_reached(oracle: Oracle, ledger: Any) -> None:
    """V1: what waits for a limit of losses to let go waits for one that is reached."""
    for symbol, book in ledger.books.items():
        if book.waiting_for.startswith(OF_LOSSES) and not oracle.fortune.in_the_way(symbol):
            raise Broken("V1", f"{symbol} waits for {book.waiting_for}: that is not reached")


def ran_away(ledger: Any, book: Any) -> bool:
    """Whether the throttle has stopped it, or the account: that is for a person to end."""
    return book.frozen_by == "runaway" or "runaway " in ledger.incidents


def _may_be_left(ledger: Any, name: str) -> bool:
    """Named states; and refusals, as long as a limit lets no order ask whether they are over."""
    kind, _, symbol = name.partition(" ")
    if kind == "refused":
        book = ledger.book(symbol)
        blocked = book.waiting_for.startswith(("room below", *purse.BLOCKED))
        return bool(blocked or ran_away(ledger, book))
    return name.startswith(("sibling", *NAMED))


def never_booked(oracle: Oracle) -> list[str]:
    """F1: what happened since the first position, and is not in the books."""
    world = oracle.world
    if not oracle.inside or world.process is None:
        return []
    ledger, missing = world.process.engine.ledger, []
    for at_us, row in world.exchange.executions:
        name = str(row["execID"])
        if name in world.exchange.fills and name not in oracle.booked:
            symbol, moved, whose = world.exchange.fills[name]
            if not oracle.strict and (ledger.frozen or ledger.book(symbol).frozen):
                continue
            if whose in oracle.written or at_us > oracle.anchored_us.get(symbol, 0):
                missing.append(f"{name}: {moved:+d}")
    return missing
