"""
The host: strategies in a thread of their own, so that none can stop the trading loop.

    loop: offer(news) ─> Inbox ─> worker: Market, Runner, callbacks ─> on_signal, on_change
                                    watch: a callback that does not come back is given up

One worker runs all callbacks. One that takes longer than its strategy may is given up: the
strategy has failed, its worker is abandoned and a fresh one goes on with the others, from the very
next call. The abandoned thread is told to end by an error raised inside it, which ends endless
loops; one that is asleep in a system call sleeps on, and nobody listens to it any more.

Between loop and worker stands the `Inbox`: prices are conflated, so a slow strategy sees the newest
(and may see it before trades that came earlier); trades are not dropped, until there are more than
anybody could want. Then all is dropped, it is told, and the feed begins anew.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reconciler.core.decisions import FillShared
from reconciler.feed import Best, BookTop, Lost, Marked, News
from reconciler.strategy.failing import Stuck
from reconciler.strategy.instance import Call, Change, Outcome
from reconciler.strategy.market import Market
from reconciler.strategy.registry import Spec
from reconciler.strategy.runner import Runner
from reconciler.strategy.signals import Signal

MOST_WAITING = 200_000  # items: minutes of a very busy market
WATCH_EVERY_S = 0.1
CONFLATED = (Best, Marked, BookTop)

Command = Callable[[Runner], None]


class Inbox:
    """What waits for the worker, in its order; of each kind of price only the newest."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._items: deque[Any] = deque()
        self._newest: dict[tuple[type, str], Any] = {}
        self._filled = threading.Condition()
        self.overflows = 0

    def put(self, items: Iterable[News | FillShared | Command]) -> bool:
        """Hand over. False: it was too much, everything was dropped, and begins anew."""
        with self._filled:
            for item in items:
                if isinstance(item, CONFLATED):
                    key = (type(item), item.symbol)
                    waits = key in self._newest
                    self._newest[key] = _merged(self._newest.get(key), item)
                    if waits:
                        continue
                    self._items.append(key)
                else:
                    self._items.append(item)
            fits = len(self._items) <= self._most
            if not fits:
                self._drop()
            self._filled.notify()
        return fits

    def take(self, timeout_s: float) -> list[Any]:
        """All that waits, in its order; nothing if nothing comes in time."""
        with self._filled:
            if not self._items:
                self._filled.wait(timeout_s)
            taken = [
                self._newest.pop(item) if type(item) is tuple else item for item in self._items
            ]
            self._items.clear()
        return taken

    def _drop(self) -> None:
        """Forget the market; what people and the journal said is kept."""
        self.overflows += 1
        market = (tuple, *News.__args__)
        kept = [item for item in self._items if not isinstance(item, market)]
        self._items.clear()
        self._newest.clear()
        self._items.append(Lost("the strategies were too far behind"))
        self._items.extend(kept)


def _merged(before: Any, now: Any) -> Any:
    """The newest word on everything: a row of marks may speak of the index alone."""
    if before is None or not isinstance(now, Marked):
        return now
    said = {
        name: getattr(now, name) if getattr(now, name) is not None else getattr(before, name)
        for name in now.__struct_fields__
    }
    return Marked(**said)


class Worker(threading.Thread):
    """The thread that runs callbacks, until it is done or given up."""

    def __init__(self, host: Host) -> None:
        super().__init__(name="strategies", daemon=True)
        self._host = host
        self.call: Call | None = None  # what it is in the middle of
        self.since_s = 0.0

    def run(self) -> None:
        """Take, call, and look at the clock, as long as the host listens."""
        try:
            self._host.work(self)
        except Stuck:
            pass  # it was given up, and told so in the middle of nothing
        except BaseException as error:
            self._host.broke(self, error)

    def end(self) -> None:
        """Raise an error inside it: the only way to end a loop that never looks up."""
        if self.ident is not None and self.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self.ident), ctypes.py_object(Stuck)
            )


