"""
Symbols as a query may name them: in any case, or as a series (protocol sheet, section 3).

``XBT`` is the perpetual of that root, or the nearest future where there is none; a time frame
after a colon chooses among the futures: ``XBT:quarterly``.
"""

from __future__ import annotations

from collections.abc import Mapping

from .floor import Floor
from .instruments import Instrument

FRAMES = ("perpetual", "nearest", "quarterly", "biquarterly", "monthly", "weekly", "daily")
_QUARTER_MONTHS = "HMUZ"  # month codes of contracts that expire with a quarter


def resolve(symbol: str, floor: Floor) -> str:
    """The symbol that is meant; what names nothing comes back as it is, in capitals."""
    name = symbol.upper()
    if name in floor.catalogue or name in floor.indices.by_symbol:
        return name
    root, _, frame = name.partition(":")
    found = frames(floor).get(root, {})
    if frame:
        return found.get(frame.lower(), name)
    return found.get("perpetual") or found.get("nearest") or name


def frames(floor: Floor) -> dict[str, dict[str, str]]:
    """By root: the time frames that are live, and the symbol that each now means."""
    found: dict[str, dict[str, str]] = {}
    futures: dict[str, list[Instrument]] = {}
    for market in floor.markets.values():
        inst = market.inst
        if market.state != "Open" or inst.is_spot:
            continue
        named = found.setdefault(inst.root, {})
        if inst.expiry_ms is None:
            named.setdefault("perpetual", inst.symbol)
        else:
            futures.setdefault(inst.root, []).append(inst)
    for root, listed in futures.items():
        listed.sort(key=lambda inst: inst.expiry_ms or 0)
        found[root]["nearest"] = listed[0].symbol
        quarters = [i.symbol for i in listed if i.symbol[-3] in _QUARTER_MONTHS]
        for frame, symbol in zip(("quarterly", "biquarterly"), quarters, strict=False):
            found[root][frame] = symbol
    return found


def resolved(fields: Mapping[str, object], floor: Floor) -> dict[str, object]:
    """The fields of a query with its ``symbol`` resolved."""
    symbol = fields.get("symbol")
    if not symbol or not isinstance(symbol, str):
        return dict(fields)
    return {**fields, "symbol": resolve(symbol, floor)}
