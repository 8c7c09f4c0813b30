"""Why: `why` leads from an order or a fill back to signals; `describe` shows one thing whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from reconciler.cli import output, parse
from reconciler.cli.app import Ask, command
from reconciler.errors import UsageError

Found = dict[str, Any]


@command("why")
def why(
    ask: Ask,
    name: Annotated[
        str, typer.Argument(metavar="ID", help="An order, a fill, or a symbol as it is now.")
    ],
    at: Annotated[
        str | None,
        typer.Option(metavar="T", help="Of a symbol: as it was then, 2h ago, at 11:52Z…"),
    ] = None,
) -> None:
    """Trace an order, a fill or a symbol back to its target, its shares and their signals."""
    from reconciler.journal import History, tracing

    at_us = parse.moment_us(at) if at is not None else None
    with History.open(ask.settings().database_path) as history:
        found = (
            tracing.traced(history, name)
            if at_us is None
            else tracing.of_symbol_at(history, name, at_us)
        )
    if ask.form in {"json", "jsonl"}:
        print(json.dumps(found, default=str))
        return
    for line in _lines(found):
        print(output.plain(line))


@command("describe")
def describe(
    ask: Ask,
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="order, fill, target, strategy or incident.")
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Its id; a target's: SYMBOL/VERSION.")
    ],
) -> None:
    """Show one thing with everything around it."""
    from reconciler.journal import History, tracing

    shown = DESCRIBED.get(kind)
    if shown is None:
        known = ", ".join(DESCRIBED)
        raise UsageError(f"{kind[:20]!r} cannot be described", next_step=f"Say one of {known}.")
    gather, write = shown
    with History.open(ask.settings().database_path) as history:
        found = getattr(tracing, gather)(history, name)
    if ask.form in {"json", "jsonl"}:
        print(json.dumps(found, default=str))
        return
    for line in write(found):
        print(output.plain(line))


# -- in words ----------------------------------------------------------------------------------


def _lines(found: Found) -> list[str]:
    """The answer to "why"."""
    lines: list[str] = []
    if "at_us" in found:
        lines += _then_lines(found)
    elif "status" in found:
        lines += _status_lines(found["status"])
    if "fill" in found:
        lines += _fill_lines(found["fill"], "fill ")
    if found.get("order"):
        order = found["order"]
        lines.append(f"{order['cl_ord_id']} was sent because")
    elif "fill" in found:
        return [*lines, "  it is no order's of ours: somebody else traded, or the venue did"]
    if found.get("target"):
        lines += _target_lines(found["target"], found["shares"])
    if found.get("intent"):
        lines += _intent_lines(found["intent"])
    if found.get("order"):
        for fill in found["fills"]:
            lines += _fill_lines(fill, "  filled ")
        order = found["order"]
        left = order["leaves_contracts"]
        lines.append(
            f"it is {order['status']}: {order['filled_contracts']} of {order['contracts']} filled"
            + (f", {left} left" if left else "")
        )
    return lines


def _status_lines(row: Found) -> list[str]:
    waits = row["waiting_for"]
    if waits.startswith("stopping:"):  # its last run waited for its own end, and that has come
        waits = "`reconciler run`" if row["gap"] else ""
    lines = [
        f"{row['symbol']} is {row['state']} at {row['position']:+d}"
        + (f", and waits for {waits}" if waits else ", and waits for nothing")
    ]
    if row["target"] is None:
        lines.append("  nobody wants anything of it")
    return lines


def _then_lines(found: Found) -> list[str]:
    """A symbol at a moment that is over."""
    row = found["status"]
    waits = f", waiting for {row['waiting_for']}" if row["waiting_for"] else ""
    gap = row["target"] - row["position"] if row["target"] is not None else None
    on_target = ", on target" if gap == 0 and not waits else ""
    lines = [
        f"{row['symbol']} at {parse.iso(found['at_us'])} was {row['state']}{on_target} "
        f"at {row['position']:+d}" + (f", gap {gap:+d}" if gap else "") + waits
    ]
    if row["target"] is None:
        lines.append("  nobody wanted anything of it")
    for order in row["orders"]:
        lines.append(
            f"  order {order['cl_ord_id']}: {order['contracts']:+d} @ {order['price']}, "
            f"{order['status']}, {order['filled']} filled"
        )
    return lines


def _target_lines(target: Found, shares: list[Found]) -> list[str]:
    reason = f', "{target["reason"]}"' if target["reason"] else ""
    asked = f", asked as {target['asked']}" if target["asked"] else ""
    lines = [
        (
            f"  {target['symbol']} target {target['contracts']:+d} (version {target['version']}, "
            f"{target['source']}{reason}{asked})   {target['set_at']}"
            f"   event {target['target_id']:,}"
        )
    ]
    for share in shares:
        words = f"    {share['contracts']:+d}  {share['strategy'] or 'nobody: rounding and caps'}"
        if share["signal"] is not None:
            said = f', "{share["reason"]}"' if share["reason"] else ""
            words += (
                f"   {share['weight']} x {share['strength']:+g}   signal {share['signal']}{said}"
            )
        lines.append(words)
    return lines


def _intent_lines(intent: Found) -> list[str]:
    form = [name.replace("_", "-") for name in ("post_only", "reduce_only", "immediate")]
    ticked = [word for word in form if intent[word.replace("-", "_")]]
    market = f"bid {intent['bid'] or '–'}, ask {intent['ask'] or '–'}, mark {intent['mark'] or '–'}"
    stage = f", {intent['stage']}" if intent["stage"] else ""
    return [
        (
            f"  and the position was {intent['position']:+d}, nothing in doubt"
            f"   event {intent['seq']:,}"
        ),
        f"  order: {intent['contracts']:+d} @ {intent['price']}"
        + (f", {', '.join(ticked)}" if ticked else ""),
        f"  price: {market}   policy {intent['policy']}{stage}",
    ]


def _fill_lines(fill: Found, word: str) -> list[str]:
    head = (
        f"{word}{fill['signed_contracts']:+d} @ {fill['price']} {fill['liquidity']}".rstrip()
        + f"   {fill['at']}   {fill['exec_id']}"
    )
    parts = [f"{share['strategy'] or 'nobody'} {share['contracts']:+d}" for share in fill["shares"]]
    return [head, f"    shared: {', '.join(parts)}"] if parts else [head]


def _order_lines(found: Found) -> list[str]:
    """An order's life, step by step."""
    order = found["order"]
    lines = [
        (
            f"order {order['cl_ord_id']}   {order['symbol']} {order['side']} {order['contracts']} "
            f"@ {order['price']}   {order['order_type']}   {order['status']}, "
            f"{order['filled_contracts']} of {order['contracts']} filled"
        )
    ]
    if found.get("target"):
        lines += _target_lines(found["target"], found["shares"])
    steps = [
        (
            row["at"],
            f"{row['trigger']:<10} {row['from_state']} → {row['to_state']}   {row['detail']}",
        )
        for row in found["transitions"]
    ]
    for fill in found["fills"]:
        words = "   ".join(line.strip() for line in _fill_lines(fill, "fill "))
        steps.append((fill["at"], words))
    return lines + [f"  {at}  {words}".rstrip() for at, words in sorted(steps, key=_at)]


