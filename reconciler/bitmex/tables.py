"""
The venue's tables as the stream tells them: an image first, then what changed.

Rule 1: a `partial` is the whole image of its table and filter; it replaces that slice, any time.
Rule 2: what comes before the first partial of a table is dropped.
Rule 3: the key of a row is what the partial says it is, and changes when a partial says so.
Rule 4: in an update, absent means unchanged and null means unset.
Rule 5: an update or delete of a row never seen can't be explained: the table must be read anew.
Where images are of slices, this holds for those that have come: for the others, rule 2 does.

Pure: no clock, no I/O. `Table` knows no column; `Accounts` knows which core events follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from reconciler.core.events import (
    AnyEvent,
    ExecutionKind,
    ExecutionSeen,
    InstrumentSeen,
    MarginSeen,
    OrderSeen,
    PositionSeen,
    Source,
)
from reconciler.errors import ProtocolError

from . import rows
from .messages import COLUMNS, Frame, columns
from .messages import rows as decoded
from .rows import Row

Key = tuple[object, ...]

NEWS_BPS = 10  # a liquidation price that moved by less is not told
MUTE_US = 10_000_000  # a stream that shows no price of an instrument for so long may be broken
LAG_US = 2_000_000  # a read shows everything older than this
DEAD_ROW_US = 300_000_000  # how long an order that is over is kept: it can be revived for 60 s
DEAD = frozenset({"Filled", "Canceled", "Rejected", "Expired"})


class Table:
    """The rows of one table, by the key that its partial named."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: tuple[str, ...] | None = None  # None: no partial yet
        self.rows: dict[Key, dict[str, object]] = {}
        self._slices: list[Mapping[str, object]] = []  # of which there was an image
        self.dropped = 0  # rows that came before the partial
        self.unexplained = 0  # changes of rows never seen, since the last partial

    def forget(self) -> None:
        """Drop all: a new connection will tell anew."""
        self.keys = None
        self.rows.clear()
        self._slices.clear()
        self.unexplained = 0

    def apply(
        self,
        action: str,
        data: list[dict[str, object]],
        keys: list[str] | None = None,
        slice_of: Mapping[str, object] | None = None,
    ) -> list[dict[str, object]]:
        """
        Take in one frame.

        Args:
            action: partial, insert, update or delete; another word changes nothing.
            data: The rows of the frame.
            keys: The columns that make a key; only a partial has them.
            slice_of: Columns and values of the slice that a partial is the image of.

        Returns:
            The rows that changed, merged. Deleted rows are not among them. Changes of rows never
            seen are counted in `unexplained`, and the rows beside them taken in.
        """
        if action == "partial":
            return self._replace(data, tuple(keys or ()), slice_of or {})
        if self.keys is None:
            self.dropped += len(data)
            return []
        if action == "insert":
            return [self._insert(row) for row in data]
        if action == "update":
            return [merged for row in data if (merged := self._update(row)) is not None]
        if action == "delete":
            for row in data:
                self._delete(row)
        return []

    def _replace(
        self, data: list[dict[str, object]], keys: tuple[str, ...], slice_of: Mapping[str, object]
    ) -> list[dict[str, object]]:
        self.unexplained = 0
        if slice_of not in self._slices:
            self._slices.append(slice_of)
        if keys != self.keys:
            self.keys = keys
            self.rows = {self._key(row): row for row in self.rows.values()}
        # A row that does not name a column of the filter can't be told from the slice: it goes.
        wanted = slice_of.items()
        self.rows = {
            key: row
            for key, row in self.rows.items()
            if any(row.get(column, value) != value for column, value in wanted)
        }
        return [self._insert(row) for row in data]

    def _key(self, row: Row) -> Key:
        key = tuple([row.get(column) for column in self.keys or ()])
        try:
            hash(key)
        except TypeError:
            raise ProtocolError(f"the key of a row of {self.name} is no plain value") from None
        return key

    def _insert(self, row: dict[str, object]) -> dict[str, object]:
        if self.keys:  # without keys the table only tells, and there is nothing to merge later
            self.rows[self._key(row)] = row
        return row

    def _find(self, row: Row) -> Key | None:
        """The key of the row that *row* means; one that leaves out columns must fit only one."""
        key = self._key(row)
        if key in self.rows:
            return key
        named = [(c, row[c]) for c in self.keys or () if row.get(c) is not None]
        if named and len(named) < len(key):
            fits = [k for k, r in self.rows.items() if all(r.get(c) == v for c, v in named)]
            if len(fits) == 1:
                return fits[0]
        if any(_inside(row, slice_of) for slice_of in self._slices):
            self.unexplained += 1
        else:
            self.dropped += 1
        return None

    def _update(self, row: dict[str, object]) -> dict[str, object] | None:
        key = self._find(row)
        if key is None:
            return None
        known = self.rows[key]
        known.update(row)
        if self._key(known) != key:  # a column of the key was null: it stays what it was
            known.update(zip(self.keys or (), key, strict=True))
        return known

    def _delete(self, row: dict[str, object]) -> None:
        key = self._find(row)
        if key is not None:
            del self.rows[key]


