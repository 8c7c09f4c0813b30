"""Look: `status`, `get`, `history`. They only read, and never create, migrate or lock anything."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli import output, parse
from reconciler.cli.app import Ask, command
from reconciler.cli.output import Listing
from reconciler.errors import InDoubt, NotFound, Unreachable, UsageError

if TYPE_CHECKING:
    from reconciler.journal import History

KINDS: dict[str, Listing] = {
    "targets": Listing(
        "v_targets",
        ("set_at", "symbol", "contracts", "change", "version", "outcome", "expires_at", "source",
         "reason"),
        "target_id", "target",
    ),
    "positions": Listing(
        "v_status",
        ("symbol", "position", "entry_price", "mark_price", "worst_short", "worst_long",
         "updated_at"),
        "symbol", "position",
    ),
    "orders": Listing(
        "v_orders",
        ("created_at", "cl_ord_id", "symbol", "side", "contracts", "price", "order_type", "status",
         "filled_contracts", "ack_ms", "life_ms"),
        "cl_ord_id", "order",
    ),
    "fills": Listing(
        "v_fills",
        ("at", "symbol", "side", "contracts", "price", "fee_minor", "liquidity", "cl_ord_id",
         "target_id"),
        "exec_id", "fill",
    ),
    "transitions": Listing(
        "v_transitions",
        ("at", "symbol", "trigger", "from_state", "to_state", "dwell_ms", "cl_ord_id", "detail"),
        "seq", "transition",
    ),
    "executions": Listing(
        "v_executions",
        ("set_at", "symbol", "change", "target", "outcome", "orders", "fills", "vwap",
         "slippage_bps", "maker_share", "first_fill_ms", "duration_ms", "source"),
        "target_id", "execution",
    ),
    "signals": Listing(
        "v_signals",
        ("at", "number", "strategy", "symbol", "strength", "price", "reason"),
        "number", "signal",
    ),
    "shares": Listing(
        "v_shares",
        ("at", "symbol", "version", "strategy", "contracts", "weight", "strength", "signal",
         "reason"),
        "target_id", "target",
    ),
    "fill_shares": Listing(
        "v_fill_shares",
        ("at", "symbol", "strategy", "contracts", "price", "fee_minor", "realised_pnl_minor",
         "running_contracts", "cl_ord_id"),
        "seq", "fill_share",
    ),
    "strategies": Listing(
        "v_strategies",
        ("strategy", "symbol", "state", "strength", "position", "realised_pnl_minor",
         "unrealised_pnl_minor", "fee_minor", "funding_minor", "fills", "signalled_at", "reason"),
        "strategy", "strategy",
    ),
    "refusals": Listing(
        "v_refusals",
        ("at", "symbol", "contracts", "source", "code", "text"),
        "seq", "refusal",
    ),
    "modes": Listing(
        "v_modes", ("at", "symbol", "mode", "by", "reason", "until_at"), "seq", "mode"
    ),
    "incidents": Listing(
        "v_incidents",
        ("incident_id", "opened_at", "severity", "kind", "symbol", "summary", "closed_at",
         "decision", "decided_by"),
        "incident_id", "incident",
    ),
    "schedules": Listing(
        "v_schedules",
        ("name", "n", "due_at", "symbol", "contracts", "policy", "in_force", "target_id", "reason"),
        "name", "schedule",
    ),
    "runs": Listing(
        "v_runs",
        ("started_at", "run_id", "ended_at", "exit_reason", "version", "environment", "host",
         "recovered_events", "in_doubt_at_start"),
        "run_id", "run",
    ),
    "daily": Listing(
        "v_daily",
        ("day", "symbol", "fills", "volume", "net_contracts", "fee_minor", "funding_minor",
         "realised_pnl_minor", "currency", "maker_share", "on_target_share"),
        "day", "day",
    ),
    "equity": Listing(
        "v_equity",
        ("at", "currency", "wallet_minor", "margin_minor", "unrealised_minor"),
        "at_ms", "equity",
    ),
}  # fmt: skip

POSITION_COLUMNS = (
    "account", "symbol", "position", "entry_price", "mark_price", "worst_short", "worst_long",
    "updated_at",
)  # fmt: skip

STATUS = Listing(
    "v_status",
    ("symbol", "state", "target", "position", "gap", "working", "worst_case", "since",
     "waiting_for"),
    "symbol", "symbol",
)  # fmt: skip

Symbol = Annotated[
    list[str] | None, typer.Option("--symbol", metavar="S", help="Only this symbol; repeatable.")
]
Since = Annotated[
    str | None,
    typer.Option(metavar="T", help="From 2h, 1d, 2026-11-01, today or last-start on."),
]
Until = Annotated[str | None, typer.Option(metavar="T", help="Before this time.")]
Limit = Annotated[
    int, typer.Option("-n", "--limit", min=0, metavar="N", help="At most so many; 0 = all.")
]
Reverse = Annotated[bool, typer.Option("--reverse", help="Oldest first.")]
Watch = Annotated[bool, typer.Option("-w", "--watch", help="Draw again every second.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Append what comes, oldest first.")]


@command("status")
def status(
    ask: Ask,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...")] = None,
    watch: Watch = False,
) -> None:
    """Show each symbol: state, target, position, what it waits for."""
    _again(ask, watch, lambda: _status(ask, symbols or []))


@command("get")
def get(
    ask: Ask,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
    symbol: Symbol = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    reverse: Reverse = False,
    watch: Watch = False,
    follow: Follow = False,
) -> None:
    """List targets, positions, orders, fills, signals, incidents, runs, days…"""
    if kind not in KINDS:
        raise UsageError(
            f"{kind!r} cannot be listed", next_step=f"Say one of {', '.join(KINDS)}.", kind=kind
        )
    chosen = {"symbol": symbol or (), "limit": limit, "newest_first": not reverse}
    if follow:
        _follow(ask, kind, since, chosen)
    else:
        _again(ask, watch, lambda: _list(ask, kind, since, until, chosen))


@command("history")
def history(
    ask: Ask,
    symbol: Symbol = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    reverse: Reverse = False,
    watch: Watch = False,
    follow: Follow = False,
) -> None:
    """Show what each target cost and how long it took."""
    get(ask, "executions", symbol, since, until, limit, reverse, watch, follow)


def now(ask: Ask) -> dict[str, Any]:
    """
    What is so now: told by the service if one runs, else read from the journal.

    Raises:
        Unreachable: There is neither.
    """
    from reconciler.cli import wiring

    config = None if ask.api is not None else ask.settings()
    door = wiring.running(ask, config)
    if door is not None:
        try:
            return door.status()
        except (Unreachable, InDoubt):
            if config is None:
                raise  # it was named; nobody else can tell
        finally:
            door.close()
    from reconciler.journal import History

    assert config is not None
    with History.open(config.database_path) as journal:
        return {
            "service": {
                "running": False,
                "account": journal.meta()["account"],
                "environment": config.exchange.environment,
                "last_seq": journal.last_seq(),
            },
            "modes": modes_at_rest(journal.rows("v_modes", limit=0).dicts(), datetime.now(UTC)),
            "symbols": [_at_rest(output.exact(row)) for row in journal.status().dicts()],
            "incidents": [
                row
                for row in journal.rows("v_incidents", limit=0).dicts()
                if row["closed_at"] is None
            ],
        }


def modes_at_rest(rows: Sequence[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """What of halts and modes (the newest first) is in force, as a service would tell it."""
    found: dict[tuple[str, bool], dict[str, Any]] = {}
    for row in reversed(rows):
        symbol, mode, until = row["symbol"], row["mode"], row["until_at"]
        if mode == "resume":
            if row["by"] != "core":  # one that came by itself is in `until`
                found = {key: one for key, one in found.items() if symbol not in ("", key[0])}
        elif mode != "freeze":  # which is an incident
            key = (symbol, mode == "halt")
            before = found.pop(key, None)
            if before is not None and mode == "halt":  # a halt never shortens another
                lasts = before["until"] is None or before["until"] > row["at"]
                if lasts and None in (until, before["until"]):
                    until = None
                elif lasts:
                    until = max(until, before["until"])
            why = f"{row['reason']} ({row['by']})" if row["reason"] else f"by {row['by']}"
            found[key] = {"symbol": symbol, "mode": mode, "why": why, "until": until}
    at = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
    in_force = [one for one in found.values() if one["until"] is None or one["until"] > at]
    return sorted(in_force, key=lambda one: (one["symbol"], one["mode"]))


def _at_rest(row: dict[str, Any]) -> dict[str, Any]:
    """A symbol as the journal has it: its last run waited for its own end, and that has come."""
    if str(row["waiting_for"]).startswith("stopping:"):
        row["waiting_for"] = "`reconciler run`" if row["gap"] else ""
    return row


def _refuse_unknown(symbols: Sequence[str], known: Sequence[str]) -> None:
    for name in symbols:
        if name not in known:
            listed = ", ".join(dict.fromkeys(known)) or "none"
            raise NotFound(f"{name[:40]!r} is not among the symbols ({listed})", symbol=name[:40])


def _status(ask: Ask, symbols: Sequence[str]) -> None:
    found = now(ask)
    rows = found["symbols"]
    _refuse_unknown(symbols, [row["symbol"] for row in rows])
    rows = [row for row in rows if not symbols or row["symbol"] in symbols]
    if ask.form == "json":
        import json

        print(json.dumps({**found, "symbols": rows}, default=str))
        return
    if ask.form not in {"table", "wide"}:
        output.write(rows, list(rows[0]) if rows else (), STATUS, ask.form)
        return
    print(headline(found["service"]))
    if rows:
        print()
        columns = list(STATUS.shown)
        if ask.form == "wide":
            columns += [name for name in rows[0] if name not in columns]
        output.write([{**row, **in_words(row)} for row in rows], columns, STATUS, ask.form)
    modes = found.get("modes", ())
    if found["incidents"] or modes:
        print()
    for mode in modes:
        until = f" until {mode['until']}" if mode["until"] else ""
        print(output.plain(f"{mode['mode']} {mode['symbol'] or 'account'}{until}: {mode['why']}"))
    for incident in found["incidents"]:
        summary = incident.get("summary") or incident.get("kind", "")
        symbol = f" ({incident['symbol']})" if incident.get("symbol") else ""
        print(output.plain(f"incident INC-{incident['incident_id']}{symbol}: {summary}"))


def in_words(row: output.Row) -> dict[str, Any]:
    """The columns of `status` that no view has."""
    since = row.get("state_since")
    seconds = time.time() - parse.iso_us(since) / 1e6 if since else None
    return {
        "worst_case": f"[{_signed(row['worst_short'])},{_signed(row['worst_long'])}]",
        "since": output.span(seconds) if seconds is not None else None,
    }


def _signed(contracts: int) -> str:
    return f"{contracts:+d}" if contracts else "0"


def headline(service: dict[str, Any]) -> str:
    """The first line of `status`."""
    who = f"{service.get('environment', '')}/{service.get('account', '')}"
    if not service.get("running"):
        return output.plain(f"○ not running   {who}   journal at event {service.get('last_seq')}")
    parts = [f"● running {_since(service.get('started_at'))}", who]
    if "stream" in service:
        latency = service.get("latency_ms")
        parts.append(f"stream {service['stream']}" + (f", {latency:.1f} ms" if latency else ""))
    budget = service.get("budget") or {}
    told = [
        f"{budget[key][0]}/{budget[key][1]} per {unit}"
        for key, unit in (("per_minute", "min"), ("per_second", "s"))
        if budget.get(key)
    ]
    if told:
        parts.append(f"budget {', '.join(told)}")
    if strategies := service.get("strategies"):
        states = ("running", "waiting", "stopped", "failed")
        each = [f"{strategies[state]} {state}" for state in states if strategies.get(state)]
        waits = f" ({why})" if (why := strategies.get("waits")) else ""
        parts.append(f"strategies {', '.join(each) or 'off'}{waits}")
    parts.append(f"run {service.get('run_id', '')}")
    for name in ("halted", "frozen", "stopping"):
        if service.get(name):
            parts.append(f"{name.upper()}: {service[name]}")
    return output.plain("   ".join(parts))


def _since(text: str | None) -> str:
    return output.span(time.time() - parse.iso_us(text) / 1e6) if text else ""


def _list(
    ask: Ask, kind: str, since: str | None, until: str | None, chosen: dict[str, Any]
) -> None:
    from reconciler.journal import History

    listing, config = KINDS[kind], ask.settings()
    with History.open(config.database_path) as journal:
        found = journal.rows(
            listing.view,
            since_us=_moment(since, journal),
            until_us=_moment(until, journal),
            **chosen,
        )
        known = () if found.values else (*config.exchange.symbols, *journal.symbols())
    if known:  # where there are rows, it was the symbol of them
        _refuse_unknown(chosen["symbol"], known)
    columns = POSITION_COLUMNS if kind == "positions" else found.columns
    output.write(found.dicts(), columns, listing, ask.form)


def _moment(text: str | None, journal: History) -> int | None:
    def last_start_us() -> int | None:
        runs = journal.rows("v_runs", limit=1).dicts()
        return parse.iso_us(runs[0]["started_at"]) if runs else None

    return parse.moment_us(text, last_start_us) if text is not None else None


def _follow(ask: Ask, kind: str, since: str | None, chosen: dict[str, Any]) -> None:
    """Print rows as they come, each once, until interrupted."""
    from reconciler.journal import History

    listing = KINDS[kind]
    if kind in ("positions", "daily"):
        raise UsageError(f"rows of {kind} change in place", next_step="Use --watch instead.")
    form = "jsonl" if ask.form == "json" else ask.form
    seen: set[Any] = set()
    head = True
    with History.open(ask.settings().database_path) as journal:
        since_us = _moment(since, journal)
        since_us = since_us if since_us is not None else time.time_ns() // 1000
        while True:
            asked = {**chosen, "limit": 0, "newest_first": False}
            found = journal.rows(listing.view, since_us=since_us, **asked)
            new = [row for row in found.dicts() if row[listing.name] not in seen]
            if new:
                output.write(new, found.columns, listing, form, head=head)
                sys.stdout.flush()
                head = False
                seen.update(row[listing.name] for row in new)
            time.sleep(0.5)


def _again(ask: Ask, watch: bool, draw: Callable[[], None]) -> None:
    """Draw once, or every second on a clear screen until interrupted."""
    while watch:
        if sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")
            print(f"{datetime.now(UTC):%H:%M:%S}Z")
        draw()
        sys.stdout.flush()
        time.sleep(1)
    draw()
