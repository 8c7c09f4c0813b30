"""
The routes that anybody may read: instruments, books, trades, quotes and their buckets (section 5).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from . import errors, intake, series
from .bins import SIZES
from .indices import Index
from .orders import Row
from .queries import Page, Test, page, paged, select, tests
from .times import iso, parse_iso
from .venue_market import Market

if TYPE_CHECKING:
    from .rest import Api
    from .web import Asked

MOST = 1_000  # rows of trades, quotes and buckets in one answer (section 3)
_RECENT_MS = 86_400_000  # an expired instrument is shown as active this long
_COMPOSITE_TICKS = 1_000  # of an index whose parts are told

KEYS = ("timestamp", "symbol")
Source = Market | Index


def fields_of(api: Api, asked: Asked) -> dict[str, object]:
    return series.resolved(asked.fields, api.exchange)


# -- instruments -------------------------------------------------------------------------------


def instruments(api: Api, asked: Asked) -> object:
    """All instruments and indices, in whatever state."""
    rows = [market.row(asked.now_ms) for market in api.exchange.markets.values()]
    return select(rows + _indices(api, asked), fields_of(api, asked), keys=("symbol",))


def active(api: Api, asked: Asked) -> object:
    """What can be traded or expired within a day; no paging."""
    return _active(api, asked)


def active_and_indices(api: Api, asked: Asked) -> object:
    return _active(api, asked) + _indices(api, asked)


def indices(api: Api, asked: Asked) -> object:
    return _indices(api, asked)


def _active(api: Api, asked: Asked) -> list[Row]:
    found = []
    for market in api.exchange.markets.values():
        expiry = market.inst.expiry_ms
        if expiry is None or asked.now_ms - market.clock.wall_ms(expiry) < _RECENT_MS:
            found.append(market.row(asked.now_ms))
    return found


def _indices(api: Api, asked: Asked) -> list[Row]:
    return [index.row(asked.now_ms) for index in api.exchange.indices.by_symbol.values()]


def active_intervals(api: Api, asked: Asked) -> object:
    """The series that are live, and what each now means, at the same places."""
    pairs = [
        (f"{root}:{frame}", symbol)
        for root, named in series.frames(api.exchange).items()
        for frame, symbol in named.items()
    ]
    return {"intervals": [p[0] for p in pairs], "symbols": [p[1] for p in pairs]}


def composite_index(api: Api, asked: Asked) -> object:
    """The parts of an index at each of its ticks."""
    fields = fields_of(api, asked)
    symbol = intake.text(fields, "symbol") or ".BXBT"
    index = api.exchange.indices.by_symbol.get(symbol)
    rows: list[Row] = []
    if index is not None:
        for tick in list(index.trades)[-_COMPOSITE_TICKS:]:
            rows += index.parts(str(tick["timestamp"]), Decimal(str(tick["price"])))
    where = page({k: v for k, v in fields.items() if k != "symbol"}, max_count=MOST)
    named = where.where.get("symbol")
    if named == symbol:  # of the filter: the index as a whole, parts included
        del where.where["symbol"]
    return paged(rows, where, keys=KEYS)


# -- books, trades, quotes ---------------------------------------------------------------------


def book(api: Api, asked: Asked) -> object:
    """Rows of orderBookL2: *depth* levels a side, 25 of them unless told, 0 for all."""
    fields = fields_of(api, asked)
    inst = intake.instrument(fields, api.exchange.catalogue)
    try:
        depth = intake.whole(fields, "depth")
    except errors.Refusal:
        raise errors.bad_parameter("depth") from None
    if depth is not None and depth < 0:
        raise errors.bad_parameter("depth")
    wanted = 25 if depth is None else depth or None
    return api.exchange.markets[inst.symbol].levels(wanted, asked.now_ms)


def trades(api: Api, asked: Asked) -> object:
    fields = fields_of(api, asked)
    found = [source.trades for source in _sources(api, fields)]
    return select(_in_order(found), fields, max_count=MOST, keys=KEYS)


def quotes(api: Api, asked: Asked) -> object:
    fields = fields_of(api, asked)
    found = [s.quotes for s in _sources(api, fields) if isinstance(s, Market)]
    return select(_in_order(found), fields, max_count=MOST, keys=KEYS)


def _sources(api: Api, fields: dict[str, object]) -> list[Source]:
    """The instruments and indices that a query is about: all that are traded when it names none."""
    exchange = api.exchange
    symbol = intake.text(fields, "symbol")
    if not symbol:
        return list(exchange.markets.values())
    found = exchange.markets.get(symbol) or exchange.indices.by_symbol.get(symbol)
    return [] if found is None else [found]


def _in_order(found: Sequence[Iterable[Row]]) -> list[Row]:
    """Rows of several instruments as one table, oldest first."""
    if len(found) == 1:
        return list(found[0])
    return list(heapq.merge(*found, key=lambda row: str(row["timestamp"])))


# -- buckets -----------------------------------------------------------------------------------


def trade_buckets(api: Api, asked: Asked) -> object:
    return _buckets(api, asked, lambda s, size, at: _trade_row(s, size, at, asked.now_ms))


def quote_buckets(api: Api, asked: Asked) -> object:
    return _buckets(api, asked, lambda s, size, at: _quote_row(s, size, at, asked.now_ms))


def _trade_row(source: Source, size: str, end_ms: int, now_ms: int) -> Row | None:
    made = source if isinstance(source, Index) else source.bins
    return made.trade_row(size, end_ms, now_ms)


def _quote_row(source: Source, size: str, end_ms: int, now_ms: int) -> Row | None:
    """An index is not quoted."""
    return None if isinstance(source, Index) else source.bins.quote_row(size, end_ms, now_ms)


def _buckets(api: Api, asked: Asked, make: Callable[[Source, str, int], Row | None]) -> object:
    """
    Buckets of trades or quotes. Their places follow from the times alone, so only those of the page
    are made, unless a filter has to look into each.
    """
    fields = fields_of(api, asked)
    size = intake.text(fields, "binSize") or "1m"
    if size not in SIZES:
        raise errors.bad_request("binSize is invalid.")
    try:
        partial = intake.flag(fields, "partial", False)
    except errors.Refusal:
        raise errors.bad_parameter("partial") from None
    wanted = page(fields, max_count=MOST)
    sources = _sources(api, fields)
    named = {k: v for k, v in wanted.where.items() if k != "symbol" or v != fields.get("symbol")}
    if not sources:
        return []
    ends = _ends(sources, size, asked.now_ms, wanted, partial=partial)
    if any(name.partition(".")[0] not in KEYS for name in named):
        made = [make(source, size, at) for at in ends for source in sources]
        return paged([row for row in made if row is not None], wanted, keys=KEYS)
    spots: Sequence[tuple[int, Source]] = _Spots(ends, sources)
    if named:
        chosen = tests(named)
        spots = [
            (at, source)
            for at, source in spots
            if _meets({"timestamp": iso(at), "symbol": source.bins.inst.symbol}, chosen)
        ]
    rows = [make(spots[i][1], size, spots[i][0]) for i in wanted.cut(len(spots))]
    return wanted.strip([row for row in rows if row is not None], KEYS)


def _meets(row: Row, chosen: list[Test]) -> bool:
    return all(test(row) for test in chosen)


class _Spots(Sequence[tuple[int, Source]]):
    """Every bucket of some instruments, by time, without any of them being made."""

    def __init__(self, ends: range, sources: list[Source]) -> None:
        self._ends, self._sources = ends, sources

    def __len__(self) -> int:
        return len(self._ends) * len(self._sources)

    def __getitem__(self, place: Any) -> Any:
        moment, which = divmod(place, len(self._sources))
        return self._ends[moment], self._sources[which]


def _ends(sources: list[Source], size: str, now_ms: int, asked: Page, *, partial: bool) -> range:
    """The ends of the buckets between startTime and endTime."""
    ends = sources[0].bins.ends(size, now_ms, partial=partial)
    first = ends.start if asked.start_ms is None else max(ends.start, asked.start_ms)
    last = ends.stop - 1 if asked.end_ms is None else min(ends.stop - 1, asked.end_ms)
    step = ends.step
    return range(-(-first // step) * step, last + 1, step)


# -- the venue's own tables --------------------------------------------------------------------


def funding(api: Api, asked: Asked) -> object:
    fields = fields_of(api, asked)
    return select(api.exchange.records.funding, fields, keys=KEYS)


def settlement(api: Api, asked: Asked) -> object:
    fields = fields_of(api, asked)
    return select(api.exchange.records.settlement, fields, keys=KEYS)


def liquidation(api: Api, asked: Asked) -> object:
    """Liquidations that are going on; none of them has a time."""
    wanted = page(fields_of(api, asked))
    if wanted.start_ms is not None or wanted.end_ms is not None:
        return []
    return paged(list(api.exchange.records.liquidation.values()), wanted, keys=("orderID",))


def insurance(api: Api, asked: Asked) -> object:
    """The fund's balance, daily; it is chosen by currency, and has no symbol."""
    fields = {k: v for k, v in asked.fields.items() if k != "symbol"}
    rows: list[Row] = list(api.exchange.records.insurance)
    currency = intake.text(fields, "currency")
    if currency:
        rows = [row for row in rows if row["currency"] == currency]
    return select(rows, fields, keys=("currency", "timestamp"))


def announcements(api: Api, asked: Asked) -> object:
    """Newest first, as a notice board is read."""
    return _board(list(api.exchange.records.announcement), asked)


def urgent_announcements(api: Api, asked: Asked) -> object:
    return _board(list(api.exchange.records.urgent), asked)


def _board(rows: list[Row], asked: Asked) -> list[Row]:
    wanted = page({"columns": asked.fields.get("columns")})
    return wanted.strip(sorted(rows, key=lambda r: -parse_iso(str(r["date"]))), ("id",))
