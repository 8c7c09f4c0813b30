"""
Rows that follow from an event alone: one writer an event.

What the core makes of it (orders, fills, positions) is told by its facts: see `rows_of_facts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.journal.present import exact, pack

if TYPE_CHECKING:
    from reconciler.journal.rows import Rows

MINUTE_US: Final = 60_000_000

#: As ``requests.kind`` has it.
PLACE: Final = str(d.PlaceOrder.__struct_config__.tag)


def _started(rows: Rows, event: e.Started) -> None:
    run, in_doubt = rows.run, len(rows.now.live)
    rows.now.places.clear()  # whoever heard their answers is gone
    rows.add("runs_lost", rows.now.last_us, event.run_id)
    rows.add(
        "runs",
        *(rows.seq, event.run_id, event.epoch, event.mode, event.at_us),
        *(run.version, run.environment, run.host, run.recovered_events, in_doubt, None, None),
    )


def _stopping(rows: Rows, event: e.Stopping) -> None:
    rows.add("runs_reason", event.reason, rows.epoch)


def _target_set(rows: Rows, event: e.TargetSet) -> None:
    now = rows.symbol(event.symbol)
    rows.add(
        "targets",
        *(rows.seq, event.symbol, event.version, event.contracts, now.target or 0),
        *(event.policy, event.source, event.reason, event.key, event.at_us),
        *(event.expires_us, event.on_expiry, None, None, None),
        *(event.deadline_us, exact(event.price), event.asked or None, event.schedule or None),
    )
    for n, share in enumerate(event.shares):
        rows.add(
            "shares",
            *(rows.seq, n, event.symbol, event.version),
            *(share.strategy, share.contracts, share.signal, share.weight),
        )
    if event.version < now.version:
        return
    if event.contracts != now.target:
        rows.set_on_target(now, False)
    if now.target is None:
        now.counted_us = event.at_us
    now.target, now.version = event.contracts, event.version
    now.policy, now.source = event.policy, event.source


def _answered(rows: Rows, event: e.Answered) -> None:
    answer = (
        *(event.outcome.value, event.code, event.status, event.text),
        *(pack(event.venue_order_id), event.at_us),
    )
    place = rows.now.places.pop(event.request_id, None)
    if place is None:
        rows.add("requests_answered", *answer, event.request_id)
        return
    seq, at_us, epoch, name, symbol = place
    rows.add("requests", event.request_id, seq, at_us, epoch, PLACE, name, symbol, *answer)


def _adjusted(rows: Rows, event: e.Adjusted) -> None:
    rows.add(
        "adjustments",
        *(rows.seq, event.at_us, event.symbol, event.contracts, event.by, event.reason),
    )


def _target_refused(rows: Rows, event: e.TargetRefused) -> None:
    rows.add(
        "refusals",
        *(rows.seq, event.at_us, event.symbol, event.contracts, event.source, event.reason),
        *(event.key, event.code, event.text),
    )


def _signalled(rows: Rows, event: e.Signalled) -> None:
    rows.add(
        "signals",
        *(event.number, rows.seq, event.at_us, event.strategy, event.symbol),
        *(exact(event.strength), exact(event.price), event.reason),
    )


def _strategy_changed(rows: Rows, event: e.StrategyChanged) -> None:
    rows.add(
        "strategy_states",
        *(rows.seq, event.at_us, event.strategy, event.state, event.detail, event.parameters),
    )


def _schedule_set(rows: Rows, event: e.ScheduleSet) -> None:
    for n, row in enumerate(event.rows):
        rows.add(
            "schedules",
            *(rows.seq, n, event.name, row.due_us, row.symbol, row.contracts, row.policy),
            *(row.reason or event.reason, event.source),
        )
    if not event.rows:
        rows.add(
            "schedules",
            *(rows.seq, 0, event.name, None, "", None, "", event.reason, event.source),
        )


def _mode(rows: Rows, event: e.Halted | e.Resumed | e.ModeSet) -> None:
    mode = getattr(event, "mode", None)
    if mode is None:
        mode = "halt" if isinstance(event, e.Halted) else "resume"
    until_us = getattr(event, "until_us", None)
    for n, symbol in enumerate(event.symbols or ("",)):
        rows.add(
            "modes",
            *(rows.seq, n, event.at_us, mode or "resume", symbol),
            *(event.by, event.reason, until_us),
        )


def _margin_seen(rows: Rows, event: e.MarginSeen) -> None:
    when, wallet = rows.equity.get(event.currency, (-MINUTE_US, None))
    if wallet == event.wallet_minor and abs(event.at_us - when) < MINUTE_US:
        return
    rows.equity[event.currency] = event.at_us, event.wallet_minor
    rows.add(
        "equity",
        *(rows.seq, event.at_us, event.currency, event.wallet_minor),
        *(event.margin_minor, event.available_minor, event.unrealised_minor),
    )


def _instrument_seen(rows: Rows, event: e.InstrumentSeen) -> None:
    rows.add(
        "instruments",
        *(event.symbol, int(event.open), event.state, event.lot, exact(event.tick)),
        *(event.max_contracts, exact(event.max_price), int(event.inverse), int(event.quanto)),
        *(event.multiplier, event.settle_currency, event.quote_currency),
        *(exact(event.maker_fee), exact(event.taker_fee), event.at_us),
    )


def _quoted(rows: Rows, event: e.Quoted) -> None:
    if event.mark is not None:
        rows.symbol(event.symbol).mark_price = exact(event.mark)


def _position_seen(rows: Rows, event: e.PositionSeen) -> None:
    if event.entry_price is not None:
        rows.symbol(event.symbol).entry_price = exact(event.entry_price)


EVENTS: Final[dict[type[e.Event], Callable[[Rows, Any], None]]] = {
    e.Started: _started,
    e.Stopping: _stopping,
    e.TargetSet: _target_set,
    e.TargetRefused: _target_refused,
    e.Signalled: _signalled,
    e.StrategyChanged: _strategy_changed,
    e.ScheduleSet: _schedule_set,
    e.ModeSet: _mode,
    e.Halted: _mode,
    e.Resumed: _mode,
    e.Answered: _answered,
    e.Adjusted: _adjusted,
    e.MarginSeen: _margin_seen,
    e.InstrumentSeen: _instrument_seen,
    e.Quoted: _quoted,
    e.PositionSeen: _position_seen,
}