def _inside(row: Row, slice_of: Mapping[str, object]) -> bool:
    """Whether a row may be of that slice: a column that it does not name proves nothing."""
    return all(row.get(column, value) == value for column, value in slice_of.items())


class Accounts:
    """The keyed tables that a session follows, and the core events that follow from them."""

    NAMES = ("order", "position", "margin", "instrument")

    def __init__(self, symbols: Iterable[str]) -> None:
        self.symbols = frozenset(symbols)
        self.account: int | None = None  # ours, once a partial named it
        self.tables = {name: Table(name) for name in self.NAMES}
        self.mute = ""  # an instrument that moves, as a look-up shows, and of which nothing is told
        self._moved_us: dict[str, int] = {}  # when the stream last spoke of each instrument
        self.marks: dict[str, Decimal] = {}  # from the last instrument frame
        self.strangers = 0  # rows of other accounts
        self.stranger: object = None  # the first of those accounts
        self._rules: dict[str, InstrumentSeen] = {}  # as last told, over all connections
        self._ruled_us: dict[str, int] = {}  # when the stream last changed them
        self._positions: dict[str, PositionSeen] = {}  # as last told
        self._untold_margins: dict[str, MarginSeen] = {}
        self._told_margins: dict[str, MarginSeen] = {}

    def forget(self) -> None:
        """Start over with a new connection. What the core was told stays known."""
        for table in self.tables.values():
            table.forget()
        self.mute = ""
        self._moved_us.clear()
        self._untold_margins.clear()
        self._told_margins.clear()  # who asks for today's balances is told them on each connection

    def executed(self, found: Iterable[AnyEvent]) -> None:
        """Where contracts changed hands, the next position row is news, whatever it says."""
        for event in found:
            if isinstance(event, ExecutionSeen) and event.type is not ExecutionKind.ORDER_STATE:
                self._positions.pop(event.symbol, None)

    def mine(self, found: Iterable[dict[str, object]]) -> list[dict[str, object]]:
        """The rows that are not another account's."""
        kept = []
        for row in found:
            if self.is_mine(row.get("account")):
                kept.append(row)
        return kept

    def is_mine(self, account: object) -> bool:
        """Whether a row that names this account is ours; those that are not are counted."""
        if account is None or self.account is None or account == self.account:
            return True
        self.strangers += 1
        self.stranger = self.stranger or account
        return False

    def take(self, frame: Frame, at_us: int) -> list[AnyEvent]:
        """
        Take in a frame of one of the tables.

        Raises:
            ProtocolError: A row can't be read.
        """
        # Balances may be of all accounts that the key sees: they don't say which one trades.
        if frame.action == "partial" and frame.filter and frame.table in ("order", "position"):
            named = frame.filter.get("account")
            if type(named) is int:
                self.account = named
        table = self.tables[frame.table]
        found = self.mine(_decoded(frame, table))
        if frame.table == "order" and frame.action in ("partial", "insert"):
            self._bury(table, at_us)
        keys = frame.keys
        if frame.table == "margin" and keys and "currency" not in keys:
            keys = [*keys, "currency"]  # in some images of 2021 one currency was all there was
        changed = table.apply(frame.action, found, keys, frame.filter)
        if frame.table == "order":
            return [self._order(row, at_us) for row in changed]
        if frame.table == "position":
            return self._position(changed, at_us)
        if frame.table == "instrument":
            return self._instrument(changed, at_us)
        for row in changed:
            if (margin := rows.margin_seen(row, at_us)) is not None:
                self._untold_margins[margin.currency] = margin
        return []

    def _order(self, row: dict[str, object], at_us: int) -> OrderSeen:
        if rows.text(row, "ordStatus") in DEAD:
            row["_over"] = at_us
        else:
            row.pop("_over", None)
        return rows.order_seen(row, Source.STREAM, at_us)

    @staticmethod
    def _bury(table: Table, at_us: int) -> None:
        """Forget orders that have been over for long. No `delete` ever comes for them."""
        if len(table.rows) < 256:
            return
        for key, row in list(table.rows.items()):
            over = row.get("_over")
            if type(over) is int and at_us - over > DEAD_ROW_US:
                del table.rows[key]

    def _position(self, changed: list[dict[str, object]], at_us: int) -> list[AnyEvent]:
        """
        Positions that are news: another quantity or entry, the first row after an execution, or
        a liquidation price that has moved.

        The rest, a new mark price every few seconds, would only fill the journal.
        """
        events: list[AnyEvent] = []
        for symbol in dict.fromkeys(rows.need_text(row, "symbol") for row in changed):
            together = (
                row for row in self.tables["position"].rows.values() if row["symbol"] == symbol
            )
            seen = rows.position_seen(symbol, together, Source.STREAM, at_us)
            if seen is None:
                continue
            told = self._positions.get(symbol)
            if told is None or _is_news(told, seen):
                self._positions[symbol] = seen
                events.append(seen)
        return events

    def _instrument(self, changed: list[dict[str, object]], at_us: int) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        self.marks.clear()
        for row in changed:
            symbol = rows.need_text(row, "symbol")
            if symbol not in self.symbols:
                continue
            self._moved_us[symbol] = at_us
            mark = rows.exact(row.get("markPrice"), "markPrice")
            if mark is not None:
                self.marks[symbol] = mark
            if (rules := self._new_rules(row, at_us)) is not None:
                self._ruled_us[symbol] = at_us
                events.append(rules)
        return events

    def read_rules(self, row: Row, asked_us: int, at_us: int) -> InstrumentSeen | None:
        """
        The trading rules of a row that was looked up, if they are news: a row of the stream that
        would have told them was lost.

        The look-up holds all that is older than `LAG_US`: what the stream said since is newer.
        """
        symbol = rows.need_text(row, "symbol")
        self._compare(symbol, row, asked_us)
        if asked_us < self._ruled_us.get(symbol, -LAG_US) + LAG_US:
            return None
        if rows.instrument_seen(row, at_us) is None:
            return None
        table = self.tables["instrument"]
        for known in table.rows.values():
            if known.get("symbol") == symbol:  # else its next change would bring back the old ones
                known.update((name, row.get(name)) for name in rows.RULES)
        return self._new_rules(row, at_us)

    def _compare(self, symbol: str, row: Row, asked_us: int) -> None:
        """
        Whether the venue has prices that the stream should have told long ago.

        A quiet market is no broken stream: it is one only if something moved.
        """
        told_us = self._moved_us.get(symbol)
        if told_us is None or asked_us - told_us < MUTE_US:
            return
        for known in self.tables["instrument"].rows.values():
            if known.get("symbol") != symbol:
                continue
            pairs = [(row.get(name), known.get(name)) for name in rows.PRICES]
            if any(None not in (now, before) and now != before for now, before in pairs):
                self.mute = symbol

    def _new_rules(self, row: Row, at_us: int) -> InstrumentSeen | None:
        """The trading rules in a full instrument row, if they are not what was told last."""
        seen = rows.instrument_seen(row, at_us)
        if seen is None:
            return None
        told = self._rules.get(seen.symbol)
        if told is not None and _same(told, seen):
            return None
        self._rules[seen.symbol] = seen
        return seen

    def knows_rules(self, symbol: str) -> bool:
        """Whether the trading rules of *symbol* were ever told."""
        return symbol in self._rules

    def shows(self, order_id: str) -> bool:
        """Whether the order table has that order."""
        table = self.tables["order"]
        if table.keys == ("orderID",):
            return (order_id,) in table.rows
        return any(row.get("orderID") == order_id for row in table.rows.values())

    def unexplained(self, name: str) -> bool:
        """Whether table *name* told of rows that we never saw: it must be read anew."""
        return self.tables[name].unexplained > 0

    def tell_margins_again(self) -> None:
        """The next call of `margins` tells all, changed or not."""
        self._untold_margins = {**self._told_margins, **self._untold_margins}
        self._told_margins.clear()

    def margins(self, now_us: int) -> list[MarginSeen]:
        """Balances that changed since the last call: the newest of each currency, told now."""
        news = []
        for currency, seen in self._untold_margins.items():
            told = self._told_margins.get(currency)
            if told is None or not _same(told, seen):
                self._told_margins[currency] = seen
                news.append(msgspec.structs.replace(seen, at_us=now_us))
        self._untold_margins.clear()
        return news


