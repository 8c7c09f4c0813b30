"""
What the market says to an order before the account is asked (protocol sheet, sections 4.2, 6, 7).
"""

from __future__ import annotations

from decimal import Decimal

from . import errors
from .orders import NewOrder, Order
from .triggers import trailed
from .venue_market import Market

# States of an instrument in which it never trades again; Closed may open again (section 6).
OVER = frozenset({"Settled", "Expired", "Delisted", "Cleared"})


def check_market(market: Market) -> None:
    """Orders and amends need an open market; cancels do not."""
    if market.state == "Open":
        return
    if market.state == "Unlisted":
        raise errors.bad_request("Instrument not listed for trading yet")
    if market.state in OVER:
        raise errors.bad_request("Instrument expired")
    raise errors.bad_request("Market is not open")


def check_limits(market: Market, price: Decimal) -> None:
    """The day's price limits, where an instrument has them."""
    if market.limit_up is not None and price > market.limit_up:
        raise errors.bad_request("Price greater than limitUpPrice")
    if market.limit_down is not None and price < market.limit_down:
        raise errors.bad_request("Price less than limitDownPrice")


def pegged(order: NewOrder | Order, offset: int, market: Market) -> int:
    """The limit of a pegged order in ticks, set once: its offset from the near or far touch."""
    side = order.side if order.peg_type == "PrimaryPeg" else -order.side
    touch = market.book.best(side)
    if touch is None:
        raise errors.bad_request("Invalid price")  # nothing to peg to [unsure]
    ticks = touch + offset
    if ticks <= 0 or market.inst.price(ticks) > market.inst.max_price:
        raise errors.bad_request("Invalid price")
    check_limits(market, market.inst.price(ticks))
    return ticks


def check_trail(order: NewOrder | Order, offset: int, market: Market) -> int:
    """Where a trailing stop begins, in ticks."""
    ticks = trailed(order.exec_inst, offset, market)
    if not ticks > 0 or market.inst.price(ticks) > market.inst.max_price:
        raise errors.bad_request("Invalid pegOffsetValue for pegPriceType")
    return ticks
