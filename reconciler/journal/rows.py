"""
From events, decisions and facts to rows.

The store writes what this makes and the replay compares with it, so each kind of fact has exactly
one writer: a line in `FACTS`, or in `EVENTS` for what follows from the event alone. A fact of a
kind that is not in the table is an error, never a silence.

`Rows` knows the present of each symbol, because some rows are the newest state of something. It
is a pure function of what it was given: the same steps, in one batch or in many, make the same
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from reconciler.core import decisions as d
from reconciler.core import events as e
from reconciler.core.costs import Cost, count
from reconciler.journal.present import LIVE, Present, Run, SymbolNow, exact, pack, values_of

Values = tuple[Any, ...]
DAY_US: Final = 86_400_000_000
HOUR_US: Final = 3_600_000_000
MINUTE_US: Final = 60_000_000
ENDED_FROM: Final = 1_000_000  # as ``modes.n`` has it

#: As ``requests.kind`` has it.
PLACE: Final = str(d.PlaceOrder.__struct_config__.tag)

#: As ``fills.maker`` has it.
MAKER: Final = {"maker": 1, "taker": 0}


class Rows:
    """
    Collects rows, by statement (see `statements.HOT`), until `drain`.

    Args:
        present: The state after everything that is stored; changed in place.
        run: For the row of the run that is about to start.
    """

    def __init__(self, present: Present, run: Run) -> None:
        self.now = present
        self.run = run
        self.out: dict[str, list[Values]] = {}
        self.seq = self.n = self.at_us = self.epoch = 0
        self._dirty: set[str] = set()
        self._orders: dict[str, Values] = {}  # their newest rows, by client order id
        self._daily: dict[tuple[int, str, str], list[int]] = {}
        self._on_target: dict[tuple[int, str], list[int]] = {}
        self._equity: dict[str, tuple[int, int]] = {}  # currency -> when, wallet
        self._hour = present.last_us // HOUR_US

    def take(
        self,
        seq: int,
        epoch: int,
        event: e.AnyEvent,
        decisions: Sequence[d.AnyDecision],
        facts: Sequence[d.AnyFact],
    ) -> None:
        """
        Make the rows of one step.

        Raises:
            TypeError: A fact has a type that no line of `FACTS` knows.
        """
        self.seq, self.epoch, self.at_us, self.n = seq, epoch, event.at_us, 0
        if writer := EVENTS.get(type(event)):
            writer(self, event)
        for fact in facts:  # before the decisions: what ends an intent makes room for the next
            self.n += 1
            try:
                FACTS[type(fact)](self, fact)
            except KeyError:
                if type(fact) in FACTS:
                    raise
                raise TypeError(f"no table is named for facts of type {type(fact)!r}") from None
        for decision in decisions:
            self._decided(decision)
        self.now.last_us = event.at_us
        if event.at_us // HOUR_US != self._hour:
            self._hour = event.at_us // HOUR_US
            for symbol in self.now.symbols.values():
                self._count_time(symbol)

    def drain(self) -> dict[str, list[Values]]:
        """Every row since the last time, by statement; the caller may keep the lists."""
        out, self.out = self.out, {}
        if self._dirty:
            out["symbol_now"] = [values_of(self.now.symbols[name]) for name in sorted(self._dirty)]
            self._dirty.clear()
        if self._orders:  # those that live last: those that ended make room for them
            out["orders"] = sorted(self._orders.values(), key=lambda row: row[2] is not None)
            self._orders.clear()
        if self._daily:
            out["daily"] = [(*key, *sums) for key, sums in self._daily.items()]
            self._daily.clear()
        if self._on_target:
            out["on_target"] = [(*key, *sums) for key, sums in self._on_target.items()]
            self._on_target.clear()
        return out

    # Helpers of the writers below.

    def add(self, statement: str, *values: Any) -> None:
        rows = self.out.get(statement)
        if rows is None:
            rows = self.out[statement] = []
        rows.append(values)

    def order(self, *row: Any) -> None:
        """A row of ``orders``; over an older one of this batch as `statements` writes it over."""
        old = self._orders.get(row[0])
        if old is not None:
            name, symbol, live, status, venue_status, order_id, *_ = row
            contracts, price, filled, booked, evidence, version, _, acked, *rest = row[6:]
            row = (
                *(name, symbol, live, status, venue_status, order_id),
                *(contracts if old[6] is None else old[6], old[7] if price is None else price),
                *(filled, booked, evidence, version if old[11] is None else old[11]),
                *(old[12], acked if old[13] is None else old[13], *rest),
            )
        self._orders[row[0]] = row

    def symbol(self, name: str) -> SymbolNow:
        """The present of a symbol, about to be changed."""
        found = self.now.symbols.get(name)
        if found is None:
            found = SymbolNow(name, state_since_us=self.at_us, counted_us=self.at_us)
            self.now.symbols[name] = found
        found.updated_us = self.at_us
        self._dirty.add(name)
        return found

    def set_on_target(self, now: SymbolNow, on_target: bool) -> None:
        if bool(now.on_target) is not on_target:
            self._count_time(now)
            now.on_target = int(on_target)

    def _count_time(self, now: SymbolNow) -> None:
        """Add the time since it was last counted to the days that it fell on."""
        start, now.counted_us = now.counted_us, max(now.counted_us, self.at_us)
        self._dirty.add(now.symbol)
        if now.target is None:
            return
        while start < now.counted_us:
            until = min(now.counted_us, (start // DAY_US + 1) * DAY_US)
            sums = self._on_target.setdefault((start // DAY_US, now.symbol), [0, 0])
            sums[0 if now.on_target else 1] += until - start
            start = until

    def count_day(self, at_us: int, symbol: str, currency: str, *sums: int) -> None:
        day = self._daily.setdefault((at_us // DAY_US, symbol, currency), [0] * 7)
        for place, amount in enumerate(sums):
            day[place] += amount

    def _decided(self, decision: d.AnyDecision) -> None:
        if isinstance(decision, d.PlaceOrder):  # its intent says that it was asked for
            self.n += 1
            _place(self, decision)
            return
        name, symbol = getattr(decision, "cl_ord_id", ""), getattr(decision, "symbol", "")
        self.add(
            "requests",
            *(decision.request_id, self.seq, self.at_us, self.epoch),
            *(decision.__struct_config__.tag, name, symbol),
            *(None, None, None, None, None, None),
        )


# One writer an event: rows that follow from the event alone.


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
    when, wallet = rows._equity.get(event.currency, (-MINUTE_US, None))
    if wallet == event.wallet_minor and abs(event.at_us - when) < MINUTE_US:
        return
    rows._equity[event.currency] = event.at_us, event.wallet_minor
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


# One writer a fact. Transitions, fills, cash and positions are compared by the replay.


def _place(rows: Rows, place: d.PlaceOrder) -> None:
    rows.add(
        "intents",
        *(place.cl_ord_id, rows.seq, rows.n, place.request_id, rows.at_us, rows.epoch),
        *(place.symbol, place.contracts, exact(place.price)),
        *(int(place.post_only), int(place.reduce_only), int(place.immediate)),
        *(place.expires_us, place.deadline_us, place.target_version, place.instrument_version),
        *(place.position, exact(place.bid), exact(place.ask), exact(place.mark)),
        *(place.policy, place.reason, place.stage or None, place.policy_version or None),
    )
    rows.order(
        *(place.cl_ord_id, place.symbol, 1, "intended", "", ""),
        *(place.contracts, exact(place.price), 0, 0, "", place.target_version),
        *(rows.at_us, None, None, rows.at_us, rows.seq),
    )
    rows.now.live[place.symbol] = place.cl_ord_id
    rows.now.contracts[place.cl_ord_id] = place.contracts
    rows.now.places[place.request_id] = (
        *(rows.seq, rows.at_us, rows.epoch, place.cl_ord_id, place.symbol),
    )
    now = rows.symbol(place.symbol)
    now.working = f"{abs(place.contracts)} @ {exact(place.price)}"
    if place.mark is not None:
        now.mark_price = exact(place.mark)


def _order_changed(rows: Rows, fact: d.OrderChanged) -> None:
    name, symbol, live = fact.cl_ord_id, fact.symbol, fact.status in LIVE
    counted = rows.now.live.get(symbol)
    if live and counted is None:
        rows.now.live[symbol] = counted = name
    elif not live and counted == name:
        del rows.now.live[symbol]
    # A second live order beside the counted one (a zombie) is stored, and never counted as live:
    # the index guards against intents of ours, not against what a venue may do.
    seen = rows.at_us if fact.venue_order_id or fact.venue_status else None
    ended = rows.at_us if fact.status in {"closed", "refused", "void"} else None
    rows.order(
        *(name, symbol, 1 if live and counted == name else None, fact.status),
        *(fact.venue_status, pack(fact.venue_order_id), None, exact(fact.price)),
        *(fact.filled, fact.booked, fact.evidence, None),
        *(rows.at_us, seen, ended, rows.at_us, rows.seq),
    )
    now = rows.symbol(symbol)
    contracts = rows.now.contracts.get(name)
    if not live:
        rows.now.contracts.pop(name, None)
        now.working = ""
    elif fact.status == "in_doubt":
        now.working = "1 in doubt"
    else:
        left = "1 order" if contracts is None else str(abs(contracts) - fact.filled)
        now.working = left if fact.price is None else f"{left} @ {exact(fact.price)}"


def _transition(rows: Rows, fact: d.Transition) -> None:
    rows.add(
        "transitions",
        *(rows.seq, rows.n, rows.at_us, fact.symbol, fact.trigger, fact.from_state),
        *(fact.to_state, fact.cl_ord_id, fact.target_version, fact.dwell_us, fact.detail),
    )
    now = rows.symbol(fact.symbol)
    if fact.to_state != now.state:
        now.state, now.state_since_us = fact.to_state, rows.at_us


def _fill_booked(rows: Rows, fact: d.FillBooked) -> None:
    now = rows.symbol(fact.symbol)
    known = Cost(now.cost_contracts, now.cost_minor)
    before = fact.position - fact.contracts
    (now.cost_contracts, now.cost_minor), realised = count(
        known, before, fact.contracts, fact.cost_minor
    )
    order_id = pack(fact.order_id)
    of = (fact.symbol, order_id, fact.cl_ord_id, fact.target_version, fact.currency)
    if (found := rows.out.get("venue_orders")) is None or found[-1] != of:  # once a run of fills
        rows.add("venue_orders", *of)
    rows.add(
        "fills",
        *(rows.seq, rows.n, fact.symbol, pack(fact.exec_id), fact.cl_ord_id),
        *(fact.target_version, None if fact.type == "trade" else fact.type, fact.contracts),
        *(exact(fact.price), fact.fee_minor, fact.cost_minor, realised, fact.currency),
        *(MAKER.get(fact.liquidity), fact.venue_us, fact.position),
        *(fact.symbol, order_id),
    )
    size = abs(fact.contracts)
    maker = size if fact.liquidity == "maker" else 0
    rows.count_day(
        *(fact.venue_us, fact.symbol, fact.currency),
        *(1, size, maker, fact.contracts, fact.fee_minor, 0, realised),
    )
    _at_position(rows, now, fact.position)


def _fill_shared(rows: Rows, fact: d.FillShared) -> None:
    rows.add(
        "fill_shares",
        *(rows.seq, rows.n, rows.at_us, fact.symbol, pack(fact.exec_id), fact.strategy),
        *(fact.contracts, exact(fact.price), fact.cost_minor, fact.fee_minor),
        *(fact.realised_minor, fact.currency, fact.position),
    )


def _cash_booked(rows: Rows, fact: d.CashBooked) -> None:
    rows.add(
        "cash",
        *(rows.seq, rows.n, rows.at_us, fact.symbol, pack(fact.exec_id), fact.contracts),
        *(exact(fact.price), fact.fee_minor, fact.currency, fact.venue_us),
    )
    rows.count_day(fact.venue_us, fact.symbol, fact.currency, 0, 0, 0, 0, 0, fact.fee_minor, 0)


def _position_moved(rows: Rows, fact: d.PositionMoved) -> None:
    now = rows.symbol(fact.symbol)
    if fact.contracts != now.position or fact.anchor != now.anchor:  # else fills have told it
        rows.add(
            "positions",
            *(rows.seq, rows.n, rows.at_us, fact.symbol, fact.contracts, fact.venue_contracts),
            fact.anchor,
        )
        now.anchor = fact.anchor
    now.venue_position = fact.venue_contracts
    now.worst_short, now.worst_long = fact.worst_short, fact.worst_long
    _at_position(rows, now, fact.contracts)


def _at_position(rows: Rows, now: SymbolNow, position: int) -> None:
    if position != now.position:
        now.position = position
        rows.set_on_target(now, False)  # until the core says again that it is held


def _target_held(rows: Rows, fact: d.TargetHeld) -> None:
    rows.add("targets_held", rows.at_us, fact.symbol, fact.version)
    now = rows.symbol(fact.symbol)
    if fact.version == now.version:
        rows.set_on_target(now, True)


def _target_closed(rows: Rows, fact: d.TargetClosed) -> None:
    rows.add("targets_closed", rows.at_us, fact.outcome, fact.symbol, fact.version)
    now = rows.symbol(fact.symbol)
    if fact.version == now.version and fact.outcome == "expired":
        rows.set_on_target(now, False)
        rows._count_time(now)
        now.target = fact.now


def _waiting_for(rows: Rows, fact: d.WaitingFor) -> None:
    rows.symbol(fact.symbol).waiting_for = fact.what


def _mode_ended(rows: Rows, fact: d.ModeEnded) -> None:
    rows.add(
        "modes",  # after those of the event, whose numbers begin at 0
        *(rows.seq, ENDED_FROM + rows.n, rows.at_us, "resume", fact.symbol),
        *("core", f"{fact.mode} had its time: {fact.why}", None),
    )


def _incident_opened(rows: Rows, fact: d.IncidentOpened) -> None:
    rows.add(
        "incidents",
        *(fact.incident_id, rows.seq, rows.at_us, fact.severity, fact.type),
        *(fact.symbol, fact.summary, None, None, None),
    )


def _incident_closed(rows: Rows, fact: d.IncidentClosed) -> None:
    rows.add("incidents_closed", rows.at_us, fact.decision, fact.by, fact.incident_id)


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

FACTS: Final[dict[type[d.Fact], Callable[[Rows, Any], None]]] = {
    d.Transition: _transition,
    d.FillBooked: _fill_booked,
    d.FillShared: _fill_shared,
    d.CashBooked: _cash_booked,
    d.OrderChanged: _order_changed,
    d.PositionMoved: _position_moved,
    d.TargetClosed: _target_closed,
    d.TargetHeld: _target_held,
    d.WaitingFor: _waiting_for,
    d.ModeEnded: _mode_ended,
    d.IncidentOpened: _incident_opened,
    d.IncidentClosed: _incident_closed,
}
