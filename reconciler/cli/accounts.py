"""Accounts: `accounts list`, `accounts check`, `accounts halt`, `accounts convert`."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli import output
from reconciler.cli.app import Ask, command, group
from reconciler.errors import ConfigError, InDoubt, ReconcilerError, UsageError

if TYPE_CHECKING:
    from reconciler.config import AppConfig

accounts = group("accounts", "The accounts of the configuration: list, check, halt, convert.")

LIST = ("account", "environment", "symbols", "service", "url", "key", "journal")
CHECK = ("account", "environment", "ok", "says")
MOST_BYTES = 1_000_000  # of a list of keys
HALT = ("account", "halted", "orders_left", "says")


@command("list", of=accounts)
def list_(ask: Ask) -> None:
    """Show every account: where, what, where its journal is, and whether its service runs."""
    rows = [_row(config) for config in ask.accounts().values()]
    shown = output.Listing("", LIST[:5], "account", "account")
    output.write(rows, LIST, shown, ask.form)


def _row(config: AppConfig) -> dict[str, Any]:
    from reconciler.cli import wiring

    exchange = config.exchange
    service = wiring.running(Ask(), config)
    if service is not None:
        service.close()
    name = f"account.{exchange.account}.api_key" if config.accounts else "exchange.api_key"
    origin = config.origins().get("exchange.api_key")
    usual = "the simulated exchange's usual one" if exchange.environment == "simulated" else ""
    return {
        "account": exchange.account,
        "environment": exchange.environment,
        "symbols": ",".join(exchange.symbols),
        "service": service.url if service is not None else "not running",
        "url": exchange.url or "",
        "key": origin or usual or f"{name} is not set",
        "journal": str(config.database_path),
    }


@command("check", of=accounts)
def check(ask: Ask) -> None:
    """Ask the venue of every account whether it accepts the key; nothing is changed anywhere."""
    from reconciler.cli import preflight, together, wiring

    configs = ask.accounts()
    numbers, failed = together.known_to_the_venue(configs)
    rows = []
    for name, config in configs.items():
        if name in failed:
            said = str(failed[name])
        elif numbers[name] is not None:
            said = ""
        else:
            said = f"{wiring.bitmex_config(config).base_url} does not answer"
        environment = config.exchange.environment
        rows.append(
            {"account": name, "environment": environment, "ok": not said, "says": said or "ok"}
        )
    output.write(rows, CHECK, output.Listing("", CHECK, "account", "account"), ask.form)
    together.check_apart(configs, numbers)
    if failed:
        raise typer.Exit(next(iter(failed.values())).exit_code)
    if not all(row["ok"] for row in rows):
        raise typer.Exit(preflight.NO_ANSWER)


@command("halt", of=accounts)
def halt(
    ask: Ask,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")] = "",
) -> None:
    """Halt every account, side by side; one that can't be halted keeps no other from it."""
    names = list(ask.accounts())
    with ThreadPoolExecutor(max_workers=8) as pool:
        rows = list(pool.map(lambda name: _halted(replace(ask, account=name), reason), names))
    output.write(rows, HALT, output.Listing("", HALT, "account", "account"), ask.form)
    if left := [row["account"] for row in rows if not row["halted"] or row["orders_left"]]:
        raise InDoubt(
            f"not every account is known to be halted without orders: {', '.join(left)}",
            next_step="Say it again, look at `reconciler -a NAME status`, or cancel at the venue.",
        )


def _halted(ask: Ask, reason: str) -> dict[str, Any]:
    from reconciler.cli import wiring
    from reconciler.cli.doing import me

    row: dict[str, Any] = {"account": ask.account, "halted": False, "orders_left": "", "says": "ok"}
    try:
        door, running = wiring.door(ask, venue=True)
        try:
            done = door.halt(by=me(), reason=reason)
        finally:
            door.close()
    except (ReconcilerError, OSError, TimeoutError) as failure:
        return row | {"says": str(failure)}
    said = "ok" if running else "ok; no service was running"
    return row | {"halted": True, "orders_left": ",".join(done.resting), "says": said}


def _read(file: Path) -> str:
    """The list, if it is one by its size and letters: a device has no end."""
    try:
        with file.open("rb") as source:
            raw = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise ConfigError(
            f"{file} has more than {MOST_BYTES // 10**6} MB: that is no list of keys",
            path=str(file),
        )
    try:
        return raw.decode("utf-8-sig")  # spreadsheets begin with a mark
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text", path=str(file)) from None


@command("convert", of=accounts)
def convert(
    ask: Ask,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON list of keys.")],
    to: Annotated[Path, typer.Option(metavar="FILE", help="The configuration to write.")] = Path(
        "reconciler.toml"
    ),
    secrets: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For the keys; by default beside it, NAME.keys."),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(metavar="E", help="Of entries that name none: live, testnet, simulated."),
    ] = None,
) -> None:
    """Make a configuration and files of secrets of a JSON list of keys; replaces nothing."""
    from reconciler.config import convert

    if environment not in {None, "live", "testnet", "simulated"}:
        raise UsageError(f"{environment!r} is none of live, testnet, simulated")
    text = _read(file)
    if to.name in {"", ".."}:
        raise UsageError(f"{to} is a folder", next_step="Name a file with --to.")
    folder = secrets if secrets is not None else to.with_suffix(".keys")
    try:
        found = convert.read(text, environment)
    except ReconcilerError as error:
        error.message = f"{file}: {error.message}"
        raise
    try:
        convert.write(found, to, folder)
    except OSError as error:
        raise ConfigError(f"{to} cannot be written: {error.strerror}", path=str(to)) from None
    for name in found.left_out:
        ask.note(f"left out: {file}{name}")
    if ask.form in {"json", "jsonl"}:
        names = [account.name for account in found.accounts]
        said = {"accounts": names, "config": str(to), "secrets": str(folder)}
        print(json.dumps({**said, "left_out": list(found.left_out)}))
        return
    print(f"wrote  {to}    {len(found.accounts)} accounts")
    print(f"wrote  {folder}/    {2 * len(found.accounts)} files, for your eyes only")
    print(f"next   reconciler -c {to} accounts check")
