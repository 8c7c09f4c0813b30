"""
Rows that follow from what the core made of an event: one writer a fact, and one for a new order.

Intents, transitions, fills, their shares, cash and positions are compared by the replay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from reconciler.core import decisions as d
from reconciler.core.portfolio.costs import Cost, count
from reconciler.journal.present import LIVE, SymbolNow, exact, pack

if TYPE_CHECKING:
    from reconciler.journal.rows import Rows

ENDED_FROM: Final = 1_000_000  # as ``modes.n`` has it

#: As ``fills.maker`` has it.
MAKER: Final = {"maker": 1, "taker": 0}


def place(rows: Rows, order: d.PlaceOrder) -> None:
    """A new order: its intent, which the replay compares, and its first row."""
    rows.add(
        "intents",
        *(order.cl_ord_id, rows.seq, rows.n, order.request_id, rows.at_us, rows.epoch),
        *(order.symbol, order.contracts, exact(order.price)),
        *(int(order.post_only), int(order.reduce_only), int(order.immediate)),
        *(order.expires_us, order.deadline_us, order.target_version, order.instrument_version),
        *(order.position, exact(order.bid), exact(order.ask), exact(order.mark)),
        *(order.policy, order.reason, order.stage or None, order.policy_version or None),
    )
    rows.order(
        *(order.cl_ord_id, order.symbol, 1, "intended", "", ""),
        *(order.contracts, exact(order.price), 0, 0, "", order.target_version),
        *(rows.at_us, None, None, rows.at_us, rows.seq),
    )
    rows.now.live[order.symbol] = order.cl_ord_id
    rows.now.contracts[order.cl_ord_id] = order.contracts
    rows.now.places[order.request_id] = (
        *(rows.seq, rows.at_us, rows.epoch, order.cl_ord_id, order.symbol),
    )
    now = rows.symbol(order.symbol)
    now.working = f"{abs(order.contracts)} @ {exact(order.price)}"
    if order.mark is not None:
        now.mark_price = exact(order.mark)


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
        rows.count_time(now)
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
