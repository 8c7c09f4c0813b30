"""
The demo: an exchange in a process of its own, a service in this one, and a strategy without an
opinion. What is shown is read from the service and the journal, as any other program would.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from reconciler import __version__
from reconciler.cli import flow, output
from reconciler.cli.app import Ask
from reconciler.errors import ConfigError, ReconcilerError, UsageError
from reconciler.strategy import random_targets

if TYPE_CHECKING:
    from reconciler.config import AppConfig
    from reconciler.service.service import Service

LOTS = {"XBTUSD": 100, "ETHUSD": 1, "XBTUSDT": 100}  # until the venue has said its own
MOST = {"XBTUSD": 10_000, "ETHUSD": 100, "XBTUSDT": 10_000}  # contracts, for a lively picture
READY_WITHIN_S = 20
STRATEGIES = Path(__file__).with_name("demo_strategies.toml")


class Demo:
    """One demo, from an empty journal to its summary."""

    def __init__(
        self,
        ask: Ask,
        *,
        for_s: int | None,
        seed: int,
        every_s: int,
        symbols: tuple[str, ...],
        port: int,
        faults: tuple[str, ...],
        plain: bool,
        strategies: bool = False,
    ) -> None:
        if every_s < 1:
            raise UsageError("--every must be at least 1s")
        unknown = [symbol for symbol in symbols if symbol not in LOTS]
        if unknown:
            known = ", ".join(LOTS)
            raise UsageError(f"{unknown[0]!r} is not simulated", next_step=f"One of {known}.")
        self._ask, self._for_s, self._seed, self._every_s = ask, for_s, seed, every_s
        if strategies and "XBTUSD" not in symbols:
            raise UsageError("the strategies of the demo are on XBTUSD", next_step="List it.")
        self._symbols, self._port, self._faults = symbols, port, faults
        self._strategies = strategies
        self._picture = sys.stdout.isatty() and not plain and ask.form == "table"
        self._over = threading.Event()

    def run(self) -> None:
        """Run until the time is up or somebody ends it; then say what happened."""
        from reconciler.cli import run as running
        from reconciler.cli import wiring
        from reconciler.service.service import Service

        with self._exchange() as url:
            config = self._config(url)
            database = config.database_path
            moved = _put_away(database) if self._ask.database is None else None
            bound = _listen(config)
            said = database.with_suffix(".log")
            database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._head(config, url, bound.getsockname()[1], moved)
            with said.open("w", encoding="utf-8") as log:
                service = Service(
                    wiring.options(config, for_s=self._for_s),
                    wiring.make_venue(wiring.bitmex_config(config, url)),
                    make_api=running.api_maker(database, bound),
                    say=self._log(config, log),
                )
                view = self._beside(service, "view", self._show)
                if not self._strategies:  # else they are in the service
                    self._beside(service, "strategy", self._trade)
                try:
                    service.run()
                finally:
                    self._over.set()
                    bound.close()
                    view.join(5)  # the strategy may still wait for an answer: it is left to
        self._summary(database)

    @staticmethod
    def _beside(service: Service, name: str, work: Callable[[Service], None]) -> threading.Thread:
        thread = threading.Thread(target=work, args=(service,), daemon=True, name=name)
        thread.start()
        return thread

    def _config(self, url: str) -> AppConfig:
        """The demo's own settings: no file and no variable of the user's has a say in it."""
        from reconciler import config

        if self._ask.database is None:
            state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
            database = str(Path(state).expanduser() / "reconciler" / "demo.db")
        else:
            database = self._ask.database
        options = {
            "exchange.url": url,
            "exchange.symbols": ",".join(self._symbols),
            "database.url": database,
            "limits.max_order_contracts": "5000",
            "policy.passive.escalate_after_s": "10",
        }
        if listen := os.environ.get("RECONCILER_API__LISTEN"):
            options["api.listen"] = listen
        return config.load((STRATEGIES,) if self._strategies else (), options, {})

    def _log(self, config: AppConfig, stream: Any) -> Any:
        from reconciler import logs

        return logs.configure(
            stream=stream, form="json", level="debug" if self._ask.verbose else "info",
            secrets=config.hidden, account=config.exchange.account,
        )  # fmt: skip

    @contextmanager
    def _exchange(self) -> Iterator[str]:
        """The exchange, in a process that ends with this one."""
        words = [
            "-o",
            "json",
            "simulate",
            "--with-parent",
            "--port",
            str(self._port),
            "--seed",
            str(self._seed),
        ]
        words += [word for symbol in self._symbols for word in ("--symbol", symbol)]
        words += [word for fault in self._faults for word in ("--fault", fault)]
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; it ends when we have let go of it
            env={name: value for name, value in os.environ.items() if name != "RECONCILER_API_URL"},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            parts = line.split()
            if len(parts) < 2 or parts[0] != "REST":
                process.terminate()
                raise _did_not_start(process.communicate()[1])
            yield parts[1].removesuffix("/api/v1")
        finally:
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _trade(self, service: Service) -> None:
        """The strategy: random targets through the door, like anybody's."""
        from reconciler.service.door import TargetRequest

        if not service.ready.wait(READY_WITHIN_S):
            return
        self._until_in_sync(service)

        def set_target(symbol: str, contracts: int) -> None:
            asked = TargetRequest(
                symbol=symbol, contracts=contracts, source="random", reason="demo"
            )
            try:
                service.set_target(asked)
            except (ReconcilerError, OSError):
                pass  # refused, or the service is on its way out: the next draw will tell

        ranges = {s: random_targets.Range(MOST[s], LOTS[s]) for s in self._symbols}
        wanted = random_targets.draws(ranges, Random(f"targets/{self._seed}"))
        random_targets.follow(wanted, set_target, self._every_s, self._over)

    def _until_in_sync(self, service: Service) -> None:
        """Wait for the lots: before the venue has been seen, a target cannot be checked."""
        until = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until and not self._over.wait(0.1):
            with contextlib.suppress(ReconcilerError, OSError):
                if service.status()["service"].get("in_sync"):
                    return

    def _show(self, service: Service) -> None:
        if not service.ready.wait(READY_WITHIN_S):
            return
        database = service.options.database
        if self._picture:
            from reconciler.cli.screen import Screen

            Screen(service, database, no_color=self._ask.no_color).run(self._over)
        else:
            for line in lines(database, self._over):
                print(line, flush=True)

    def _head(self, config: AppConfig, url: str, port: int, moved: Path | None) -> None:
        database = config.database_path
        print(
            f"reconciler {__version__}  demo  simulated exchange {url} (seed {self._seed})"
            f"  journal {database}"
        )
        print(f"api        http://127.0.0.1:{port}/api/v1      log {database.with_suffix('.log')}")
        if self._strategies:
            print(f"strategies {STRATEGIES}")
        print(f"try        reconciler --database {database} status", flush=True)
        if moved is not None:
            self._ask.note(f"the journal of the last demo is now {moved}")

    def _summary(self, database: Path) -> None:
        from reconciler.journal import History

        with History.open(database) as journal:
            targets = journal.rows("v_targets", limit=0).dicts()
            orders = len(journal.rows("v_orders", limit=0).values)
            fills = journal.rows("v_fills", limit=0).dicts()
            shares = [
                row["on_target_share"]
                for row in journal.rows("v_daily", limit=0).dicts()
                if row["on_target_share"] is not None
            ]
            held = flow.strategies(journal) if self._strategies else []
        reached = sum(1 for row in targets if row["outcome"] == "held")
        volume = sum(row["contracts"] for row in fills)
        share = f", on target {sum(shares) / len(shares):.0%} of the time" if shares else ""
        print(
            f"{len(targets)} targets, {reached} reached; {orders} orders, {len(fills)} fills, "
            f"{volume:,} contracts{share}"
        )
        for row in held:
            print(
                f"{row.strategy or '(nobody)':<24} holds {row.symbol} {row.holds:+,d}, "
                + f"made {row.net_minor:+,d} {row.currency}".rstrip()
                + " after fees"
            )
        print(f"prove it   reconciler --database {database} replay")