class Host:
    """
    Strategies, running.

    Args:
        specs: The instances that there are.
        market: A fresh one; it is touched by the worker alone.
        venue_us: The time by the venue's clock, for bars that close without a trade.
        on_signal: Told each new signal, in the worker: it must not block.
        on_change: The same, of what becomes of strategies.
        warn: Told what a strategy wants in the log: identifier and text.
        rejoin: Asked to begin the market data anew, after an overflow.
        on_crash: Told an error of our own in the worker: nothing runs any more.
        on_loaded, signals: As of `Runner`.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        market: Market,
        *,
        venue_us: Callable[[], int],
        on_signal: Callable[[Signal], None],
        on_change: Callable[[Change], None],
        warn: Callable[[str, str], None] = lambda *_: None,
        rejoin: Callable[[str], None] = lambda _: None,
        on_crash: Callable[[BaseException], None] = lambda _: None,
        on_loaded: Callable[[], None] = lambda: None,
        signals: Iterable[Signal] = (),
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._venue_us = venue_us
        self._rejoin = rejoin
        self._on_crash = on_crash
        self._inbox = Inbox(most_waiting)
        self._news: deque[Any] = deque()  # taken, and not yet given to the market
        self._lock = threading.Lock()  # who is the worker, and the end of its call
        self._over = threading.Event()
        self._worker: Worker | None = None
        self._given_up: list[Worker] = []
        self.runner = Runner(
            specs,
            market,
            on_signal=on_signal,
            on_change=on_change,
            warn=warn,
            on_loaded=on_loaded,
            signals=signals,
        )

    # -- for every thread

    def start(self, identifiers: Iterable[str]) -> None:
        """Begin, with these strategies."""
        chosen = list(identifiers)
        self._worker = Worker(self)
        for identifier in chosen:
            self.runner.start(identifier)
        self._worker.start()
        threading.Thread(target=self._watch, name="strategies-watch", daemon=True).start()

    def offer(self, news: Iterable[News]) -> None:
        """Hand over market data. Never blocks for long."""
        if not self._inbox.put(news):
            self._rejoin("the strategies were too far behind")

    def market_broke(self, error: BaseException) -> None:
        """The source of market data has ended for good: no strategy goes on without it."""
        self._inbox.put([lambda runner: runner.fail_all(error)])

    def fill(self, fill: FillShared) -> None:
        """Hand over a strategy's part of a fill."""
        self._inbox.put([fill])

    def later(self, command: Command) -> None:
        """Do something to the runner, between two calls; nobody waits for it."""
        self._inbox.put([command])

    def do(self, command: Command, timeout_s: float = 10) -> None:
        """
        Do something to the runner, between two calls, and wait until it is done.

        Raises:
            ReconcilerError: What the command raised.
            TimeoutError: A strategy holds the worker up.
        """
        done = threading.Event()
        raised: list[BaseException] = []

        def run(runner: Runner) -> None:
            try:
                command(runner)
            except BaseException as error:
                raised.append(error)
            done.set()

        self._inbox.put([run])
        if not done.wait(timeout_s):
            raise TimeoutError("the strategies' thread is busy")
        if raised:
            raise raised[0]

    def table(self) -> list[dict[str, Any]]:
        """Every instance, for people."""
        return self.runner.table()

    def health(self) -> dict[str, object]:
        """For people."""
        return {
            "given_up": sum(worker.is_alive() for worker in self._given_up),  # threads
            "overflows": self._inbox.overflows,
        }

    def stop(self, timeout_s: float = 2) -> None:
        """End the worker; what is under way is waited for, but not long."""
        self._over.set()
        self._inbox.put([lambda _: None])
        worker = self._worker
        if worker is not None and worker.is_alive() and worker is not threading.current_thread():
            worker.join(timeout_s)  # one that takes the place of another may not have begun yet
        with self._lock:
            self._worker = None
        for one in (worker, *self._given_up):
            if one is not None:
                one.end()

    # -- in the worker

    def work(self, me: Worker) -> None:
        """The worker's life: calls before news, so that each sees the market as it was then."""
        while self._worker is me and not self._over.is_set():
            call = self.runner.next_call()
            if call is None:
                self._take_news()
                continue
            with self._lock:
                if self._worker is not me:
                    return
                me.since_s = time.monotonic()
                me.call = call
            outcome = self.runner.carry_out(call)
            with self._lock:
                me.call = None
                if self._worker is not me:
                    return  # given up meanwhile: the watch finishes it, and nobody else
            self.runner.finish(call, outcome)

    def broke(self, worker: Worker, error: BaseException) -> None:
        """An error of our own: every strategy has failed, if it still matters."""
        if self._worker is worker:
            self._on_crash(error)
            self.runner.fail_all(error)

    def _take_news(self) -> None:
        """Give the market one piece of news, or, when there is none, the time."""
        if not self._news:
            now_us = self._venue_us()
            self.runner.advance(now_us)
            if self.runner.is_idle:  # else what time has brought comes first
                wait_us = self.runner.market.due_us - self._venue_us()
                self._news.extend(self._inbox.take(min(max(wait_us, 1_000), 1_000_000) / 1e6))
            return
        item = self._news.popleft()
        if callable(item):
            item(self.runner)
        elif isinstance(item, FillShared):
            self.runner.fill(item)
        else:
            self.runner.take(item)

    # -- in the watch

    def _watch(self) -> None:
        while not self._over.wait(WATCH_EVERY_S):
            for abandoned in self._given_up:
                abandoned.end()  # and again, until it is: it may have caught the first one
            self._given_up = [one for one in self._given_up if one.is_alive()]
            self._give_up_if_stuck()

    def _give_up_if_stuck(self) -> None:
        """Finish, in its place, the call of a worker that does not come back."""
        with self._lock:
            worker = self._worker
            call = worker.call if worker is not None else None
            if worker is None or call is None:
                return
            patience_s = call.instance.spec.patience_s
            if time.monotonic() - worker.since_s < patience_s:
                return
            fresh = self._worker = Worker(self)
            self._given_up = [*self._given_up, worker]
        where = _where(worker)
        stuck = Stuck(f"{call.name}: did not come back within {patience_s:g} s{where}")
        self.runner.finish(call, Outcome(stuck))
        fresh.start()


def _where(worker: Worker) -> str:
    """The line of the user's code that a thread is at."""
    import sys
    from pathlib import Path

    frame = sys._current_frames().get(worker.ident or 0)
    ours = str(Path(__file__).parent)
    while frame is not None and (
        frame.f_code.co_filename.startswith(ours + "/runner.py")
        or "/threading.py" in frame.f_code.co_filename
    ):
        frame = frame.f_back
    if frame is None:
        return ""
    return f" ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
