"""
Everything the reconciler raises on purpose, and what each one asks of you.

ReconcilerError           1   an error we did not foresee: make a bundle, report it
├── UsageError            2   correct the command
├── ConfigError           3   correct the configuration, then start again
├── NotFound              4   look at the listing, name one that exists
├── Refused               5   a rule said no; nothing changed
│   ├── Unauthorized          use the token of the service that runs now
│   ├── StaleVersion          read the target again, then decide again
│   ├── LimitExceeded         lower the target, or change the limits
│   ├── Halted                find out why, then resume
│   ├── UnknownSymbol         use a symbol that the venue lists
│   ├── UnknownStrategy       configure it, or list it as a source of a portfolio
│   ├── AlreadyRuns           end the one that runs; a dead one's name is free after 5 s
│   ├── CannotDecide          do what it says first, or decide otherwise
│   ├── NotALot               use a multiple of the lot
│   ├── NeedsConfirmation     confirm just this number, if you mean it
│   ├── KeyReused             use a new key for a new request
│   ├── NeedsLive             say --live if you mean real money
│   └── PlanExpired           make the plan again
│       └── PlanMoved         look at what changed since, and make it again
├── Differs               6   look at the difference, then apply or leave it
├── WaitTimeout           7   look at what the symbol waits for, or wait longer
├── Unreachable           8   see that it runs and where, then try again
├── InDoubt               9   end the doubt before you act again
├── SchemaError          10   migrate the database, or change the program
├── NotLeader            11   ask the leader
├── Broken               12   stop trading on this journal, keep it, find the cause
├── JournalError          1   stop: the history on disk cannot be trusted
├── ProtocolError         1   stop: the venue said something we cannot explain
└── StorageFault          1   stop at once: what was written may not be there

The number is the exit code of a command that ends with the error. A subclass without a number has
that of its parent.
"""

from __future__ import annotations

from typing import ClassVar


