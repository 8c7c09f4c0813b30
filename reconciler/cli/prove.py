"""Prove: `replay`, `state`, `diagram`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from reconciler.cli.app import Ask, command
from reconciler.errors import Broken, NotFound, UsageError

STATE = ("symbol", "state", "target", "position", "orders", "waiting_for", "version")


@command("replay")
def replay(ask: Ask) -> None:
    """Run the journal again and compare every decision and row."""
    from reconciler.journal import replay as run

    path = ask.settings().database_path
    report = run(path)
    if ask.form in {"json", "jsonl"}:
        import json

        difference = report.difference
        print(
            json.dumps(
                {
                    "events": report.events,
                    "decisions": report.decisions,
                    "rows": report.rows,
                    "differ": 0 if difference is None else 1,
                    "first_difference": difference._asdict() if difference else None,
                    "hash": report.ledger_hash,
                    "took_ms": report.took_us // 1000,
                }
            )
        )
    else:
        differ = "0 differ" if report.difference is None else "DIFFERS"
        print(
            f"{report.events:,} events, {report.decisions:,} decisions, {report.rows:,} rows, "
            f"{differ}, {report.took_us / 1e6:.1f} s     hash {report.ledger_hash[:12]}"
        )
    if report.difference is not None:
        sys.stdout.flush()
        raise Broken(
            f"{path} is not what follows from its events: {report.difference}",
            seq=report.difference.seq,
        )


@command("state")
def state(
    ask: Ask,
    at: Annotated[str, typer.Option(metavar="T", help="2h ago, at 11:45Z, at 2026-11-01T12:00Z…")],
) -> None:
    """Show targets, orders and positions as they were known at a past moment."""
    from reconciler.cli import output, parse
    from reconciler.journal import tracing

    at_us = parse.moment_us(at)
    rows = tracing.state_at(ask.settings().database_path, at_us)
    if ask.form in {"json", "jsonl"}:
        import json

        print(json.dumps({"at": parse.iso(at_us), "symbols": rows}))
        return
    shown = [
        row
        | {
            "orders": ", ".join(
                f"{order['contracts']:+d} @ {order['price']}" for order in row["orders"]
            )
        }
        for row in rows
    ]
    output.write(shown, STATE, output.Listing("", STATE, "symbol", "symbol"), ask.form)


@command("diagram")
def diagram(
    ask: Ask,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="mermaid, dot or text.")
    ] = "mermaid",
    symbol: Annotated[
        str | None, typer.Option(metavar="S", help="Mark the state that this symbol is in.")
    ] = None,
) -> None:
    """Print the state diagram, with the state of a symbol marked."""
    from reconciler import diagram as drawing

    draw = drawing.FORMATS.get(form)
    if draw is None:
        known = ", ".join(drawing.FORMATS)
        raise UsageError(f"{form!r} is no format of the diagram", next_step=f"One of {known}.")
    mark = None
    if symbol is not None:
        from reconciler.journal import History

        with History.open(ask.settings().database_path) as journal:
            rows = {row["symbol"]: row for row in journal.status().dicts()}
        if symbol not in rows:
            known = ", ".join(rows) or "none"
            raise NotFound(f"{symbol[:40]!r} is not in the journal ({known})", symbol=symbol[:40])
        mark = rows[symbol]["state"]
    print(draw(mark, symbol or ""))
