"""
The reconciler for a program: say targets, wait for them, look at what they cost.

    from reconciler import Client

    rc = Client()                                   # RECONCILER_API_URL and RECONCILER_TOKEN
    xbt = rc.target("XBTUSD", source="ma-cross", policy="passive", ttl="2h")
    xbt.set(+3000, reason="fast above slow")
    xbt.wait(timeout_s=120)

Errors are those of `reconciler.errors`. What was asked and not answered is asked again where that
is harmless; where it is not, the error is `InDoubt`, and nothing was guessed.
"""

from __future__ import annotations

import getpass
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from reconciler.client import HttpDoor
from reconciler.errors import (
    InDoubt,
    NotFound,
    Unauthorized,
    Unreachable,
    UsageError,
    WaitTimeout,
)
from reconciler.service.door import (
    CommandResult,
    Decided,
    ModeRequest,
    TargetRequest,
    TargetsRequest,
    TargetVersion,
)
from reconciler.service.servicefile import ServiceFile
from reconciler.shown import Rows

T = TypeVar("T")

URL = "http://127.0.0.1:8764"
UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
TRIES = 3  # of what is harmless when it is repeated
LOOK_S = 0.1
OF_NOW = ("targets", "schedules", "strategies")  # in one answer, whole
AGAIN_S = 1.0  # after a stream broke
PAGE = 1000  # rows in one answer, at most