def lines(database: Path, over: threading.Event) -> Iterator[str]:
    """Signals, targets and transitions as they are stored, one line each, until *over*."""
    from reconciler.journal import History

    seen = dict.fromkeys(KEYS, 0)
    with History.open(database) as journal:
        while True:
            last = over.wait(0.2)
            found: list[tuple[str, int, int, str]] = []
            for rank, (view, key) in enumerate(KEYS.items()):
                rows = journal.rows(view, limit=200).dicts()  # the newest
                new = [row for row in rows if row[key] > seen[view]]
                seen[view] = max([seen[view], *(row[key] for row in new)])
                found += [(_at(view, row), rank, row[key], in_words(view, row)) for row in new]
            yield from (line for *_, line in sorted(found))
            if last:
                return


#: What a plain demo shows, in the order in which one leads to the other, and what numbers its rows.
KEYS = {"v_signals": "number", "v_targets": "target_id", "v_transitions": "seq"}


def _at(view: str, row: dict[str, Any]) -> str:
    return str(row["set_at" if view == "v_targets" else "at"])


def in_words(view: str, row: dict[str, Any]) -> str:
    """``12:00:01Z  XBTUSD   idle → placing          limit Buy 600 @ 64231.5``"""
    if view == "v_targets":
        said = f"target {row['contracts']:+d}  ({row['reason'] or row['source']})"
    elif view == "v_signals":
        said = f"signal {row['strength']:+g}  {row['strategy']} ({row['reason']})"
    else:
        change = f"{row['from_state']} → {row['to_state']}"
        said = f"{change:<22}  {row['detail'] or row['trigger']}"
    return output.plain(f"{_at(view, row)[11:19]}Z  {row['symbol']:<8} {said}").rstrip()


def _did_not_start(told: str) -> ReconcilerError:
    """The error of the exchange's process, as one of ours."""
    from reconciler.client import ERRORS

    try:
        problem = json.loads(told.strip().splitlines()[-1])
        kind, detail = ERRORS[problem["code"]], problem["detail"]
    except (ValueError, KeyError, IndexError):
        return ReconcilerError("the exchange did not start")
    return kind(f"the exchange did not start: {detail}", next_step="")


def _listen(config: AppConfig) -> socket.socket:
    """The port of the API: the usual one, or, if that is in use and nobody named it, a free one."""
    from reconciler.api.server import bind

    try:
        return bind(*config.listen)
    except ConfigError:
        if "RECONCILER_API__LISTEN" in os.environ:
            raise
        return bind(config.listen[0], 0)


def _put_away(database: Path) -> Path | None:
    """
    Give the journal of an earlier demo another name; None if there is none.

    The exchange forgets everything when it ends, so an old journal would disagree with it.
    """
    from reconciler.journal.lock import Lock

    if not database.exists():
        return None
    lock = Lock.take(database, what="demo")  # not while another demo runs on it
    try:
        number = 1
        while (to := database.with_name(f"{database.stem}-{number}.db")).exists():
            number += 1
        for ending in ("", "-wal", "-shm", ".tip", ".service"):
            with contextlib.suppress(FileNotFoundError):
                database.with_name(database.name + ending).rename(to.with_name(to.name + ending))
    finally:
        lock.release()
    return to
