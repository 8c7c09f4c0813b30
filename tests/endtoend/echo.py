"""A venue in memory that does at once, and tells at once, what it is asked: for long journals."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from itertools import count

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.settings import Limits, Settings
from reconciler.venue import Venue

SYMBOLS = ("XBTUSD", "ETHUSD")
START_US = 1_790_000_000_000_000


class EchoVenue(Venue):
    """Fills every order in *pieces* executions, each told by a row of each table."""

    def __init__(self, pieces: int = 3) -> None:
        self.now_us = START_US
        self.pieces = pieces
        self.positions = dict.fromkeys(SYMBOLS, 0)
        self._ids = count(1)

    def settings(self) -> Settings:
        """Limits that are not in the way."""
        wide = Limits(
            max_position_contracts=10**9, max_order_contracts=10**9, max_orders_per_minute=10**6
        )
        return Settings(symbols=SYMBOLS, limits=wide)

    def opening(self) -> list[e.AnyEvent]:
        """What a fresh connection tells."""
        rows: list[e.AnyEvent] = [
            e.Started(
                at_us=self.now_us,
                run_id="run",
                epoch=1,
                id_family="rc-",
                id_install="rc-test-",
                id_stem="rc-test-1-",
            ),
            e.Configured(at_us=self.now_us, settings=self.settings()),
            e.ClockMeasured(at_us=self.now_us, offset_us=0, error_us=1000),
        ]
        for symbol in SYMBOLS:
            rows += [self.instrument(symbol), self.position(symbol)]
        return [*rows, self.synced()]

    def instrument(self, symbol: str) -> e.InstrumentSeen:
        return e.InstrumentSeen(
            at_us=self.now_us,
            symbol=symbol,
            open=True,
            state="Open",
            lot=1,
            tick=Decimal("0.5"),
            max_contracts=None,
            max_price=None,
            inverse=False,
            quanto=False,
            multiplier=1,
            settle_currency="USDt",
            quote_currency="USDT",
            maker_fee=Decimal("0.0005"),
            taker_fee=Decimal("0.0005"),
        )

    def position(self, symbol: str) -> e.PositionSeen:
        return e.PositionSeen(
            at_us=self.now_us,
            symbol=symbol,
            contracts=self.positions[symbol],
            source=e.Source.STREAM,
            venue_us=self.now_us,
        )

    def synced(self) -> e.Synced:
        return e.Synced(at_us=self.now_us, watermark_us=self.now_us - 2_000_000, open_order_ids=())

    def start(self, watermark_us: int) -> None:
        """Always connected."""

    def tick(self, now_us: int) -> Iterable[e.AnyEvent]:
        return ()

    def quote(self, symbol: str) -> e.Quoted:
        price = Decimal(100)
        return e.Quoted(
            at_us=self.now_us, symbol=symbol, bid=price, ask=price + Decimal("0.5"), mark=price
        )

    def withdraw(self) -> None:
        """Nothing waits: everything was done at once."""

    def health(self) -> dict[str, object]:
        return {}

    def close(self, timeout_s: float) -> None:
        """Nothing is held."""

    def send(self, decision: d.AnyDecision) -> Iterable[e.AnyEvent]:
        if isinstance(decision, d.Resync):
            return [self.position(symbol) for symbol in SYMBOLS] + [self.synced()]
        assert isinstance(decision, d.PlaceOrder), decision
        side = 1 if decision.contracts > 0 else -1
        left = abs(decision.contracts)
        rows: list[e.AnyEvent] = [self._order(decision, 0, e.OrderStatus.NEW, e.Source.REPLY)]
        rows.append(
            e.Answered(at_us=self.now_us, request_id=decision.request_id, outcome=e.Outcome.DONE)
        )
        filled = 0
        for piece in range(self.pieces, 0, -1):
            size = left if piece == 1 else left // piece
            if not size:
                continue
            left, filled = left - size, filled + size
            self.positions[decision.symbol] += side * size
            status = e.OrderStatus.PARTLY_FILLED if left else e.OrderStatus.FILLED
            rows.append(self._execution(decision, side * size, filled))
            rows.append(self._order(decision, filled, status, e.Source.STREAM))
        return [*rows, self.position(decision.symbol)]

    def _order(
        self, of: d.PlaceOrder, filled: int, status: e.OrderStatus, source: e.Source
    ) -> e.OrderSeen:
        return e.OrderSeen(
            at_us=self.now_us,
            symbol=of.symbol,
            order_id=f"v-{of.cl_ord_id}",
            cl_ord_id=of.cl_ord_id,
            contracts=of.contracts,
            filled=filled,
            leaves=0 if status in e.OVER else abs(of.contracts) - filled,
            price=of.price,
            status=status,
            source=source,
            venue_us=self.now_us,
        )

    def _execution(self, of: d.PlaceOrder, contracts: int, filled: int) -> e.ExecutionSeen:
        return e.ExecutionSeen(
            at_us=self.now_us,
            exec_id=f"{next(self._ids):032x}",
            symbol=of.symbol,
            order_id=f"v-{of.cl_ord_id}",
            cl_ord_id=of.cl_ord_id,
            type=e.ExecutionKind.TRADE,
            contracts=contracts,
            price=of.price,
            order_filled=filled,
            fee_minor=abs(contracts),
            cost_minor=contracts * 100,
            currency="USDt",
            liquidity="maker",
            source=e.Source.STREAM,
            venue_us=self.now_us,
        )
