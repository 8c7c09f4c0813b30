"""
A service and an exchange for a test or a notebook: nothing to configure, nothing left behind.

The exchange runs in this process, so that a test can move its prices and read its truth. The
service runs in a process of its own, as it does for good: it handles signals and tunes the garbage
collector, and a strategy has to live through its `kill`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reconciler.client import HttpDoor
from reconciler.errors import NotFound, Unreachable, WaitTimeout
from reconciler.paper import PaperExchange
from reconciler.service.door import TargetRequest, TargetVersion
from reconciler.service.servicefile import Found, ServiceFile

LOOK_S = 0.05  # how often a state is looked at that is waited for
START_WITHIN_S = 30.0
STOP_WITHIN_S = 15.0
#: A service ends by itself, however the process that started it has ended.
LIVES = "1h"
SETTINGS = """\
[exchange]
environment = "simulated"
url = {url}
symbols = {symbols}
[database]
url = {database}
durability = "process"
[api]
listen = "127.0.0.1:0"
[limits]
max_position_contracts = 1000000
max_order_contracts = 1000000
max_orders_per_minute = 1000
"""


class Reconciler:
    """
    A running service, and the exchange that it trades on.

        with Reconciler.simulated(symbols=["XBTUSD"]) as running:
            running.set_target("XBTUSD", 500)
            running.wait_on_target("XBTUSD")
            assert running.exchange.position("XBTUSD") == 500

    Attributes:
        exchange: The `PaperExchange`, in this process.
        database: The journal, for `reconciler --database` or any SQLite reader.
        log: What the service said.
    """

    def __init__(self, folder: Path, exchange: PaperExchange, settings: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.exchange = exchange
        self.database = folder / "journal.db"
        self.log = folder / "service.log"
        self._folder = folder
        self._config = folder / "reconciler.toml"
        self._config.write_text(
            SETTINGS.format(
                url=json.dumps(exchange.url),
                symbols=json.dumps(list(exchange.symbols)),
                database=json.dumps(f"sqlite:///{self.database}"),
            )
            + settings,
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._door: HttpDoor | None = None
        self._found: Found | None = None

    @classmethod
    @contextmanager
    def simulated(
        cls, folder: Path | None = None, *, settings: str = "", **options: Any
    ) -> Iterator[Reconciler]:
        """
        A service on a new exchange, for as long as the ``with`` block lasts.

        Args:
            folder: Where its journal and its log go; None: somewhere that is gone at the end.
            settings: More of a configuration file, as ``[policy.slow]`` and what belongs there.
            options: Of `PaperExchange`: symbols, seed, faults, walk, …
        """
        with ExitStack() as stack:
            if folder is None:
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="reconciler-")))
            running = cls(folder, stack.enter_context(PaperExchange(**options)), settings)
            stack.callback(running.kill)
            running.start()
            yield running

    # -- for a strategy ------------------------------------------------------------------------

    @property
    def api_url(self) -> str:
        """Where the service takes questions, as ``http://127.0.0.1:40123/api/v1``."""
        return f"{self._service().url.rstrip('/').removesuffix('/api/v1')}/api/v1"

    @property
    def token(self) -> str:
        """The word that opens it: ``Authorization: Bearer …``, or RECONCILER_TOKEN."""
        return self._service().token

    def set_target(
        self, symbol: str, contracts: int, *, policy: str = "urgent", reason: str = "", **more: Any
    ) -> TargetVersion:
        """Set a target; returns once it is recorded. *more* as in `TargetRequest`."""
        asked = {"source": "test", "reason": reason, **more}
        return self.door.set_target(
            TargetRequest(symbol=symbol, contracts=contracts, policy=policy, **asked)
        )

    def wait_on_target(self, *symbols: str, timeout_s: float = 30) -> None:
        """
        Wait until symbols (all that have a target, if none is named) hold their targets.

        Raises:
            WaitTimeout: They do not; it says what each waits for.
        """

        def look() -> bool:
            rows = self.status()
            if missing := [s for s in symbols if s not in rows or rows[s]["target"] is None]:
                raise NotFound(f"{missing[0]} has no target", symbol=missing[0])
            chosen = symbols or tuple(s for s, row in rows.items() if row["target"] is not None)
            return all(_is_held(rows[name]) for name in chosen)

        try:
            _until(look, timeout_s)
        except TimeoutError:
            rows = self.status()
            left = [row for s, row in rows.items() if s in (symbols or rows) and not _is_held(row)]
            raise WaitTimeout("; ".join(map(_still, left)), next_step=f"See {self.log}.") from None

    def status(self) -> dict[str, dict[str, Any]]:
        """What the service says of each symbol: target, position, gap, state, waiting_for…"""
        return {row["symbol"]: row for row in self.door.status()["symbols"]}

    def position(self, symbol: str) -> int:
        """Contracts that the service counts; the exchange's own figure: ``exchange.position``."""
        return int(self.status()[symbol]["position"] or 0)

    @property
    def door(self) -> HttpDoor:
        """All that may be asked of a service: halt, resume, rows of its tables…"""
        self._service()
        assert self._door is not None
        return self._door

    # -- its life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the service, for the first time or again, and wait until it is in sync."""
        assert self._process is None, "the service runs"
        self._forget()
        words = ["-c", str(self._config), "run", "--for", LIVES]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "reconciler", *words], env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder,
                start_new_session=True,  # Ctrl-C is for the tests; they end it
            )  # fmt: skip
        try:
            _until(self._is_in_sync, START_WITHIN_S)
        except TimeoutError:
            raise Unreachable(f"the service did not start; see {self.log}") from None

    def stop(self) -> int:
        """End the service in order: it cancels what rests. Its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the service as a power failure would. `start` begins where it was cut off."""
        if self._process is not None:
            self._end(signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        """This process's, without a setting of the user's: the test decides what is done."""
        ours = ("RECONCILER_", "BITMEX_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {
            "RECONCILER_EXCHANGE__API_KEY": self.exchange.key,
            "RECONCILER_EXCHANGE__API_SECRET": self.exchange.secret,
        }

    def _end(self, number: int) -> int:
        assert self._process is not None, "the service does not run"
        process, self._process = self._process, None
        self._forget()
        process.send_signal(number)
        try:
            return process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _forget(self) -> None:
        if self._door is not None:
            self._door.close()
        self._door = self._found = None

    def _service(self) -> Found:
        if self._found is None:
            raise Unreachable("the service does not run", next_step="Call start().")
        return self._found

    def _is_in_sync(self) -> bool:
        """Whether the service knows its account: from now on a target is checked at once."""
        assert self._process is not None
        if self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            said = self.log.read_text(encoding="utf-8", errors="replace")[-600:]
            raise Unreachable(f"the service ended with {code}: {said}")
        if self._door is None:
            found = ServiceFile(self.database).read()
            if found is None or found.pid != self._process.pid:
                return False
            self._found, self._door = found, HttpDoor(found.url, found.token)
        with contextlib.suppress(Unreachable):
            return bool(self._door.status()["service"].get("in_sync"))
        return False


def _is_held(row: dict[str, Any]) -> bool:
    return row["target"] is not None and row["state"] == "idle" and not row["waiting_for"]


def _still(row: dict[str, Any]) -> str:
    return (
        f"{row['symbol']} is still {row['state']}: target {row['target']}, position "
        f"{row['position']}, waiting for {row['waiting_for'] or 'nothing'}"
    )


def _until(look: Callable[[], bool], within_s: float) -> None:
    """
    Look until it is so.

    Raises:
        TimeoutError: it was not, in time.
    """
    deadline = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(LOOK_S)
