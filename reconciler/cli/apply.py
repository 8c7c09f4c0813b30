"""Several targets at once: `apply` sets them, `plan` shows first what they would lead to."""

from __future__ import annotations

import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from reconciler.cli import failures, files, output, parse
from reconciler.cli.app import Ask, command
from reconciler.cli.doing import OFFLINE, Timeout, closing, held_told, tell
from reconciler.cli.waiting import ON_TARGET, wait_for
from reconciler.errors import (
    Differs,
    InDoubt,
    NotLeader,
    ReconcilerError,
    Refused,
    Unreachable,
    UsageError,
)

if TYPE_CHECKING:
    from reconciler.service.door import TargetsRequest, TargetVersions

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
    watch: Annotated[
        bool, typer.Option("-w", "--watch", help="Again whenever the file says something else.")
    ] = False,
) -> None:
    """Set the targets in a file: all of them, or none."""
    if (file is None) == (plan == ""):
        raise UsageError("say which targets: -f FILE, or --plan ID")
    if watch:
        if file in (None, "-") or wait or timeout is not None:
            raise UsageError("--watch needs a file that may change, and waits for nothing else")
        assert file is not None
        _watch(ask, file, prune)
    if plan and prune:
        raise UsageError("--prune belongs to the plan", next_step="Plan with --prune, then apply.")
    if timeout is not None and not wait:
        raise UsageError("--timeout needs --wait")
    from reconciler.cli import wiring

    limit_s = parse.seconds(timeout) if timeout is not None else None
    if file is not None:
        done = _set(ask, files.targets(file, prune=prune))
    else:
        door, _ = wiring.door(ask)
        with held_told(), closing(door):
            done = door.apply_plan(plan)
        _told(ask, done)
    if wait and done.targets:
        versions = {one.symbol: one.version for one in done.targets}
        wait_for(ask, list(versions), ON_TARGET, limit_s, versions=versions)


def _set(ask: Ask, request: TargetsRequest) -> TargetVersions:
    from reconciler.cli import wiring

    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done: TargetVersions = door.set_targets(request)
    _told(ask, done)
    if not running and done.changed:
        ask.note(f"note: {OFFLINE}")
    return done


def _watch(ask: Ask, file: str, prune: bool) -> NoReturn:
    """
    Set what the file says, and whenever it says something else, until interrupted.

    What is refused is told once, and the targets before stay. What may only have come at a bad
    moment is tried again. A file is read once it has been the same for a second: half of it, with
    --prune, would close the other half.
    """
    before: bytes | None = None
    done: bytes | None = None
    told = ""
    while True:
        seen = _content(file)
        if seen == before and seen != done:
            try:
                _set(ask, _for_watching(files.targets(file, prune=prune)))
                done, told = seen, ""
            except ReconcilerError as error:
                if not isinstance(error, (Unreachable, InDoubt, NotLeader)):
                    done = seen
                if str(error) != told:
                    failures.report(error, ask.form, debug=False)
                told = str(error)
            sys.stdout.flush()
        before = seen
        time.sleep(1)


def _content(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        return f"{error.errno}".encode()  # which `files` tells in words


def _for_watching(request: TargetsRequest) -> TargetsRequest:
    for one in request.targets:
        if one.by is not None and not one.key:
            raise UsageError(f"{one.symbol}: by would be added again with each change of the file")
    return request


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
    from reconciler.core.targets.amounts import MINOR

    if row["margin_minor"] is None:
        return ""
    scale = MINOR.get(row["currency"])
    if scale is None:
        return f"{row['margin_minor']:+d} {row['currency']}"
    whole = (Decimal(row["margin_minor"]) / scale).quantize(Decimal("0.0001"))
    return f"{whole:+f} {row['currency'].upper()}"
