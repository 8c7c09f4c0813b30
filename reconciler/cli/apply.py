"""Several targets at once: `apply` sets them, `plan` shows first what they would lead to."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any

import typer

from reconciler.cli import files, output, parse
from reconciler.cli.app import Ask, command
from reconciler.cli.doing import OFFLINE, Timeout, closing, held_told, tell
from reconciler.cli.waiting import ON_TARGET, wait_for
from reconciler.errors import Differs, Refused, UsageError

File = Annotated[
    str | None,
    typer.Option("-f", "--file", metavar="FILE", help="TOML, CSV or JSON; - is standard input."),
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Set what has a target, and is not named, to zero.")
]
COLUMNS = (
    "symbol", "position", "target", "gap", "first_order", "cost_bps", "margin_minor", "currency",
    "limits", "waiting_for", "unchanged", "refused",
)  # fmt: skip


@command("apply")
def apply(
    ask: Ask,
    file: File = None,
    prune: Prune = False,
    plan: Annotated[
        str,
        typer.Option("--plan", metavar="ID", help="A plan that was shown, if it still holds."),
    ] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all are held.")] = False,
    timeout: Timeout = None,
) -> None:
    """Set the targets in a file: all of them, or none."""
    if (file is None) == (plan == ""):
        raise UsageError("say which targets: -f FILE, or --plan ID")
    if plan and prune:
        raise UsageError("--prune belongs to the plan", next_step="Plan with --prune, then apply.")
    if timeout is not None and not wait:
        raise UsageError("--timeout needs --wait")
    from reconciler.cli import wiring

    request = files.targets(file, prune=prune) if file is not None else None
    limit_s = parse.seconds(timeout) if timeout is not None else None
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.set_targets(request) if request is not None else door.apply_plan(plan)
    _told(ask, done)
    if not running:
        ask.note(f"note: {OFFLINE}")
    if wait and done.targets:
        versions = {one.symbol: one.version for one in done.targets}
        wait_for(ask, list(versions), ON_TARGET, limit_s, versions=versions)


def _told(ask: Ask, done: Any) -> None:
    if ask.form in {"json", "jsonl"}:
        tell(ask, "", done)
        return
    was = [f"{_signed(t.previous)} → " if t.previous is not None else "" for t in done.targets]
    change = [
        f"{before if one.changed else ''}{_signed(one.contracts)}"
        for one, before in zip(done.targets, was, strict=True)
    ]
    width = max((len(one.symbol) for one in done.targets), default=0)
    wide = max(map(len, change), default=0)
    for one, words in zip(done.targets, change, strict=True):
        then = f"version {one.version}" if one.changed else "unchanged"
        tell(ask, f"{one.symbol:{width}}  {words:>{wide}}   {then}", one)
        if one.note:
            ask.note(f"note: {one.symbol}: {one.note}")
    number = len(done.targets)
    tell(ask, f"{number} symbol{'' if number == 1 else 's'}, {done.changed} changed", done)


def _signed(contracts: int) -> str:
    return f"{contracts:+d}" if contracts else "0"


@command("plan")
def plan(
    ask: Ask,
    symbol: Annotated[str | None, typer.Argument(metavar="[SYMBOL]", help="As XBTUSD.")] = None,
    contracts: Annotated[
        str | None, typer.Argument(metavar="[CONTRACTS]", help="Position to hold.")
    ] = None,
    file: File = None,
    prune: Prune = False,
    policy: Annotated[str, typer.Option(metavar="P", help="A policy of the configuration.")] = "",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 6 if something would change.")
    ] = False,
) -> None:
    """Show what `set` or `apply` would do: orders, cost, margin, limits."""
    if (file is None) == (symbol is None) or (symbol is None) != (contracts is None):
        raise UsageError("say what to plan: SYMBOL CONTRACTS, or -f FILE")
    if file is not None and policy:
        raise UsageError("--policy belongs to SYMBOL CONTRACTS", next_step="Name it in the file.")
    from reconciler.cli import wiring
    from reconciler.service.door import TargetRequest, TargetsRequest

    if file is not None:
        request = files.targets(file, prune=prune)
    else:
        assert symbol is not None
        assert contracts is not None
        one = TargetRequest(symbol=symbol, contracts=parse.contracts(contracts), policy=policy)
        request = TargetsRequest(targets=(one,), prune=prune)
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        found = door.plan(request)
    _shown(ask, found)
    if not running:
        ask.note("note: no service is running: there are no prices, and the plan cannot be applied")
    refused = [row for row in found["rows"] if row["refused"]]
    if refused:
        name, why = refused[0]["symbol"], refused[0]["limits"]
        raise Refused(
            why if name in why else f"{name}: {why}",
            next_step="Nothing of this plan can be applied.",
        )
    if exit_code and found["changed"]:
        raise Differs(f"{found['changed']} of {len(found['rows'])} targets would change something")


def _shown(ask: Ask, found: dict[str, Any]) -> None:
    if ask.form in {"json", "jsonl"}:
        print(json.dumps(found))
        return
    if found["plan_id"]:
        tell(ask, f"PLAN {found['plan_id']}  valid until {found['valid_until']}", found)
    listing = output.Listing("", (*COLUMNS[:6], "margin", "limits"), "symbol", "target")
    rows = [
        {
            **row,
            "first_order": row["first_order"] or row["waiting_for"],
            "cost_bps": f"{row['cost_bps']} bp" if row["cost_bps"] is not None else None,
            "margin": _money(row),
        }
        for row in found["rows"]
    ]
    columns = COLUMNS if ask.form == "csv" else (*COLUMNS[:6], "margin", *COLUMNS[8:])
    output.write(rows, columns, listing, ask.form)
    if ask.form != "table":
        return
    worst = [
        f"{name} [{_signed(low)}, {_signed(high)}]"
        for name, (low, high) in found["worst_case"].items()
    ]
    if worst:
        print(output.plain(f"worst case while working: {'  '.join(worst)}"))
    if found["plan_id"]:
        print(f"run: reconciler apply --plan {found['plan_id']}")


def _money(row: dict[str, Any]) -> str:
    """Margin at a leverage of one, in the currency that people speak of."""
    from reconciler.core.amounts import MINOR

    if row["margin_minor"] is None:
        return ""
    scale = MINOR.get(row["currency"])
    if scale is None:
        return f"{row['margin_minor']:+d} {row['currency']}"
    whole = (Decimal(row["margin_minor"]) / scale).quantize(Decimal("0.0001"))
    return f"{whole:+f} {row['currency'].upper()}"
