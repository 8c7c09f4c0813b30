"""
Real processes on loopback: a paper exchange, a service, and the truth to compare them with.

The exchange stays; the service is killed and started again. What is asked of the world is always
the venue's own record (`/paper/truth`) and the rows on the disk.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import requests

from reconciler.client import HttpDoor
from reconciler.journal import replay
from reconciler.service.door import TargetRequest, TargetVersion
from reconciler.service.servicefile import ServiceFile
from tests.endtoend.zygote import Child

T = TypeVar("T")
SYMBOLS = ("XBTUSD", "ETHUSD", "XBTUSDT")
LOTS = {"XBTUSD": 100, "ETHUSD": 1, "XBTUSDT": 100}
MOVING = ("Trade", "Liquidation", "Bankruptcy", "Settlement")
#: Every order that was decided: it stands in its event's row before a byte is sent, and in the
#: table `intents` soon after.
DECIDED = (
    "select json_extract(value, '$.cl_ord_id') cl_ord_id from journal, json_each(decisions)"
    " where json_extract(value, '$.kind') = 'placeorder'"
)
COMMAND = [sys.executable, "-m", "reconciler"]


def wait_for(
    what: str, look: Callable[[], T | None], within_s: float = 30, every_s: float = 0.02
) -> T:
    """Look until there is something to see; say what was missing otherwise."""
    deadline = time.monotonic() + within_s
    while True:
        seen = look()
        if seen is not None and seen is not False:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within_s:g} s")
        time.sleep(every_s)


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class House:
    """A folder, an exchange, and a service that may be dead."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 7,
        symbols: tuple[str, ...] = SYMBOLS,
        more: str = "",
        faults: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.symbols = symbols
        self.faults = faults
        self.database = folder / "state" / "journal.db"
        self.config = folder / "reconciler.toml"
        self.venue_port, self.api_port = free_port(), free_port()
        self.venue_url = f"http://127.0.0.1:{self.venue_port}"
        self.config.write_text(
            f"""
[exchange]
environment = "simulated"
url = "{self.venue_url}"
symbols = {json.dumps(list(symbols))}
[database]
url = "sqlite:///{self.database}"
[api]
listen = "127.0.0.1:{self.api_port}"
[limits]
max_position_contracts = 100000
max_order_contracts = 100000
max_orders_per_minute = 1000
{more}
"""
        )
        self.forgiven: set[str] = set()  # ids that a story doubled on purpose
        self.acknowledged: dict[str, int] = {}  # the newest targets that an answer came for
        self.log = (folder / "service.log").open("ab")
        self.venue: subprocess.Popen[bytes] | Child | None = None
        self.service: subprocess.Popen[bytes] | Child | None = None
        self._session = requests.Session()
        self._session.trust_env = False
        self._door: tuple[int, HttpDoor] | None = None  # of the process with this number

    def __enter__(self) -> Self:
        self.start_venue()
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.service, self.venue):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.log.close()
        self._session.close()
        self._close_door()

    # -- processes -----------------------------------------------------------------------------

    def spawn(self, *words: str) -> subprocess.Popen[bytes] | Child:
        """Start one of our own commands."""
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        return subprocess.Popen(
            [*COMMAND, *words],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            env=env,
            cwd=self.folder,
        )

    def run(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run one of our own commands to its end, against this house."""
        return subprocess.run(
            [*COMMAND, "-c", str(self.config), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=self.folder,
            env={**os.environ, "NO_COLOR": "1"},
            check=False,
        )

    def start_venue(self) -> None:
        """Start the paper exchange and wait until it answers."""
        self.venue = self.spawn(
            "simulate",
            "--port",
            str(self.venue_port),
            "--seed",
            str(self.seed),
            "--keep",
            "0",  # what was doubled must be seen, however long it runs
            *[word for symbol in self.symbols for word in ("--symbol", symbol)],
            *[word for fault in self.faults for word in ("--fault", fault)],
        )
        wait_for("the exchange answers", lambda: self.get("/api/v1/instrument/active"))

    def start(self) -> None:
        """Start the service and wait until its door is open."""
        self.service = self.spawn("-vv", "-c", str(self.config), "run")
        wait_for("the service's door", self.door_or_none)

    def kill(self) -> None:
        """Pull the plug: no handler runs, nothing is flushed."""
        assert self.service is not None
        self.service.send_signal(signal.SIGKILL)
        self.service.wait()

    def stop(self, within_s: float = 15) -> int:
        """Ask for an orderly stop; its exit code."""
        assert self.service is not None
        self.service.send_signal(signal.SIGTERM)
        return self.service.wait(within_s)

    # -- doors ---------------------------------------------------------------------------------

    def door_or_none(self) -> HttpDoor | None:
        """The running service's door, if it has been opened."""
        assert self.service is not None
        if self.service.poll() is not None:
            raise AssertionError(f"the service ended with {self.service.returncode}: {self.tail()}")
        if self._door is not None and self._door[0] == self.service.pid:
            return self._door[1]
        found = ServiceFile(self.database).read()
        if found is None or found.pid != self.service.pid:
            return None
        try:
            door = HttpDoor(found.url, found.token)
            door.status()
        except Exception:
            return None
        self._close_door()
        self._door = found.pid, door
        return door

    def _close_door(self) -> None:
        if self._door is not None:
            self._door[1].close()
            self._door = None

    def set_target(self, symbol: str, contracts: int, policy: str = "urgent") -> TargetVersion:
        """Set a target over HTTP, as a strategy would."""
        door = self.door_or_none()
        assert door is not None
        self.acknowledged.pop(symbol, None)  # while it is being asked for, either may be there
        version = door.set_target(
            TargetRequest(symbol=symbol, contracts=contracts, policy=policy, source="story")
        )
        self.acknowledged[symbol] = contracts
        return version

    def status(self) -> dict[str, dict[str, Any]]:
        """The service's rows, by symbol."""
        door = self.door_or_none()
        assert door is not None
        return {row["symbol"]: row for row in door.status()["symbols"]}

    def get(self, path: str) -> Any:
        """Ask the exchange; None while it does not answer."""
        try:
            answer = self._session.get(self.venue_url + path, timeout=5)
        except requests.ConnectionError:
            return None
        return answer.json()

    def post(self, path: str, **body: object) -> Any:
        """Tell the exchange's own door something."""
        return self._session.post(self.venue_url + path, json=body, timeout=5).json()

    def truth(self) -> dict[str, Any]:
        """All that ever happened on the account, by the venue's own record."""
        found: dict[str, Any] = self.get("/paper/truth")
        assert not any(found["dropped"].values()), f"the truth is not whole: {found['dropped']}"
        return found

    def tail(self) -> str:
        """The end of what the processes printed."""
        self.log.flush()
        return (self.folder / "service.log").read_text(errors="replace")[-3000:]

    # -- the world -----------------------------------------------------------------------------

    def held(self, targets: dict[str, int]) -> bool:
        """Whether every account of the position says that *targets* are held."""
        rows = self.status()
        positions = self.truth()["positions"]
        return all(
            rows[symbol]["target"] == wanted
            and rows[symbol]["position"] == wanted
            and rows[symbol]["state"] == "idle"
            and not rows[symbol]["waiting_for"]
            and positions.get(symbol, 0) == wanted
            for symbol, wanted in targets.items()
        )

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Read the journal as anybody may: read-only."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as db:
            return db.execute(query).fetchall()

    def check(self) -> dict[str, int]:
        """
        Compare the journal with the venue's record. The service is quiet, or dead.

        Returns:
            How much was compared, so that a report can say so.
        """
        ours, intents, stored, venue = self.never()
        assert stored == venue, (
            f"lost: {set(venue) - set(stored)}, invented: {set(stored) - set(venue)}"
        )
        assert self.rows("select cl_ord_id from intents order by 1") == sorted(self.rows(DECIDED))
        self._check_details(self.truth())
        return {"orders": ours, "intents": intents, "fills": len(stored)}

    def _check_details(self, truth: dict[str, Any]) -> None:
        """Each order as it was intended, each fill with its order, each position as booked."""
        intended = {
            name: (symbol, "Buy" if contracts > 0 else "Sell", abs(contracts))
            for name, symbol, contracts in self.rows(
                "select cl_ord_id, symbol, contracts from intents"
            )
        }
        for row in truth["orders"]:
            if row.get("clOrdID", "").startswith("rc-"):
                symbol, side, contracts = intended[row["clOrdID"]]
                assert (row["symbol"], row["side"]) == (symbol, side), row
                assert row["orderQty"] <= contracts, row  # reduce-only may have been lowered
        whose = {
            exec_id: (symbol, (cl_ord_id or "").partition("/")[0])
            for exec_id, symbol, cl_ord_id in self.rows(
                "select exec_id, symbol, cl_ord_id from v_fills"
            )
        }
        for row in truth["executions"]:
            if row["execType"] in MOVING:
                mine = row.get("clOrdID", "")
                mine = mine if mine.startswith("rc-") else ""
                assert whose.get(row["execID"]) == (row["symbol"], mine), row
        booked = dict(self.rows("select symbol, position from symbol_now"))
        for symbol in self.symbols:
            assert booked.get(symbol, 0) == truth["positions"].get(symbol, 0), symbol

    def never(self) -> tuple[int, int, dict[str, int], dict[str, int]]:
        """
        What may not be at any moment, whatever has just happened.

        Returns:
            How many orders and intents there are; fills by execution, as stored and as the
            venue has them.
        """
        truth = self.truth()
        ours = [row for row in truth["orders"] if row.get("clOrdID", "").startswith("rc-")]
        made = self.database.exists()
        intents = {row[0] for row in self.rows(DECIDED)} if made else set()
        seen = Counter(row["clOrdID"] for row in ours if row["clOrdID"] not in self.forgiven)
        assert not [name for name, times in seen.items() if times > 1], "an order was doubled"
        assert set(seen) <= intents, f"orders without an intent: {set(seen) - intents}"
        named = (r["clOrdID"] for r in truth["requests"] if r.get("clOrdID"))
        sent = Counter(name for name in named if name not in self.forgiven)
        assert not [name for name, times in sent.items() if times > 1], "a request was sent twice"
        assert set(sent) <= intents, f"requests without an intent: {set(sent) - intents}"
        open_now = Counter(row["symbol"] for row in ours if row["leavesQty"])
        assert all(times == 1 for times in open_now.values()), f"two live orders: {open_now}"
        if made and not self.forgiven:
            self._stay_within_targets(truth["executions"])

        venue = {
            row["execID"]: row["lastQty"] * (1 if row["side"] == "Buy" else -1)
            for row in truth["executions"]
            if row["execType"] in MOVING
        }
        rows = self.rows("select exec_id, signed_contracts from v_fills") if made else []
        stored: dict[str, int] = dict(rows)
        assert len(stored) == len(rows), "a fill counted twice"
        assert stored.items() <= venue.items(), "a fill that never was"
        return len(ours), len(intents), stored, venue

    def unanswered(self) -> int:
        """How many requests for an order have no answer on the disk."""
        if not self.database.exists():
            return 0
        return len(
            self.rows(
                f"select 1 from ({DECIDED}) left join orders using (cl_ord_id)"
                " where coalesce(status, 'intended') in ('intended', 'in_doubt')"
            )
        )

    def _stay_within_targets(self, executions: list[dict[str, Any]]) -> None:
        """Own fills lead from where an order was decided towards its target, and never past it."""
        way = {
            name: (min(position, target), max(position, target))
            for name, position, target in self.rows(
                "select cl_ord_id, i.position, t.contracts from intents i join targets t"
                " on t.symbol = i.symbol and t.version = i.target_version"
            )
        }
        moving = [row for row in executions if row["execType"] in MOVING]
        if not all(row.get("clOrdID", "").startswith("rc-") for row in moving):
            return  # other people's trades may come between a decision and its fills
        position: Counter[str] = Counter()
        for row in moving:
            position[row["symbol"]] += row["lastQty"] * (1 if row["side"] == "Buy" else -1)
            if row["clOrdID"] in way:
                least, most = way[row["clOrdID"]]
                assert least <= position[row["symbol"]] <= most, (
                    f"{position[row['symbol']]} is not between {least} and {most}: {row}"
                )

    def replay(self) -> int:
        """Replay the journal; how many events. A difference is a failure."""
        report = replay(self.database)
        assert report.difference is None, report.difference
        return report.events
