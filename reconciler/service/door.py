"""
The door: what a person or a program may ask of the reconciler, whoever answers.

Three things stand behind it: the running service itself (`reconciler.service.service`), the same
over HTTP (`reconciler.client`), and, when no service runs, the journal (`service.offline`). One
meaning, the same answers, the same errors.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from reconciler.strategy.signals import Signal


class TargetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Somebody wants a position, in one form: contracts, ``by``, ``notional`` or ``percent``.

    Types are checked strictly at every door: the text "5", true and 5.0 are not 5.
    """

    symbol: str
    contracts: int | None = None
    by: int | None = None  # relative to the target in force: made absolute at once
    notional: str | None = None  # of money, as "5000": see `reconciler.core.targets.amounts`
    percent: str | None = None  # of the equity, as "2.5"
    source: str = "cli"
    reason: str = ""
    policy: str = ""  # "": the default policy
    ttl_s: int | None = None
    on_expiry: str = ""  # hold | flatten | freeze; "": as configured
    if_version: int | None = None  # the version that this replaces, or the request is stale
    key: str = ""  # makes a repeat harmless
    deadline: str = ""  # ISO 8601, UTC: to be held by then
    price: str | None = None  # that the signal was given at, as "64231.5"
    confirm: int | None = None  # the contracts again: of a change that is not the usual one


class TargetsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody wants positions in several symbols: all of them, or nothing happens."""

    targets: tuple[TargetRequest, ...]
    prune: bool = False  # symbols that have a target, and are not named: to zero
    source: str = "cli"  # of what *prune* adds
    reason: str = ""


class TargetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A target that is recorded."""

    symbol: str
    contracts: int
    previous: int | None  # None: there was none
    version: int
    changed: bool  # False: the same target again; nothing new was written
    expires_at: str | None  # ISO 8601, UTC
    on_expiry: str
    state: str  # of the symbol, now
    note: str = ""  # what could not be checked yet, in words


class TargetVersions(msgspec.Struct, frozen=True, kw_only=True):
    """Targets that are recorded, all of them."""

    targets: tuple[TargetVersion, ...]
    changed: int  # how many of them are new


class ModeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far symbols may trade from now on. No symbols: the account."""

    mode: str  # pause | reduce_only | freeze | flatten
    by: str
    reason: str = ""
    symbols: tuple[str, ...] = ()
    until: str = ""  # ISO 8601, UTC: then it ends by itself


class ScheduleEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of a schedule as it is asked for: at a moment, or so long after another row."""

    symbol: str
    contracts: int
    at: str = ""  # ISO 8601, UTC
    name: str = ""  # that other rows may come ``after``
    after: str = ""
    delay_s: int | None = None  # of a row that comes after another
    policy: str = ""
    reason: str = ""


class ScheduleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of times and targets, whole. No rows: it is removed."""

    name: str
    rows: tuple[ScheduleEntry, ...]
    source: str = "cli"
    reason: str = ""


class ScheduleShown(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule that is recorded."""

    name: str
    rows: tuple[dict[str, Any], ...]  # n, at, symbol, contracts, policy, reason, done
    done: int  # rows that came due
    next_at: str | None


class SignalResult(msgspec.Struct, frozen=True, kw_only=True):
    """A signal that is recorded, or that changes nothing, and the targets that follow."""

    strategy: str
    symbol: str
    number: int  # of the signal in force; 0: a newer one was faster
    changed: bool  # False: the same strength again; nothing new was written
    targets: tuple[TargetVersion, ...] = ()  # that were set with it, of any symbol
    refused: tuple[str, ...] = ()  # why a target that should follow did not: the one before holds
    note: str = ""


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a halt, a resume or a mode did."""

    did: str  # "halted" | "resumed" | "paused" | "reduce-only" | "frozen" | "flattened"
    symbols: tuple[str, ...]
    resting: tuple[str, ...] = ()  # own orders that may still be alive, by client order id
    adopted: dict[str, int] = {}  # symbol: contracts adjusted, when a mismatch was adopted
    positions: dict[str, int] = {}  # of the symbols, now
    until: str | None = None  # ISO 8601, UTC
    note: str = ""  # what still stands in the way, in words


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that a person decided."""

    incident_id: int
    kind: str
    symbol: str  # or the strategy that it is about; "": the account
    decision: str  # "adopt" | "trade_back" | "ignore"
    adjusted: int = 0  # signed contracts that the books were moved by
    position: int | None = None  # now; None: it is about no symbol
    target: int | None = None  # now
    note: str = ""  # what still stands in the way, in words


class StrategyReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a strategy that runs in a process of its own says of itself."""

    strategy: str  # its identifier
    state: Literal["running", "stopped", "failed"]
    detail: str = ""
    parameters: str = ""  # JSON
    run: str = ""  # of the process that holds the name; see `Door.hold_strategy`
    number: int = 0  # the same


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that was read again, and what of it is other than before."""

    limits: bool  # or policies
    portfolios: bool  # or weights
    started: tuple[str, ...] = ()  # strategies, by identifier
    restarted: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    needs_start: tuple[str, ...] = ()  # settings that are taken up when the service starts


class Door(Protocol):
    """What may be asked. Every method raises errors of `reconciler.errors`."""

    def set_target(self, request: TargetRequest) -> TargetVersion:
        """Record a target. Returns once it is on the disk. Raises Refused and its kin."""

    def set_targets(self, request: TargetsRequest) -> TargetVersions:
        """Record several targets in one commit, or none. Raises what refuses one of them."""

    def forget_target(self, symbol: str, *, by: str, reason: str = "") -> TargetVersion:
        """Want nothing of a symbol any more: what is held stays, and nobody minds it."""

    def plan(self, request: TargetsRequest) -> dict[str, Any]:
        """
        What the targets would lead to, in rows, and an id that `apply_plan` takes for 5 minutes.

        See `reconciler.service.planning`. Nothing is recorded.
        """

    def apply_plan(self, plan_id: str) -> TargetVersions:
        """Set the targets of a plan. Raises PlanExpired, or PlanMoved if anything moved since."""

    def set_mode(self, request: ModeRequest) -> CommandResult:
        """Pause, reduce only, freeze or flatten. Returns once what has to go rests no more."""

    def set_schedule(self, request: ScheduleRequest) -> ScheduleShown:
        """Record a schedule in place of the one of that name; a refusal keeps that one."""

    def schedules(self) -> list[ScheduleShown]:
        """Every schedule in force."""

    def halt(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), until: str = ""
    ) -> CommandResult:
        """Cancel own orders and send nothing more. Returns once nothing rests, or after 10 s."""

    def resume(
        self, *, by: str, reason: str, symbols: tuple[str, ...] = (), adopt: bool = False
    ) -> CommandResult:
        """
        End a halt or a freeze.

        Args:
            adopt: Where books and venue differ, take the venue's figure as an adjustment with
                this author and reason; otherwise a symbol frozen by a difference is refused.
        """

    def resolve(self, incident: str, decision: str, *, by: str, reason: str) -> Decided:
        """
        Decide an open incident: ``adopt``, ``trade_back`` or ``ignore``.

        To adopt or to trade back, the books take the venue's figure as an adjustment under this
        name; to adopt, the target does, too. Raises NotFound; Refused where that decides nothing.
        """

    def signal(self, signal: Signal) -> SignalResult:
        """
        Record what a strategy thinks, and set the targets that follow, in one commit.

        Raises UsageError, UnknownStrategy, UnknownSymbol: the signal before stays in force.
        """

    def status(self) -> dict[str, Any]:
        """
        ``{"service": {...}, "symbols": [{...v_status columns...}], "incidents": [...]}``.

        ``service`` holds: running, run_id, started_at, environment, account, stream,
        stream_age_ms, latency_ms, budget {per_minute: [left, of], per_second: [left, of]},
        clock_offset_ms, halted, frozen, epoch, last_seq.
        """

    def strategies(self) -> list[dict[str, Any]]:
        """
        Every strategy that was heard of: strategy (the identifier), name, class, symbols, bar,
        runs, state, signals and strengths (in force), holds, on_failure, detail, parameters.
        """

    def strategy(self, name: str, do: str, *, by: str, zero: bool = False) -> dict[str, Any]:
        """Start, stop or restart one (*do*); its row. With *zero*, a stop ends its signals."""

    def hold_strategy(self, strategy: str, run: str, who: str = "", number: int = 0) -> None:
        """
        Hold the name of a strategy that runs in another process, for the next 5 s.

        Args:
            strategy: Its identifier.
            run: Any text that no other process has; what comes with another one is refused.
            who: For people: where it runs.
            number: Of the signal or report that this comes with: what is not above the number
                before was long on its way, and is refused.

        Raises AlreadyRuns: another process holds it, or the service runs it itself.
        """

    def report_strategy(self, report: StrategyReport) -> None:
        """Record what a strategy in another process says of itself."""

    def reload(self) -> Reloaded:
        """
        Read the configuration again, and put it in force, whole or not at all.

        Raises ConfigError, Refused: what was in force stays.
        """

    def backup(self) -> str:
        """Write a consistent copy of the journal beside it; its file name."""

    def close(self) -> None:
        """Let go of whatever is behind the door."""
