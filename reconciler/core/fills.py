"""
Where a fill is applied, and where the position comes from. Nowhere else.

Position = anchor + the signed sum of executions, each execution id once, + adjustments. A sum
over a set: the order of arrival and repeats do not matter. The venue's position row only checks it.
"""

from __future__ import annotations

from reconciler.core.decisions import CashBooked, FillBooked
from reconciler.core.events import Adjusted, ExecutionKind, ExecutionSeen, PositionSeen
from reconciler.core.ledger import Book, Order
from reconciler.core.turn import Turn

#: The kinds of execution that move the position.
MOVES = frozenset(
    {
        ExecutionKind.TRADE,
        ExecutionKind.LIQUIDATION,
        ExecutionKind.BANKRUPTCY,
        ExecutionKind.SETTLEMENT,
    }
)


def book_execution(turn: Turn, book: Book, row: ExecutionSeen, order: Order | None) -> bool:
    """
    Count one execution, once.

    Args:
        row: Of a kind in MOVES.
        order: The own order that it belongs to; None: foreign.

    Returns:
        Whether it was new.
    """
    if order is not None:
        if row.exec_id in order.exec_ids:
            return False
        order.exec_ids.add(row.exec_id)
        order.booked += abs(row.contracts)
    else:
        if not is_news(turn, book, row):
            return False
    if book.anchor is None:
        # It may be part of the position that the anchor will be: decided when that is read.
        book.early[row.exec_id] = (row.venue_us, row.contracts)
    elif order is not None or row.venue_us > book.anchor_venue_us:
        book.position += row.contracts  # a row from before the anchor is late, and in it
    book.confirmed = False
    book.differs_since_us = turn.at_us
    book.position_read_again_us = turn.at_us + turn.ledger.settings.timing.position_read_us
    turn.facts.append(
        FillBooked(
            exec_id=row.exec_id,
            symbol=book.symbol,
            cl_ord_id=order.cl_ord_id if order is not None else "",
            order_id=row.order_id,
            type=row.type,
            contracts=row.contracts,
            price=row.price,
            fee_minor=row.fee_minor,
            cost_minor=row.cost_minor,
            currency=row.currency,
            liquidity=row.liquidity,
            venue_us=row.venue_us,
            target_version=order.target_version if order is not None else 0,
            position=book.position,
        )
    )
    turn.touch(book)
    return True


def is_news(turn: Turn, book: Book, row: ExecutionSeen) -> bool:
    """Whether an execution that is no order's of ours is seen for the first time; remember it."""
    if row.exec_id in book.foreign_execs or row.venue_us < turn.ledger.horizon_us:
        return False
    book.foreign_execs[row.exec_id] = row.venue_us
    return True


def book_funding(turn: Turn, book: Book, row: ExecutionSeen) -> None:
    """Funding rows carry the whole position as their quantity. They are cash and nothing else."""
    if not is_news(turn, book, row):
        return
    turn.facts.append(
        CashBooked(
            exec_id=row.exec_id,
            symbol=book.symbol,
            contracts=row.contracts,
            price=row.price,
            fee_minor=row.fee_minor,
            currency=row.currency,
            venue_us=row.venue_us,
        )
    )


def see_position(turn: Turn, book: Book, row: PositionSeen) -> None:
    """Remember what the venue says, and whether it says so after the newest execution."""
    if book.anchor is None and row.venue_us < book.venue_position_venue_us:
        return  # a read that was overtaken: the anchor is the newest row, not the last to come
    book.venue_position = row.contracts
    book.venue_position_venue_us = max(book.venue_position_venue_us, row.venue_us)
    agrees = row.contracts == book.position and book.anchor is not None
    book.confirmed = agrees
    if agrees:
        _agree(turn, book, "agrees again")
    elif book.differs_since_us is None:
        book.differs_since_us = turn.at_us
    turn.position_moved(book)
    turn.touch(book)


def _agree(turn: Turn, book: Book, how: str) -> None:
    book.differs_since_us = None
    book.repairs = 0
    turn.thaw(book, "position_differs", how)


def set_anchor(turn: Turn, book: Book) -> None:
    """
    Take the venue's position as the start of our books, once, at the first sync.

    Executions that the venue's row already contains (by the venue's own time) are not added.
    """
    anchor = book.venue_position or 0
    book.anchor, book.anchor_venue_us = anchor, book.venue_position_venue_us
    book.position = anchor + sum(
        contracts
        for venue_us, contracts in book.early.values()
        if venue_us > book.venue_position_venue_us
    )
    book.early = {}
    book.confirmed = book.position == book.venue_position
    book.differs_since_us = None if book.confirmed else turn.at_us
    turn.position_moved(book)
    turn.touch(book)


def adjust(turn: Turn, book: Book, adjustment: Adjusted) -> None:
    """Somebody with a name moves the books. Never called a fill; reversible by its opposite."""
    book.position += adjustment.contracts
    book.confirmed = book.position == book.venue_position
    if book.confirmed:
        _agree(turn, book, f"adjusted: {adjustment.reason}")
    else:
        book.differs_since_us = turn.at_us
    turn.position_moved(book)
    turn.touch(book)
