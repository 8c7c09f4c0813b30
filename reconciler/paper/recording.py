"""
Prices from a recording of BitMEX's public websocket frames.

The file holds one JSON object a line: ``received_at`` (seconds since the epoch, UTC) and ``frame``
(as the venue sent it). The book of every listed symbol is rebuilt from ``orderBookL2`` (or, where
that is missing, from ``quote``) and quoted by the house; recorded trades come as house takers. At
its end the recording starts again. A tape (see `tape`) is a recording of its own market.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from . import tape
from .exchange import Exchange
from .market import BUY, SELL
from .prices import House
from .protocol import decode
from .times import Clock

PLAYED = ("orderBookL2", "quote", "trade")
DEPTH = 50  # recorded levels a side that the house quotes


@dataclass(frozen=True, slots=True)
class Frame:
    """One recorded table frame."""

    at_ms: int  # since the first frame
    table: str
    action: str
    rows: list[dict[str, object]]


class BadRecording(ValueError):
    """The file is not a recording, or holds no frame of a symbol that is listed here."""


class Recording:
    """The table frames of a file, in order."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.frames = list(frames)
        self.length_ms = self.frames[-1].at_ms if self.frames else 0

    @classmethod
    def load(cls, path: Path) -> Recording:
        """
        Read a recording.

        Raises:
            OSError: the file cannot be read.
            BadRecording: a line is not what it should be.
        """
        return cls.of_tape(path) if tape.is_tape(path) else cls.of_frames(path)

    @classmethod
    def of_tape(cls, path: Path) -> Recording:
        """The market of a tape: what its own sessions were sent."""
        frames: list[Frame] = []
        at_ms = own = 0
        entries = tape.read(path)
        try:
            opened = next(entries)["now_ms"]
            for entry in entries:
                now = entry.get("tick", entry.get("at"))
                at_ms = now if isinstance(now, int) else at_ms
                if "own" in entry:
                    own = -1  # the next session that is opened
                elif own == -1:
                    own = int(str(entry["open"]))
                mine = entry.get("to") == own and "frame" in entry
                frame = decode(str(entry["frame"])) if mine else None
                if isinstance(frame, dict) and frame.get("table") in PLAYED:
                    gone = at_ms - int(str(opened))
                    frames.append(Frame(gone, frame["table"], frame["action"], frame["data"]))
        except (tape.BadTape, KeyError) as problem:
            raise BadRecording(f"{path}: {problem}") from None
        if not frames:
            raise BadRecording(f"{path}: no frame of orderBookL2, quote or trade")
        return cls(frames)

    @classmethod
    def of_frames(cls, path: Path) -> Recording:
        """Frames by the time at which they were received."""
        frames: list[Frame] = []
        first: Decimal | None = None
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    entry = decode(line)
                except ValueError as problem:
                    raise BadRecording(f"{path}, line {number}: {problem}") from None
                if not isinstance(entry, dict) or not isinstance(entry.get("frame"), dict):
                    raise BadRecording(f"{path}, line {number}: no frame")
                at = Decimal(entry["received_at"])
                first = at if first is None else first
                frame = entry["frame"]
                if frame.get("table") in PLAYED:
                    frames.append(
                        Frame(
                            int((at - first) * 1000), frame["table"], frame["action"],
                            frame["data"],
                        )
                    )  # fmt: skip
        if not frames:
            raise BadRecording(f"{path}: no frame of orderBookL2, quote or trade")
        return cls(frames)