def _decoded(frame: Frame, table: Table) -> list[dict[str, object]]:
    """The rows of a frame: all columns of them, if the table's key is of others than we read."""
    known = COLUMNS.get(frame.table)
    if known is not None and known.issuperset(table.keys or ()):
        if frame.action != "partial" or known.issuperset(
            (*(frame.keys or ()), *(frame.filter or ()))
        ):
            return columns(frame.table, frame.data)
    return decoded(frame.data)


def _is_news(told: PositionSeen, seen: PositionSeen) -> bool:
    if (told.contracts, told.entry_price) != (seen.contracts, seen.entry_price):
        return True
    was, now = told.liquidation_price, seen.liquidation_price
    if was is None or now is None:
        return was is not now
    return abs(now - was) * 10_000 > was * NEWS_BPS  # it moves with every mark, hardly


def _same(one: InstrumentSeen | MarginSeen, other: InstrumentSeen | MarginSeen) -> bool:
    """Whether two events say the same, whenever they came."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in one.__struct_fields__
        if name != "at_us"
    )


class Books:
    """Order books from `orderBookL2` frames: every level of every symbol that was subscribed."""

    def __init__(self, name: str = "orderBookL2") -> None:
        self.table = Table(name)

    def take(self, frame: Frame) -> None:
        """Take in a frame of the table."""
        self.table.apply(frame.action, decoded(frame.data), frame.keys, frame.filter)

    def levels(self, symbol: str) -> tuple[list[tuple[Decimal, int]], list[tuple[Decimal, int]]]:
        """Bids and asks of *symbol* as (price, size), the best first."""
        sides: dict[str, list[tuple[Decimal, int]]] = {"Buy": [], "Sell": []}
        for row in self.table.rows.values():
            if row.get("symbol") != symbol:
                continue
            price, size = rows.exact(row.get("price"), "price"), rows.whole(row, "size")
            if price is not None and size is not None:
                sides.setdefault(rows.text(row, "side"), []).append((price, size))
        return sorted(sides["Buy"], reverse=True), sorted(sides["Sell"])
