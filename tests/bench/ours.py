"""
Our contestant: the real service, journal and gateway, in a process of its own, without the API.

    python -m tests.bench.ours PORT DATABASE DURABILITY TARGET SLICE [STAGES]

Differs from `reconciler run` in this: settings come from here and not from a file; limits are so
wide that they never bind; no order is ever hurried; and a price is asked for anew for each order
(``quote_fresh_us`` is 0), because orders that follow one another within 0.2 s, as here, would
otherwise share one. With port 0 there is no venue: the target is written down, and the process
ends. With STAGES, a file, the moments between the parts of the path are noted and written there at
the end; that takes a few microseconds, so such a run counts for its stages and for nothing else.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from reconciler import logs
from reconciler.bitmex import BitmexConfig, BitmexGateway
from reconciler.core.settings import Limits, Policy, Settings, Timing
from reconciler.service.door import TargetRequest
from reconciler.service.options import Options
from reconciler.service.service import Service
from reconciler.venue import Host

SYMBOL = "XBTUSD"
WIDE = 2**40


def main(
    port: int, database: Path, durability: str, target: int, slice_: int, stages: Path | None
) -> None:
    """Hold *target*, in orders of at most *slice_*, until told to stop."""
    options = Options(
        database=database,
        durability=durability,
        settings=Settings(
            symbols=(SYMBOL,),
            limits=Limits(
                max_position_contracts=WIDE,
                max_order_contracts=slice_,
                max_orders_per_minute=WIDE,
            ),
            policies={"passive": Policy(escalate_after_us=0)},
            timing=Timing(quote_fresh_us=0),
        ),
    )
    database.parent.mkdir(exist_ok=True)
    log = database.with_suffix(".log").open("a")
    clock = Clock() if stages is not None else None

    def make_venue(host: Host, service: Service) -> BitmexGateway:
        engine: Any = service._engine
        gateway = BitmexGateway(
            BitmexConfig(
                base_url=f"http://127.0.0.1:{port}",
                api_key="bench",
                api_secret="bench-secret",
                symbols=(SYMBOL,),
            ),
            host,
        )
        gateway.on_quote = engine.quote_changed
        gateway.on_crash = service.loop.crash
        if clock is not None:
            clock.watch(host, engine, gateway)
        return gateway

    service = Service(
        options, make_venue if port else None, say=logs.configure(stream=log, form="json")
    )

    def ask() -> None:
        service.ready.wait()
        service.set_target(TargetRequest(symbol=SYMBOL, contracts=target, source="bench"))
        if not port:
            service.stop("the target is in the journal")

    threading.Thread(target=ask, daemon=True).start()
    service.run()
    if clock is not None and stages is not None:
        stages.write_text(json.dumps(clock.rounds))


class Clock:
    """
    The moments of one turn of the loop: awake, decoded, stepped, recorded.

    Kept for turns that wrote an order, by its client order id. The venue may have read an order
    before our write of it returns, so the moment after that is not among them.
    """

    def __init__(self) -> None:
        self.rounds: dict[str, list[int]] = {}
        self._at = [0] * 4

    def watch(self, host: Any, engine: Any, gateway: Any) -> None:
        """Stand between the parts."""
        selector = host._selector
        select, add_reader = selector.select, host.add_reader
        step_all, record, send = engine._step_all, engine.journal.record, gateway.send
        at = self._at

        def selected(timeout: float | None = None) -> Any:
            ready = select(timeout)
            at[0] = time.monotonic_ns()
            return ready

        def reading(fileno: int, read: Callable[[], Iterable[Any]]) -> None:
            def timed() -> Iterable[Any]:
                events = read()
                at[1] = time.monotonic_ns()
                return events

            add_reader(fileno, timed)

        def stepped(pending: Any) -> Any:
            steps = step_all(pending)
            at[2] = time.monotonic_ns()
            return steps

        def recorded(steps: Any) -> Any:
            seq = record(steps)
            at[3] = time.monotonic_ns()
            return seq

        def sent(decision: Any) -> Any:
            if hasattr(decision, "deadline_us"):
                self.rounds[decision.cl_ord_id] = at[:]
            return send(decision)

        selector.select = selected
        host.add_reader = reading
        engine._step_all = stepped
        engine.journal.record = recorded
        gateway.send = sent


if __name__ == "__main__":
    words = sys.argv[1:]
    main(
        int(words[0]),
        Path(words[1]),
        words[2],
        int(words[3]),
        int(words[4]),
        Path(words[5]) if len(words) > 5 else None,
    )