class Replay:
    """Plays a recording into an exchange."""

    def __init__(self, exchange: Exchange, recording: Recording, clock: Clock, now_ms: int) -> None:
        self.exchange = exchange
        self.recording = recording
        self._clock = clock
        seen = {str(row["symbol"]) for frame in recording.frames for row in frame.rows}
        self.symbols = frozenset(seen & set(exchange.catalogue))
        if not self.symbols:
            raise BadRecording("the recording has no symbol that is listed here")
        self._houses = {symbol: House(exchange, symbol) for symbol in self.symbols}
        self._deep = {
            str(row["symbol"])
            for frame in recording.frames
            if frame.table == "orderBookL2"
            for row in frame.rows
        }
        self._levels: dict[str, dict[object, tuple[int, int, int]]] = {}
        self._start_ms = clock.market_ms(now_ms)
        self._next = 0
        self.run(now_ms)

    def run(self, now_ms: int) -> None:
        """Play what is due."""
        frames = self.recording.frames
        dirty: dict[str, None] = {}  # an order that no hash seed decides
        played = self._clock.market_ms(now_ms) - self._start_ms
        while self._next < len(frames) and frames[self._next].at_ms <= played:
            self._play(frames[self._next], dirty, now_ms)
            self._next += 1
        for symbol in dirty:
            self._quote(symbol, now_ms)
        if self._next >= len(frames) and played > self.recording.length_ms + 1_000:
            self._start_ms, self._next = self._start_ms + played, 0

    def _play(self, frame: Frame, dirty: dict[str, None], now_ms: int) -> None:
        """Take in one frame; *dirty* are the symbols whose house has to quote anew."""
        renewed: set[str] = set()
        for row in frame.rows:
            symbol = str(row["symbol"])
            if symbol not in self.symbols:
                continue
            if frame.table == "trade":
                if frame.action == "insert":
                    if symbol in dirty:
                        del dirty[symbol]
                        self._quote(symbol, now_ms)
                    self._trade(symbol, row, now_ms)
                continue
            if frame.table == "quote" and symbol in self._deep:
                continue
            if frame.action == "partial" and symbol not in renewed:
                self._levels[symbol] = {}
                renewed.add(symbol)
            dirty[symbol] = None
            if frame.table == "quote":
                self._quote_row(symbol, row)
            else:
                self._book_row(symbol, frame.action, row)

    def _book_row(self, symbol: str, action: str, row: dict[str, object]) -> None:
        levels = self._levels.setdefault(symbol, {})
        key = row["id"]
        if action == "delete":
            levels.pop(key, None)
            return
        side = BUY if row["side"] == "Buy" else SELL
        known = levels.get(key)
        price = row.get("price")
        ticks = known[1] if known is not None else 0
        if isinstance(price, int | Decimal):
            ticks = self.exchange.catalogue[symbol].ticks(Decimal(price)) or 0
        if ticks:
            levels[key] = (side, ticks, self._contracts(symbol, row["size"]))

    def _quote_row(self, symbol: str, row: dict[str, object]) -> None:
        levels = self._levels[symbol] = {}
        for side, price, size in (
            (BUY, row.get("bidPrice"), row.get("bidSize")),
            (SELL, row.get("askPrice"), row.get("askSize")),
        ):
            if isinstance(price, int | Decimal):
                ticks = self.exchange.catalogue[symbol].ticks(Decimal(price))
                if ticks:
                    levels[side] = (side, ticks, self._contracts(symbol, size))

    def _trade(self, symbol: str, row: dict[str, object], now_ms: int) -> None:
        """
        A house taker trades what was traded, at its price.

        Orders came and went between two frames of the book, so the house makes way for the price
        first. A member's order that is better still trades before it, at its own price.
        """
        price = row.get("price")
        if not isinstance(price, int | Decimal):
            return
        ticks = self.exchange.catalogue[symbol].ticks(Decimal(price))
        side = BUY if row["side"] == "Buy" else SELL
        size = self._contracts(symbol, row["size"])
        if not ticks:
            return
        house = self._houses[symbol]
        for resting, at in list(house.orders):
            better = resting != side and side * (ticks - at) > 0
            if better or (resting == side and side * (at - ticks) >= 0):
                house.withdraw(resting, at)
        if self.exchange.markets[symbol].book.size(-side, ticks) < size:
            house.rest(-side, ticks, size, now_ms)
        self.exchange.house_take(symbol, side, size, ticks, now_ms)

    def _contracts(self, symbol: str, size: object) -> int:
        """A recorded size in whole lots of today's contract, at least one."""
        lot = self.exchange.catalogue[symbol].lot
        return max(1, (size if isinstance(size, int) else 0) // lot) * lot

    def _quote(self, symbol: str, now_ms: int) -> None:
        """Let the house quote the recorded levels nearest to the touch."""
        levels = self._levels.get(symbol, {}).values()
        house = self._houses[symbol]
        wanted: dict[tuple[int, int], int] = {}
        for side in (BUY, SELL):
            mine = sorted((s for s in levels if s[0] == side), key=lambda s: -side * s[1])
            wanted.update({(side, ticks): size for _, ticks, size in mine[:DEPTH]})
        book = self.exchange.markets[symbol].book
        for key, order_id in list(house.orders.items()):
            resting = book.get(order_id)
            if resting is not None and resting.leaves != wanted.get(key):
                book.remove(order_id)  # a recorded size changed: quoted anew
        house.quote(wanted, now_ms)
