"""
The door: what a person or a program may ask of the reconciler, whoever answers.

Three things stand behind it: the running service itself (`reconciler.service.service`), the same
over HTTP (`reconciler.client`), and, when no service runs, the journal (`service.offline`). One
meaning, the same answers, the same errors.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec


class TargetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    Somebody wants a position. Exactly one of ``contracts`` and ``by`` is given.

    Types are checked strictly at every door: the text "5", true and 5.0 are not 5.
    """

    symbol: str
    contracts: int | None = None
    by: int | None = None  # relative to the target in force: made absolute at once
    source: str = "cli"
    reason: str = ""
    policy: str = ""  # "": the default policy
    ttl_s: int | None = None
    on_expiry: str = ""  # hold | flatten | freeze; "": as configured
    if_version: int | None = None  # the version that this replaces, or the request is stale
    key: str = ""  # makes a repeat harmless


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


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a halt or a resume did."""

    did: str  # "halted" | "resumed"
    symbols: tuple[str, ...]
    resting: tuple[str, ...] = ()  # own orders that may still be alive, by client order id
    adopted: dict[str, int] = {}  # symbol: contracts adjusted, when a mismatch was adopted


class Door(Protocol):
    """What may be asked. Every method raises errors of `reconciler.errors`."""

    def set_target(self, request: TargetRequest) -> TargetVersion:
        """Record a target. Returns once it is on the disk. Raises Refused and its kin."""

    def halt(self, *, by: str, reason: str, symbols: tuple[str, ...] = ()) -> CommandResult:
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

    def status(self) -> dict[str, Any]:
        """
        ``{"service": {...}, "symbols": [{...v_status columns...}], "incidents": [...]}``.

        ``service`` holds: running, run_id, started_at, environment, account, stream,
        stream_age_ms, latency_ms, budget {per_minute: [left, of], per_second: [left, of]},
        clock_offset_ms, halted, frozen, epoch, last_seq.
        """

    def backup(self) -> str:
        """Write a consistent copy of the journal beside it; its file name."""

    def close(self) -> None:
        """Let go of whatever is behind the door."""
