"""
Where a fill is applied, and where the position comes from. Nowhere else.

Position = anchor + the signed sum of executions, each execution id once, + adjustments. A sum
over a set: the order of arrival and repeats do not matter. The venue's position row only checks it.
"""

from __future__ import annotations

from reconciler.core.decisions import CashBooked, FillBooked
from reconciler.core.events import Adjusted, ExecutionKind, ExecutionSeen, PositionSeen, Source
from reconciler.core.ledger import Book, Order
from reconciler.core.limits import results
from reconciler.core.portfolio import shares
from reconciler.core.turn import Turn

NEAR_US = 1_000_000  # a trade so near to a position row may be in it or not
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
    before = book.position
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
    if order is not None:
        book.futile_us = []
    if book.position != before:
        book.moved_venue_us = max(book.moved_venue_us, row.venue_us)
        results.paid(book, row.cost_minor + row.fee_minor)
        shares.share_fill(turn, book, row, order)
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
    results.paid(book, row.fee_minor)
    turn.touch(book)
    shares.share_funding(turn, book, row)


def see_position(turn: Turn, book: Book, row: PositionSeen) -> None:
    """Remember what the venue says, and whether it says so after the newest execution."""
    if book.anchor is None and row.source is Source.READ:
        book.anchor_read = row.contracts, row.venue_us
    if row.contracts != book.venue_position:
        book.moved_venue_us = max(book.moved_venue_us, row.venue_us)
    book.venue_position = row.contracts
    book.liquidation_price = row.liquidation_price
    book.entry_price = row.entry_price
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


def find_anchor(turn: Turn, book: Book) -> None:
    """
    At the end of a resync: take the venue's position as the start of our books, once.

    The row that was just looked up holds every trade from before the watermark (A3), and from
    before its own time. But around a trade a row of the old quantity may bear the time of the
    trade, and its execution may come later than the row. So it is taken only once all that
    happened near that moment is known, and nothing did. Else there will be another row.
    """
    ledger = turn.ledger
    contracts, row_us = book.anchor_read or (0, 0)
    newest = contracts, max(row_us, ledger.watermark_us - NEAR_US)
    book.anchor_read = None
    for row in (book.anchor_row, newest):
        if row is None:
            continue
        book.anchor_row = row
        near_us = NEAR_US >> book.anchor_tries  # whoever never pauses is asked for less and less
        if any(abs(venue_us - row[1]) <= near_us for venue_us, _ in book.early.values()):
            book.anchor_row = None
            book.anchor_tries += 1
        elif row[1] + near_us <= ledger.watermark_us:
            set_anchor(turn, book, *row)
            if row_us < book.venue_position_venue_us:  # the look-up was overtaken: ask once more
                book.confirmed, book.differs_since_us = False, turn.at_us
            return
        else:
            break
    start_us = book.anchor_row[1] if book.anchor_row else newest[1]
    book.early = {k: v for k, v in book.early.items() if v[0] >= start_us - NEAR_US}
    timing = ledger.settings.timing
    wait_us = timing.read_lag_us + NEAR_US + timing.position_read_us
    book.anchor_again_us = turn.at_us + (wait_us << min(book.anchor_tries, 3))
    turn.touch(book)


def set_anchor(turn: Turn, book: Book, contracts: int, venue_us: int) -> None:
    """Executions that the row already contains (by the venue's own time) are not added."""
    book.anchor, book.anchor_venue_us = contracts, venue_us
    book.position = contracts + sum(
        moved for moved_us, moved in book.early.values() if moved_us > venue_us
    )
    book.early = {}
    book.anchor_row, book.anchor_tries, book.anchor_again_us = None, 0, 0
    book.repairs = 0
    book.confirmed = book.position == book.venue_position
    book.differs_since_us = None if book.confirmed else turn.at_us
    turn.position_moved(book)
    turn.touch(book)


def adjust(turn: Turn, book: Book, adjustment: Adjusted) -> None:
    """Somebody with a name moves the books. Never called a fill; reversible by its opposite."""
    book.position += adjustment.contracts
    results.moved(book, adjustment.contracts)
    book.confirmed = book.position == book.venue_position
    if book.confirmed:
        _agree(turn, book, f"adjusted: {adjustment.reason}")
    else:
        book.differs_since_us = turn.at_us
    turn.position_moved(book)
    turn.touch(book)