class Client:
    """
    A service, from another process.

    Args:
        url: Of the service; else RECONCILER_API_URL, else this machine's usual one.
        token: That it knows; else RECONCILER_TOKEN.
        database: Its journal, instead of both: the service that runs on it is found, and found
            again once it was started anew, which gives it another token.
        timeout_s: How long an answer may take.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        database: str | Path | None = None,
        timeout_s: float = 20,
    ) -> None:
        if database is not None:
            found = ServiceFile(Path(database)).read()
            if found is None:
                raise NotFound(
                    f"no service runs on {database}", next_step="Start `reconciler run`."
                )
            url, token = url or found.url, token or found.token
        self._database = Path(database) if database is not None else None
        self._timeout_s = timeout_s
        token = token or os.environ.get("RECONCILER_TOKEN", "")
        if not token:
            raise UsageError(
                "there is no token for the service", next_step="Set RECONCILER_TOKEN, or token=."
            )
        url = url or os.environ.get("RECONCILER_API_URL", URL)
        self.door = HttpDoor(url, token, timeout_s)

    # -- targets -------------------------------------------------------------------------------

    def target(
        self,
        symbol: str,
        *,
        source: str,
        policy: str | None = None,
        ttl: str | None = None,
        on_expiry: str | None = None,
    ) -> Target:
        """The target of one symbol, with what each `Target.set` says."""
        ttl_s = _seconds(ttl) if ttl is not None else None
        usual = TargetRequest(
            symbol=symbol,
            source=source,
            policy=policy or "",
            ttl_s=ttl_s,
            on_expiry=on_expiry or "",
        )
        return Target(self, usual)

    def set_many(
        self, targets: Mapping[str, int], *, source: str, reason: str = "", prune: bool = False
    ) -> tuple[TargetVersion, ...]:
        """Set several targets, or none. With *prune*, all others are set to zero."""
        request = _several(targets, source, reason, prune)
        return self._again(lambda door: door.set_targets(request)).targets

    def plan(
        self,
        targets: Mapping[str, int],
        *,
        source: str = "plan",
        reason: str = "",
        prune: bool = False,
    ) -> Plan:
        """What these targets would lead to; `Plan.apply` sets them."""
        request = _several(targets, source, reason, prune)
        return Plan(self, self._once(lambda door: door.plan(request)))

    def forget(self, symbol: str, *, reason: str = "") -> TargetVersion:
        """Want nothing of a symbol any more; what is held stays, and is unwatched."""
        return self._once(lambda door: door.forget_target(symbol, by=_me(), reason=reason))

    # -- modes ---------------------------------------------------------------------------------

    def pause(self, *symbols: str, reason: str = "", until: str = "") -> CommandResult:
        """Place no order; cancel what rests; keep what is held. No symbols: all."""
        return self._mode("pause", symbols, reason, until)

    def reduce_only(self, *symbols: str, reason: str = "", until: str = "") -> CommandResult:
        """Only bring positions nearer to zero."""
        return self._mode("reduce_only", symbols, reason, until)

    def freeze(self, *symbols: str, reason: str = "", until: str = "") -> CommandResult:
        """Stop, with an incident, until somebody decides, or until a time."""
        return self._mode("freeze", symbols, reason, until)

    def flatten(self, *symbols: str, reason: str = "", until: str = "") -> CommandResult:
        """Targets of zero, and to zero it goes whatever is wanted meanwhile."""
        return self._mode("flatten", symbols, reason, until)

    def halt(self, *symbols: str, reason: str = "", until: str = "") -> CommandResult:
        """Cancel own orders and send nothing more."""
        return self._again(
            lambda door: door.halt(by=_me(), reason=reason, symbols=symbols, until=until)
        )

    def resume(self, *symbols: str, reason: str = "", adopt: bool = False) -> CommandResult:
        """End a halt, a freeze or a mode."""
        return self._once(
            lambda door: door.resume(by=_me(), reason=reason, symbols=symbols, adopt=adopt)
        )

    def resolve(self, incident: str, decision: str, *, reason: str) -> Decided:
        """Decide an incident: ``adopt``, ``trade_back`` or ``ignore``; see `Door.resolve`."""
        return self._once(lambda door: door.resolve(incident, decision, by=_me(), reason=reason))

    def _mode(self, mode: str, symbols: tuple[str, ...], reason: str, until: str) -> CommandResult:
        request = ModeRequest(mode=mode, by=_me(), reason=reason, symbols=symbols, until=until)
        return self._again(lambda door: door.set_mode(request))

    # -- look ----------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The whole account; see `Door.status`."""
        return self._once(lambda door: door.status())

    def symbol(self, name: str) -> dict[str, Any]:
        """One symbol of it: state, target, position, gap, working, waiting_for…"""
        for row in self.status()["symbols"]:
            if row["symbol"] == name:
                return dict(row)
        raise NotFound(f"there is no symbol {name[:40]!r}", symbol=name[:40])

    def rows(self, kind: str, *, limit: int = 50, page: int = PAGE, **params: Any) -> Rows:
        """
        Rows of the journal, the newest first.

        Args:
            kind: orders, fills, transitions, executions, signals, refusals, modes…
            limit: At most so many, however many pages that takes; 0: all.
            page: So many in one answer.
            params: symbol, since and until (ISO 8601).
        """
        found, cursor = Rows(), ""
        if kind in OF_NOW and not params.get("history"):
            return Rows(self._page(kind, params)[0][: limit or None])
        while True:
            most = min(page, limit - len(found)) if limit else page
            asked = {"limit": most, **params} | ({"cursor": cursor} if cursor else {})
            rows, cursor = self._page(kind, asked)
            found += rows
            if not cursor or len(found) == limit:
                return found

    def _page(self, kind: str, asked: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
        return self._once(lambda door: door.page(kind, **asked))

    def orders(self, *, limit: int = 50, **params: Any) -> Rows:
        """Orders of ours; see `rows`."""
        return self.rows("orders", limit=limit, **params)

    def fills(self, *, limit: int = 50, **params: Any) -> Rows:
        """Contracts that changed hands; see `rows`."""
        return self.rows("fills", limit=limit, **params)

    def transitions(self, *, limit: int = 50, **params: Any) -> Rows:
        """Steps of the state machine; see `rows`."""
        return self.rows("transitions", limit=limit, **params)

    def executions(self, *, limit: int = 50, **params: Any) -> Rows:
        """What each target cost and how long it took; see `rows`."""
        return self.rows("executions", limit=limit, **params)

    def targets(self, *, limit: int = 50, **params: Any) -> Rows:
        """Every target that there was; see `rows`."""
        return self.rows("targets", limit=limit, **{"history": 1, **params})

    def daily(self, *, limit: int = 50, **params: Any) -> Rows:
        """What each day brought, by symbol; see `rows`."""
        return self.rows("daily", limit=limit, **params)

    def why(self, name: str, *, at: str = "") -> dict[str, Any]:
        """
        The causes of an order, a fill or a symbol.

        Args:
            name: Its id; a symbol's name.
            at: Of a symbol: as it was known then (ISO 8601).
        """
        return self._once(lambda door: door.why(name, at))

    def stream(
        self,
        kinds: Sequence[str] = ("transition", "fill"),
        *,
        symbol: str = "",
        after: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """
        What happens, as it happens; it goes on by itself after a break, and misses nothing.

        A row may come a second time after a break: ``seq`` tells. After a new start of the service
        another token counts; a client that was made with ``database`` finds it.

        Args:
            kinds: transition, fill, target, refusal, mode, signal, incident.
            symbol: Only of this one.
            after: The ``seq`` to go on after; None: from now on.
        """
        door = self.door
        while True:
            try:
                for number, kind, row in door.events(kinds, symbol=symbol, after=after):
                    after = number
                    if kind:
                        yield {"kind": kind, **row}
            except (Unreachable, Unauthorized) as error:
                time.sleep(AGAIN_S)  # a new start listens before it writes down its token
                before, door = door, self._door_of_now(door)
                if door is before and isinstance(error, Unauthorized):
                    raise

    def wait(self, *symbols: str, timeout_s: float | None = None) -> None:
        """
        Wait until symbols (all that have a target, if none is named) hold their targets.

        Raises:
            WaitTimeout: They do not; it says what each waits for.
        """
        began = time.monotonic()
        while True:
            rows = {row["symbol"]: row for row in self.status()["symbols"]}
            chosen = symbols or tuple(
                name for name, row in rows.items() if row["target"] is not None
            )
            for name in chosen:
                if name not in rows:
                    raise NotFound(f"there is no symbol {name[:40]!r}", symbol=name[:40])
            left = [rows[name] for name in chosen if not _held(rows[name])]
            if not left:
                return
            if timeout_s is not None and time.monotonic() - began >= timeout_s:
                raise WaitTimeout("; ".join(map(_still, left)))
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Let go of the connection."""
        self.door.close()

    def _once(self, ask: Callable[[HttpDoor], T]) -> T:
        """Ask; if that was a service that is no more, and did nothing, ask the one of now."""
        door = self.door
        try:
            return ask(door)
        except (Unreachable, Unauthorized) as error:
            if isinstance(error, Unauthorized):
                time.sleep(LOOK_S)  # a new start listens before it writes down its token
            if self._door_of_now(door) is door:
                raise
        return ask(self.door)

    def _again(self, ask: Callable[[HttpDoor], T]) -> T:
        """Ask what is harmless when it is repeated; the last doubt is told."""
        for _ in range(TRIES - 1):
            try:
                return self._once(ask)
            except InDoubt:
                time.sleep(LOOK_S)
        return self._once(ask)

    def _door_of_now(self, door: HttpDoor) -> HttpDoor:
        """That of the service that runs on the journal now; *door* itself, if it is that."""
        found = ServiceFile(self._database).read() if self._database is not None else None
        if found is None or (found.url, found.token) == (door.url, door.token):
            return door
        self.door = HttpDoor(found.url, found.token, self._timeout_s)
        return self.door


class Target:
    """What one program wants of one symbol. Made by `Client.target`; may be used by any thread."""

    def __init__(self, client: Client, usual: TargetRequest) -> None:
        self._client, self._usual = client, usual

    def set(
        self,
        contracts: int | None = None,
        *,
        by: int | None = None,
        notional: str | int | Decimal | None = None,
        percent: str | int | Decimal | None = None,
        reason: str = "",
        if_version: int | None = None,
        deadline: str | None = None,
        price: str | int | Decimal | None = None,
        confirm: int | None = None,
    ) -> TargetVersion:
        """
        Want so many contracts: returns once it is recorded, long before it is held.

        The same target again writes nothing, but for a new time to live. A request that is not
        harmless when it is repeated carries a key, so that it is.
        """
        usual = self._usual
        absolute = contracts is not None and if_version is None
        request = TargetRequest(
            symbol=usual.symbol,
            contracts=contracts,
            by=by,
            notional=_exact(notional),
            percent=_exact(percent),
            source=usual.source,
            reason=reason,
            policy=usual.policy,
            ttl_s=usual.ttl_s,
            on_expiry=usual.on_expiry,
            if_version=if_version,
            key="" if absolute else uuid.uuid4().hex,
            deadline=deadline or "",
            price=_exact(price),
            confirm=confirm,
        )
        return self._client._again(lambda door: door.set_target(request))

    def wait(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait until the position is the target; the symbol's status then."""
        self._client.wait(self._usual.symbol, timeout_s=timeout_s)
        return self.status()

    def status(self) -> dict[str, Any]:
        """See `Client.symbol`."""
        return self._client.symbol(self._usual.symbol)


class Plan:
    """What targets would lead to. ``rows`` are as `Door.plan` has them."""

    def __init__(self, client: Client, shown: dict[str, Any]) -> None:
        self._client = client
        self.plan_id: str = shown["plan_id"]
        self.valid_until: str | None = shown["valid_until"]
        self.rows: list[dict[str, Any]] = shown["rows"]
        self.changed: int = shown["changed"]

    def apply(self) -> tuple[TargetVersion, ...]:
        """
        Set them, if nothing has moved since.

        Raises:
            PlanExpired, PlanMoved: Make the plan again.
            InDoubt: No answer came: look at the targets before you plan again.
        """
        return self._client._once(lambda door: door.apply_plan(self.plan_id)).targets


def _several(targets: Mapping[str, int], source: str, reason: str, prune: bool) -> TargetsRequest:
    return TargetsRequest(
        targets=tuple(
            TargetRequest(symbol=symbol, contracts=contracts, source=source, reason=reason)
            for symbol, contracts in targets.items()
        ),
        prune=prune,
        source=source,
        reason=reason,
    )


def _exact(number: str | int | Decimal | None) -> str | None:
    """A number as doors take it: as text, so that nothing of it is lost."""
    return f"{number:f}" if isinstance(number, Decimal) else None if number is None else str(number)


def _seconds(text: str) -> int:
    parts = re.findall(r"([0-9]{1,9})([smhdw])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{text[:40]!r} is not a duration", next_step="Write 90s, 5m, 4h or 1d.")
    return sum(int(number) * UNITS_S[unit] for number, unit in parts)


def _held(row: dict[str, Any]) -> bool:
    return row["target"] is not None and row["state"] == "idle" and not row["waiting_for"]


def _still(row: dict[str, Any]) -> str:
    waits = row["waiting_for"] or ("nothing" if row["target"] is not None else "a target")
    return f"{row['symbol']} is still {row['state']}, waiting for {waits}"


def _me() -> str:
    try:
        return f"python {getpass.getuser()}"
    except (KeyError, OSError):
        return "python"