def _at(step: tuple[str, str]) -> str:
    return step[0]


def _strategy_lines(found: Found) -> list[str]:
    lines = []
    for row in found["holds"]:
        lines.append(
            f"{row['strategy'] or 'nobody'}   {row['symbol']} {row['position']:+d}   "
            f"realised {row['realised_pnl_minor']:+d}, fees {row['fee_minor']:+d}, funding "
            f"{row['funding_minor']:+d} {row['currency']}   {row['fills']} fills   {row['state']}"
        )
    for row in found["signals"]:
        lines.append(
            f"  {row['at']}  signal {row['number']}  {row['symbol']} {row['strength']:+g}"
            f"  {row['reason']}".rstrip()
        )
    for row in found["fills"]:
        if not row["contracts"]:
            paid = f"{row['fee_minor']:+d} {row['currency']}"
            lines.append(f"  {row['at']}  {row['symbol']} funding {paid}")
            continue
        lines.append(
            f"  {row['at']}  {row['symbol']} {row['contracts']:+d} @ {row['price']} → "
            f"{row['running_contracts']:+d}  {row['cl_ord_id'] or 'among strategies'}"
        )
    return lines


def _incident_lines(row: Found) -> list[str]:
    about = f"   {row['symbol']}" if row["symbol"] else ""
    lines = [
        f"incident INC-{row['incident_id']}   {row['kind']}{about}   {row['severity']}",
        f"  {row['opened_at']}  {row['summary']}",
    ]
    if row["closed_at"] is not None:
        return [*lines, f"  {row['closed_at']}  closed by {row['decided_by']}: {row['decision']}"]
    return [
        *lines,
        (
            f"  open: reconciler resolve INC-{row['incident_id']} "
            "(--adopt | --trade-back | --ignore) --reason TEXT"
        ),
    ]


#: Kind -> the function of `tracing` that gathers it, and how that reads.
DESCRIBED: dict[str, tuple[str, Callable[[Found], list[str]]]] = {
    "order": ("of_order", _order_lines),
    "fill": ("of_fill", _lines),
    "target": ("named_target", lambda found: _target_lines(found["target"], found["shares"])),
    "strategy": ("strategy", _strategy_lines),
    "incident": ("incident", _incident_lines),
}
