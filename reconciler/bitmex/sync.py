"""
The full resync: what the stream cannot tell, because it happened while nobody listened.

Executions from before the watermark, then open orders, positions and trading rules, read by REST
while the stream goes on. The rows and the `Synced` that ends them are handed over together; a
result that comes after the connection was lost is thrown away whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from reconciler.core.events import Answered, AnyEvent, Outcome, Synced
from reconciler.errors import ProtocolError
from reconciler.venue import Host

from .answers import Failure
from .rest import Found, Reader, ReadFailed
from .rows import Row
from .tables import LAG_US, Accounts

OVERLAP_US = 60_000_000  # read again before the watermark
AGAIN_MAX_US = 15_000_000


@dataclass(slots=True, kw_only=True)
class _Result:
    executions: list[AnyEvent]
    orders: Found
    positions: list[AnyEvent]
    instruments: Sequence[Row] = ()


class Sync:
    """The resyncs of one gateway. In the loop, but for `_read`."""

    def __init__(
        self,
        reader: Reader,
        host: Host,
        accounts: Accounts,
        symbols: tuple[str, ...],
        surely_us: Callable[[int], int | None],
        finished: Callable[[], bool],
    ) -> None:
        self._reader = reader
        self._host = host
        self._accounts = accounts
        self._symbols = symbols
        self._surely_us = surely_us
        self._finished = finished
        self._random = random.Random()
        self._generation = 0
        self._reading = False
        self._again = False
        self._failures = 0
        self._due_us: int | None = None
        self._asked: list[int] = []  # requests for a resync that wait for the next one
        self.watermark_us = 0
        self.error = ""  # why the last one failed

    @property
    def busy(self) -> bool:
        """Whether it reads, or waits to begin again."""
        return self._reading or self._due_us is not None

    def ask(self, request_id: int) -> None:
        """A request for a resync: the next whole one answers it."""
        self._asked.append(request_id)

    def abandon(self) -> None:
        """The connection is lost: whatever is being read is useless."""
        self._generation += 1
        self._reading = self._again = False
        self._due_us = None

    def begin(self, now_us: int) -> None:
        """Read all, in the reader thread; once more if it is reading already."""
        self._due_us = None
        if self._reading:
            self._again = True
            return
        self._reading, self._again = True, False
        since_us = (self.watermark_us or self._surely_us(now_us) or now_us) - OVERLAP_US
        asked, self._asked = self._asked, []
        unruled = not all(map(self._accounts.knows_rules, self._symbols))
        account = self._accounts.account
        generation = self._generation

        def task() -> None:
            self._read(generation, since_us, now_us, asked, unruled, account)

        self._reader.ask(task)

    def tick(self, now_us: int) -> None:
        """Begin again after a failure, when it is time."""
        if self._due_us is not None and now_us >= self._due_us:
            self.begin(now_us)

    def _read(
        self,
        generation: int,
        since_us: int,
        began_us: int,
        asked: list[int],
        unruled: bool,
        account: int | None,
    ) -> None:
        def wanted() -> bool:
            return self._generation == generation

        reader = self._reader
        try:
            result = _Result(
                executions=reader.executions_since(since_us, account, wanted),
                orders=reader.open_orders(account, wanted),
                positions=reader.positions(self._symbols, account, wanted),
            )
        except (ReadFailed, ProtocolError) as error:
            self._host.call_soon(partial(self._failed, generation, asked, error))
            return
        try:
            result.instruments = reader.instruments(self._symbols, wanted)
        except (ReadFailed, ProtocolError) as error:
            if unruled:  # nothing can be traded before they were seen once
                self._host.call_soon(partial(self._failed, generation, asked, error))
                return
        self._host.call_soon(partial(self._done, generation, asked, result, since_us, began_us))

    def _failed(
        self, generation: int, asked: list[int], error: ReadFailed | ProtocolError
    ) -> list[AnyEvent]:
        self._asked = asked + self._asked
        if generation == self._generation:
            self._reading = False
            self._failures += 1
            self.error = _said(error)
            most = min(500_000 * 2 ** min(self._failures, 8), AGAIN_MAX_US)
            self._due_us = self._host.now_us() + self._random.randint(most // 2, most)
        return []

    def _done(
        self,
        generation: int,
        asked: list[int],
        result: _Result,
        since_us: int,
        began_us: int,
    ) -> list[AnyEvent]:
        if generation != self._generation:
            self._asked = asked + self._asked
            return []
        self._reading = False
        self._failures, self.error = 0, ""
        now_us = self._host.now_us()
        # By the clock as the answers have shown it: at the beginning it may not have been known.
        # Never by a guess: a watermark that is late hides what was traded before it, for good.
        surely_us = self._surely_us(began_us)
        if not self.watermark_us and surely_us is not None and since_us > surely_us - LAG_US:
            self._asked = asked + self._asked
            self.begin(now_us)  # our clock is fast, and nothing of the last minute was read
            return []
        events: list[AnyEvent] = []
        for row in result.instruments:
            if (rules := self._accounts.read_rules(row, began_us, now_us)) is not None:
                events.append(rules)
        events.extend(stamped(result.executions, now_us))
        events.extend(stamped(result.orders.events, now_us))
        events.extend(stamped(result.positions, now_us))
        if not self._finished():
            return events  # true as they are, but not the end of a resync
        if surely_us is not None:
            self.watermark_us = max(self.watermark_us, surely_us - LAG_US)
        events.append(
            Synced(
                at_us=now_us,
                watermark_us=self.watermark_us,
                open_order_ids=tuple(result.orders.open_order_ids),
            )
        )
        events.extend(
            Answered(at_us=now_us, request_id=request_id, outcome=Outcome.DONE)
            for request_id in asked
        )
        if self._again or self._asked:
            self.begin(now_us)
        return events


def stamped(events: Iterable[AnyEvent], now_us: int) -> list[AnyEvent]:
    """Events that another thread made, as of the moment when they reach the loop."""
    return [msgspec.structs.replace(event, at_us=now_us) for event in events]


def _said(error: ReadFailed | ProtocolError) -> str:
    if isinstance(error, ProtocolError):
        return error.message
    answer = error.answer
    return answer.code if isinstance(answer, Failure) else f"http_{answer.status}"
