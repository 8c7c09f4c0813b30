"""Strategies: `strategies list`, `show`, `check`, `start`, `stop`, `restart`; `strategy run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.cli import doing, output, parse
from reconciler.cli.app import Ask, command, group
from reconciler.cli.output import Listing
from reconciler.errors import ConfigError, NotFound, ReconcilerError, Unreachable
from reconciler.logs import masked

if TYPE_CHECKING:
    from reconciler.strategy.registry import Spec

strategies = group(
    "strategies", "What decides which targets to want: list, show, check, start, stop."
)
strategy = group("strategy", "One strategy in this process: run.")

LIST = Listing(
    "", ("strategy", "name", "state", "signals", "holds", "detail"), "strategy", "strategy"
)
COLUMNS = (
    "strategy", "name", "class", "symbols", "bar", "runs", "state", "signals", "holds",
    "on_failure", "detail", "parameters",
)  # fmt: skip

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As in [strategy.NAME], or the identifier.")
]
Zero = Annotated[
    bool, typer.Option("--zero", help="End its signals, too; otherwise the last ones hold.")
]


@command("list", of=strategies)
def list_(ask: Ask) -> None:
    """Show every strategy that is configured: its state, its signals, what became of it."""
    output.write(_rows(ask), COLUMNS, LIST, ask.form)


@command("show", of=strategies)
def show(ask: Ask, name: Name) -> None:
    """Show one strategy, with its parameters."""
    row = _named(_rows(ask), name)
    if ask.form in {"json", "jsonl"}:
        print(json.dumps(row))
        return
    for column in COLUMNS:
        print(output.plain(f"{column:<11} {row[column] or output.NOTHING}"))


@command("check", of=strategies)
def check(
    ask: Ask,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One of them; otherwise all.")
    ] = None,
) -> None:
    """
    Load strategies as the service would, and say whether their parameters are right.

    Their modules are imported, with whatever that does, and check() and needs() are called. Exit
    code 3 if one of them is wrong.
    """
    from reconciler.cli import wiring

    specs = wiring.strategies(ask.settings())
    rows = [_looked_at(spec, load=True) for spec in specs]
    if name is not None:
        rows = [_named(rows, name)]
    output.write(rows, COLUMNS, LIST, ask.form)
    wrong = [row["name"] for row in rows if row["state"] == "wrong"]
    if wrong:
        raise ConfigError(
            f"{', '.join(wrong)} cannot be loaded as configured", next_step="See the details above."
        )


@command("start", of=strategies)
def start(ask: Ask, name: Name) -> None:
    """Let one run: that was stopped, has failed, or is not enabled."""
    _do(ask, name, "start")


@command("stop", of=strategies)
def stop(ask: Ask, name: Name, zero: Zero = False) -> None:
    """Call one no more, until it is started again; a restart of the service leaves it stopped."""
    _do(ask, name, "stop", zero=zero)


@command("restart", of=strategies)
def restart(ask: Ask, name: Name) -> None:
    """Stop one and start it afresh, with the look-back read from its market."""
    _do(ask, name, "restart")


@command("run", of=strategy)
def run(
    ask: Ask,
    name: Name,
    for_: Annotated[str | None, typer.Option("--for", metavar="D", help="Stop after 90s…")] = None,
) -> None:
    """
    Run one strategy here, against public market data; its signals go to the service.

    Its table says runs = "process". No key is needed. The service may be started again at any time,
    and so may this: the last signals are in its journal.
    """
    from reconciler.cli.elsewhere import Elsewhere

    Elsewhere(ask, name, for_s=parse.seconds(for_) if for_ is not None else None).run()


def _do(ask: Ask, name: str, what: str, *, zero: bool = False) -> None:
    from reconciler.cli import wiring

    door = wiring.running(ask)
    if door is None:
        raise Unreachable(
            "no service is running, and strategies run inside it",
            next_step="Start `reconciler run`; enabled = false in its table keeps one off.",
        )
    with doing.closing(door):
        row = door.strategy(name, what, by=doing.me(), zero=zero)
    signals = f"  signals {row['signals']}" if row["signals"] else ""
    detail = f"  {row['detail']}" if row["detail"] else ""
    doing.tell(ask, f"{row['strategy']}  {row['state']}{signals}{detail}", row)


def _rows(ask: Ask) -> list[dict[str, Any]]:
    """What the service says; without one, what the configuration would give."""
    from reconciler.cli import wiring

    door = wiring.running(ask)
    if door is not None:
        with doing.closing(door):
            return door.strategies()
    ask.note("note: no service is running; this is what the configuration would give")
    return [_looked_at(spec) for spec in wiring.strategies(ask.settings())]


def _looked_at(spec: Spec, *, load: bool = False) -> dict[str, Any]:
    """
    A row of a strategy that does not run: whether it could be loaded.

    Args:
        load: Import a class that is not ours, too: nobody's code runs for the sake of a list.
    """
    from reconciler.strategy import base, registry
    from reconciler.strategy.failing import told
    from reconciler.strategy.instance import hidden_of, row_of

    row, hidden = row_of(spec), hidden_of(spec)
    if not load and spec.kind not in registry.SHIPPED:
        row["detail"] = row["detail"] or "not looked at: reconciler strategies check"
        return row
    try:
        made = base.make(
            registry.load(spec.kind),
            identifier=spec.identifier,
            symbols=spec.symbols,
            bar=spec.bar,
            parameters=spec.parameters,
        )
        base.needs_of(made)
        row["parameters"] = json.dumps(base.shown_parameters(made), default=str)
    except ReconcilerError as error:
        row["state"], row["detail"] = "wrong", masked(error.message, hidden)
    except (Exception, SystemExit) as error:  # of a stranger's code anything may come
        row["state"], row["detail"] = "wrong", told("to be made", error, hidden)
    return row


def _named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for row in rows:
        if name in (row["strategy"], row["name"]):
            return row
    known = ", ".join(row["name"] for row in rows) or "none"
    raise NotFound(f"there is no strategy {name[:60]!r}", next_step=f"There are: {known}.")
