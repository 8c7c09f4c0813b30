"""
Which fields of an order go together (protocol sheet, sections 4.1, 4.2, 7).

Pure: types, instructions and times in force against one another, each refusal in BitMEX's words.
Where the sheet is silent the words are those of its list that fit best; such lines say [unsure].
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import errors
from .market import BUY
from .orders import (
    AT_MARKET,
    CLOSE,
    FIXED,
    LAST_WITHIN_MARK,
    OCO,
    OTO,
    POST_ONLY,
    REDUCE_ONLY,
    STOPS,
    TRAILING,
    TRIGGERS,
    WAITING,
)

FIELDS = frozenset(
    (
        "symbol", "side", "orderQty", "price", "displayQty", "stopPx", "clOrdID", "clOrdLinkID",
        "pegOffsetValue", "pegPriceType", "ordType", "timeInForce", "execInst", "contingencyType",
        "text", "strategy", "maxSlippagePct", "expiryTime", "pool", "orderID", "targetAccountId",
    )
)  # fmt: skip  # of POST /order in 2026
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
ORD_TYPES = ("Market", "Limit", "Stop", "StopLimit", "MarketIfTouched", "LimitIfTouched", "Pegged")
TIFS = ("Day", "GoodTillCancel", "ImmediateOrCancel", "FillOrKill")
AT_ONCE = frozenset({"ImmediateOrCancel", "FillOrKill"})
EXEC_INSTS = (POST_ONLY, REDUCE_ONLY, CLOSE, *TRIGGERS, FIXED, LAST_WITHIN_MARK)
NOT_IN_SPOT = frozenset({REDUCE_ONLY, CLOSE, "IndexPrice", LAST_WITHIN_MARK})
PEGS = ("PrimaryPeg", "MarketPeg", TRAILING)
CONTINGENCIES = (OCO, OTO)
STRATEGIES = ("OneWay",)


def check_fields(names: Iterable[str]) -> None:
    """BitMEX of 2026 refuses a field that it does not know, whatever is in it."""
    for name in names:
        if name not in FIELDS:
            raise errors.unrecognized(name)


def check_order_id(named: str) -> None:
    """A trader may name the order; the name is a GUID."""
    if named and not _GUID.fullmatch(named):
        raise errors.bad_request("Invalid orderID")


def ord_type(named: str, *, price: bool, stop: bool, peg: str) -> str:
    """The type as named, or what price, stop and peg imply (section 4.1)."""
    if named and named not in ORD_TYPES:
        raise errors.bad_request("Unsupported ordType")
    if named:
        return named
    if stop:
        return "StopLimit" if price else "Stop"
    if peg:
        return "Pegged"  # a price beside it says nothing: the peg sets it
    # Only a quantity: taken as Market [unsure].
    return "Limit" if price else "Market"


def time_in_force(named: str, kind: str) -> str:
    """
    Types without a limit price never rest: they fill at once, in full or as far as it goes.

    Day says how long one may wait for its price, or for the order that it is linked to; what does
    not wait comes back as ImmediateOrCancel (`Order.hurry`).
    """
    if named and named not in TIFS:
        raise errors.bad_request("Unsupported timeInForce")
    if kind in AT_MARKET:
        return named if named in ("Day", "FillOrKill") else "ImmediateOrCancel"
    return named or "GoodTillCancel"


def instructions(given: str) -> tuple[str, ...]:
    """The comma list of execInst; AllOrNone was retired in 2018 (section 4.1)."""
    parts = tuple(part.strip() for part in given.split(",") if part.strip())
    if any(part not in EXEC_INSTS for part in parts):
        raise errors.bad_request("Unsupported execInst")
    contradiction = REDUCE_ONLY in parts and CLOSE in parts  # refused by BitMEX: Close implies it
    if contradiction or len(set(parts)) < len(parts):
        raise errors.bad_request("Invalid execInst")
    if sum(part in TRIGGERS for part in parts) > 1:
        raise errors.bad_request("Invalid execInst")
    return parts


def check_instructions(parts: tuple[str, ...], kind: str, tif: str, display: int | None) -> None:
    """Each instruction against type, time in force and display quantity."""
    if POST_ONLY in parts and (kind in AT_MARKET or tif in AT_ONCE):
        raise errors.bad_request("Invalid ordType or timeInForce for execInst")
    if POST_ONLY in parts and display == 0:
        # A hidden order always pays the taker fee, a post-only one never does [unsure].
        raise errors.bad_request("Invalid displayQty for execInst")
    if any(part in TRIGGERS for part in parts) and kind not in WAITING and kind != "Pegged":
        raise errors.bad_request("Invalid ordType for execInst")
    if LAST_WITHIN_MARK in parts:
        if kind not in STOPS:
            raise errors.bad_request("Invalid ordType for execInst")
        if "LastPrice" not in parts:
            raise errors.bad_request("Invalid execInst")
    if FIXED in parts and kind != "Pegged":
        raise errors.bad_request("Invalid ordType for execInst")
    if kind == "Pegged" and FIXED not in parts:
        raise errors.bad_request("Invalid execInst")  # "must have Fixed"; the words are [unsure]


def check_spot(parts: tuple[str, ...]) -> None:
    """In spot there is no position to reduce and no index to trigger on (section 4.1)."""
    if any(part in NOT_IN_SPOT for part in parts):
        raise errors.bad_request("Invalid execInst")  # [unsure] wording


def check_stop(kind: str, peg: str, *, stop: bool) -> None:
    """A waiting type needs a stop price, or a trailing peg that makes one; others have none."""
    if kind in WAITING:
        if not stop and peg != TRAILING:
            raise errors.bad_request("Invalid stopPx for ordType")
    elif stop:
        raise errors.bad_request("Invalid stopPx for ordType")


def check_peg(peg: str, kind: str, side: int, offset: int | None) -> None:
    """
    Peg, type and offset against one another; *offset* in ticks.

    A trailing stop to sell, or a touch to buy, follows from below: its offset is negative.
    """
    if peg and peg not in PEGS:
        raise errors.bad_request("Unsupported pegPriceType")
    if (peg == TRAILING and kind not in WAITING) or (peg not in ("", TRAILING) and kind in WAITING):
        raise errors.bad_request("Invalid pegPriceType for ordType")
    if (kind == "Pegged") != (peg not in ("", TRAILING)):
        raise errors.bad_request("Invalid pegPriceType for ordType")
    if not peg and offset is not None:
        raise errors.bad_request("Invalid pegOffsetValue for pegPriceType")
    if peg and offset is None:
        raise errors.bad_request("Invalid pegOffsetValue for pegPriceType")
    if peg == TRAILING:
        above = (kind in STOPS) == (side == BUY)
        if not offset or (offset > 0) != above:
            raise errors.bad_request("Invalid pegOffsetValue for pegPriceType")


def check_contingency(contingency: str, link: str) -> None:
    """OneUpdatesTheOther went in 2018; a contingency without a link says nothing."""
    if contingency and contingency not in CONTINGENCIES:
        raise errors.bad_request("Unsupported contingencyType")
    if contingency and not link:
        raise errors.bad_request("Invalid clOrdLinkID for contingencyType")


def check_display(display: int | None, qty: int | None, lot: int) -> None:
    """0 hides the order; a slice is whole lots and no more than the order."""
    if display is None:
        return
    if display < 0 or display % lot or (qty is not None and display > qty):
        raise errors.bad_request("Invalid displayQty")


def check_strategy(named: str) -> None:
    """
    Positions are one-way here; the hedge mode of October 2025 is not built.

    BitMEX's words for a strategy that the account's mode does not have are not known [unsure].
    """
    if named and named not in STRATEGIES:
        raise errors.bad_request("Invalid strategy")
