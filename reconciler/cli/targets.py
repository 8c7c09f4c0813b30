"""Say what you want: `set`, `wait`, `forget`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from reconciler.cli import parse
from reconciler.cli.app import Ask, command
from reconciler.cli.doing import OFFLINE, Reason, Timeout, closing, confirm, held_told, me, tell
from reconciler.cli.waiting import ON_TARGET, STATES, wait_for
from reconciler.errors import UsageError


@command("set")
def set_(
    ask: Ask,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As XBTUSD.")],
    contracts: Annotated[
        str | None,
        typer.Argument(metavar="CONTRACTS", help="Position to hold; below zero is short."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="CONTRACTS", help="Change the target by so much.")
    ] = None,
    notional: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Worth so much money; see docs/targets.md.")
    ] = None,
    percent: Annotated[
        str | None, typer.Option(metavar="P", help="Worth so many percent of the equity.")
    ] = None,
    policy: Annotated[str, typer.Option(metavar="P", help="A policy of the configuration.")] = "",
    ttl: Annotated[str | None, typer.Option(metavar="D", help="Valid for 90s, 4h, 1d…")] = None,
    on_expiry: Annotated[
        str, typer.Option(metavar="DO", help="Then: hold, flatten or freeze.")
    ] = "",
    deadline: Annotated[
        str | None, typer.Option(metavar="T", help="Be there in 30m, or at 2026-11-01T12:00Z.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(metavar="PRICE", help="That the signal was given at.")
    ] = None,
    confirm_: Annotated[
        str | None,
        typer.Option("--confirm", metavar="CONTRACTS", help="The target again, if it is unusual."),
    ] = None,
    source: Annotated[str, typer.Option(metavar="S", help="Who wants it.")] = "cli",
    reason: Reason = "",
    if_version: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only if this version is in force.")
    ] = None,
    key: Annotated[str, typer.Option(metavar="K", help="Makes a repeat harmless.")] = "",
    wait_: Annotated[bool, typer.Option("--wait", help="Wait until it is held.")] = False,
    timeout: Timeout = None,
) -> None:
    """Set the target of one symbol."""
    if sum(form is not None for form in (contracts, by, notional, percent)) != 1:
        raise UsageError("a target is one of CONTRACTS, --by, --notional and --percent")
    if timeout is not None and not wait_:
        raise UsageError("--timeout needs --wait")
    from reconciler.cli import wiring
    from reconciler.service.door import TargetRequest

    asked = TargetRequest(
        symbol=symbol,
        contracts=parse.contracts(contracts) if contracts is not None else None,
        by=parse.contracts(by) if by is not None else None,
        notional=_number(notional),
        percent=_number(percent),
        source=source,
        reason=reason,
        policy=policy,
        ttl_s=parse.seconds(ttl) if ttl is not None else None,
        on_expiry=on_expiry,
        if_version=if_version,
        key=key,
        deadline=parse.until(deadline) if deadline is not None else "",
        price=_number(price),
        confirm=parse.contracts(confirm_) if confirm_ is not None else None,
    )
    limit_s = parse.seconds(timeout) if timeout is not None else None
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.set_target(asked)
    tell(ask, _set_in_words(done), done)
    if done.note:
        ask.note(f"note: {done.note}")
    if not running:
        ask.note(f"note: {OFFLINE}")
    if wait_:
        wait_for(ask, [symbol], ON_TARGET, limit_s, versions={symbol: done.version})


@command("wait")
def wait(
    ask: Ask,
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that have a target.")] = False,
    for_: Annotated[
        str, typer.Option("--for", metavar="WHAT", help="on-target, or a state.")
    ] = ON_TARGET,
    timeout: Timeout = None,
) -> None:
    """Wait until symbols hold their targets."""
    if for_ not in (ON_TARGET, *STATES):
        raise UsageError(f"{for_!r} cannot be waited for", next_step=f"One of {ON_TARGET}, "
                         f"{', '.join(STATES)}.")  # fmt: skip
    if bool(symbols) == all_:
        raise UsageError("say which symbols to wait for, or --all")
    limit_s = parse.seconds(timeout) if timeout is not None else None
    wait_for(ask, symbols or [], for_, limit_s)


def _set_in_words(done: Any) -> str:
    parts = [done.symbol, f"target {done.contracts:+d}"]
    if done.previous is not None:
        parts.append(f"was {done.previous:+d}")
        parts.append(f"change {done.contracts - done.previous:+d}" if done.changed else "unchanged")
    elif not done.changed:
        parts.append("unchanged")
    parts.append(f"version {done.version}")
    if done.expires_at is not None:
        parts += [f"expires {done.expires_at}", f"on_expiry {done.on_expiry}"]
    return "  ".join(parts)


def _number(text: str | None) -> str | None:
    """A number as it was typed: below zero, too."""
    return text.removeprefix("\x00") if text is not None else None


@command("forget")
def forget(
    ask: Ask,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As XBTUSD.")],
    reason: Reason = "",
) -> None:
    """Want nothing of a symbol any more; its position is left as it is, and unwatched."""
    from reconciler.cli import wiring

    confirm(ask, f"Leave the position of {symbol} to itself?")
    door, running = wiring.door(ask)
    with held_told(), closing(door):
        done = door.forget_target(symbol, by=me(), reason=reason)
    tell(ask, f"{done.symbol}  {done.note}", done)
    if not running:
        ask.note(f"note: {OFFLINE}")