class ReconcilerError(Exception):
    """
    An error we did not foresee: run `reconciler bundle` and report what it wrote.

    Args:
        message: What happened, with the values; one sentence.
        next_step: What to do now; without it, the advice of the class.
        fields: The values again, by name, for programs.

    `str()` of it is the message and then the next step. In HTTP and `-o json` it is ``detail``,
    beside ``code`` and ``fields``.
    """

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 1
    advice: ClassVar[str] = "Run `reconciler bundle` and report what it wrote."

    def __init__(self, message: str, /, *, next_step: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = self.advice if next_step is None else next_step
        self.fields: dict[str, object] = fields

    def __str__(self) -> str:
        if not self.next_step:
            return self.message
        end = "" if self.message.endswith((".", "!", "?", ":")) else "."
        return f"{self.message}{end} {self.next_step}"


class UsageError(ReconcilerError):
    """The command or an argument is wrong: correct it and run it again."""

    code = "usage"
    exit_code = 2
    advice = "See `reconciler --help`."


class ConfigError(ReconcilerError):
    """The configuration is missing, misspelt or contradictory: correct it, then start again."""

    code = "config"
    exit_code = 3
    advice = "Correct it, and see `reconciler config check`."


class NotFound(ReconcilerError):
    """There is no such symbol, order, plan or incident: look at the listing and name one."""

    code = "not_found"
    exit_code = 4
    advice = "See `reconciler status` for what there is."


class Refused(ReconcilerError):
    """A rule said no and nothing changed: do what the message says, or leave it."""

    code = "refused"
    exit_code = 5
    advice = "Nothing was changed."


class Unauthorized(Refused):
    """The service knows no such token: use that of the one that runs now."""

    code = "unauthorized"
    advice = "A service has a new token each time it starts: use that of the one that runs now."


class StaleVersion(Refused):
    """The target changed since you read it: read it again, then decide again."""

    code = "stale_version"
    advice = "Read the target again, then decide again."


class LimitExceeded(Refused):
    """The request is over a limit: lower it, or change the limit."""

    code = "limit_exceeded"
    advice = "Lower the target or change [limits]."


class Halted(Refused):
    """Trading is halted: find out why in `reconciler status`, then resume."""

    code = "halted"
    advice = "See `reconciler status` for the reason, then `reconciler resume`."


class UnknownSymbol(Refused):
    """The venue lists no such symbol: use one that it lists."""

    code = "unknown_symbol"
    advice = "Use a symbol that the venue lists."


class UnknownStrategy(Refused):
    """No strategy of this name may signal: configure it, or list it as a source of a portfolio."""

    code = "unknown_strategy"
    advice = "Configure it under [strategy.NAME], or list it in sources of a [portfolio.NAME]."


class AlreadyRuns(Refused):
    """The strategy is run by another process: end that one first."""

    code = "already_runs"
    advice = "End that one first. If it is dead, its name is free after 5 s."


class CannotDecide(Refused):
    """The incident cannot be decided so, or not yet: do what the message says."""

    code = "cannot_decide"


class NotALot(Refused):
    """The number of contracts is no multiple of the lot: round it to one."""

    code = "not_a_lot"
    advice = "Use a multiple of the lot."


class NeedsConfirmation(Refused):
    """The change is far from the usual one: if you mean it, confirm the very number."""

    code = "needs_confirmation"
    advice = "If you mean it, confirm the very number."


class KeyReused(Refused):
    """The idempotency key belongs to another request: use a new key for a new request."""

    code = "key_reused"
    advice = "Use a new key for a new request."


class NeedsLive(Refused):
    """The venue trades real money: say `--live` if you mean it."""

    code = "needs_live"
    advice = "Add --live if you mean real money."


class PlanExpired(Refused):
    """The world moved on since the plan was made: make the plan again, then apply it."""

    code = "plan_expired"
    advice = "Make the plan again, then apply it."


class PlanMoved(PlanExpired):
    """Something that the plan stands on has changed since: make it again, and look at it again."""

    code = "plan_moved"
    advice = "Make the plan again, look at it, then apply it."


class Differs(ReconcilerError):
    """Something would change: look at the difference, then apply it or leave it."""

    code = "differs"
    exit_code = 6
    advice = "Look at the difference, then apply it or leave it."


class WaitTimeout(ReconcilerError):
    """The time to wait ran out: see in `reconciler status` what it waits for, or wait longer."""

    code = "timeout"
    exit_code = 7
    advice = "See `reconciler status` for what it waits for, or wait longer."


class Unreachable(ReconcilerError):
    """The service, database or venue gave no answer to connect to: see that it runs, try again."""

    code = "unreachable"
    exit_code = 8
    advice = "See that it runs and at which address, then try again."


class InDoubt(ReconcilerError):
    """A request may or may not have happened: end the doubt before you act again."""

    code = "in_doubt"
    exit_code = 9
    advice = "Look at `reconciler status` before you act again."


class SchemaError(ReconcilerError):
    """The database is older or newer than the program: migrate it, or use the other program."""

    code = "schema"
    exit_code = 10
    advice = "An older database: `reconciler db upgrade`. A newer one: use the newer program."


class NotLeader(ReconcilerError):
    """Another instance holds the lease and trades: ask that one, or wait until it ends."""

    code = "not_leader"
    exit_code = 11
    advice = "Ask the instance that holds the lease, or stop it first."


class Broken(ReconcilerError):
    """Replay or verify found a contradiction: stop trading on this journal, keep it, find why."""

    code = "broken"
    exit_code = 12
    advice = "Stop trading on this journal and keep a copy of it, then find the cause."


class JournalError(ReconcilerError):
    """The history on disk cannot be trusted: stop, keep the file, restore from a backup."""

    code = "journal"
    exit_code = 1
    advice = "Keep the file as it is, then run `reconciler verify` on a copy."


class ProtocolError(ReconcilerError):
    """The venue said something we cannot explain: stop, keep the frame, report it."""

    code = "protocol"
    exit_code = 1
    advice = "Keep what the venue said, and report it."


class StorageFault(ReconcilerError):
    """A write or a sync failed: stop at once, see to the disk, start again and recover."""

    code = "storage_fault"
    exit_code = 1
    advice = "See to the disk, then start again; recovery needs nothing else."
