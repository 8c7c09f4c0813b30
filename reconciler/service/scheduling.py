"""What is asked about schedules, in the core's terms, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable

from reconciler.core.events import AnyEvent
from reconciler.core.ledger import Ledger
from reconciler.core.targets import schedules
from reconciler.errors import NotFound
from reconciler.service.door import ScheduleEntry, ScheduleRequest, ScheduleShown, TargetRequest
from reconciler.service.moments import iso, moment_us
from reconciler.service.words import check_words, legible


def set_schedule(
    ledger: Ledger, now_us: int, request: ScheduleRequest
) -> tuple[list[AnyEvent], Callable[[Ledger], ScheduleShown]]:
    """The event of a schedule, and the answer to give once it is recorded."""
    check_words(source=request.source, reason=request.reason)
    if not request.rows and request.name not in ledger.schedules:
        raise NotFound(
            f"there is no schedule {request.name[:40]!r}",
            next_step="See `reconciler schedule list`.",
            name=request.name[:40],
        )
    event = schedules.accept(
        ledger,
        request.name,
        tuple(_entry(request.name, number, row) for number, row in enumerate(request.rows)),
        legible(request.source),
        legible(request.reason),
        now_us,
    )
    return [event], lambda after: shown(after, request.name)


def as_target(request: ScheduleRequest) -> TargetRequest:
    """What a refusal of it is recorded as: a schedule is about no symbol in particular."""
    return TargetRequest(
        symbol="", source=request.source, reason=request.reason or f"schedule {request.name[:60]}"
    )


def _entry(name: str, number: int, row: ScheduleEntry) -> schedules.Entry:
    where = f"schedule {name[:60]}, row {number}"
    check_words(name=row.name, after=row.after, reason=row.reason)
    return schedules.Entry(
        symbol=row.symbol,
        contracts=row.contracts,
        at_us=moment_us(row.at, f"{where}: at") if row.at else None,
        name=row.name,
        after=row.after,
        delay_us=row.delay_s * 1_000_000 if row.delay_s is not None else None,
        policy=row.policy,
        reason=row.reason,
    )


def shown(ledger: Ledger, name: str) -> ScheduleShown:
    """A schedule as it stands; one that was removed has no rows."""
    schedule = ledger.schedules.get(name)
    rows = schedule.rows if schedule is not None else ()
    done = ledger.schedule_done.get(name, 0)
    return ScheduleShown(
        name=name,
        rows=tuple(
            {
                "n": number,
                "at": iso(row.due_us),
                "symbol": row.symbol,
                "contracts": row.contracts,
                "policy": row.policy,
                "reason": row.reason or (schedule.reason if schedule is not None else ""),
                "done": number < done,
            }
            for number, row in enumerate(rows)
        ),
        done=done,
        next_at=iso(rows[done].due_us) if done < len(rows) else None,
    )


def all_shown(ledger: Ledger) -> list[ScheduleShown]:
    """Every schedule in force, by name."""
    return [shown(ledger, name) for name in sorted(ledger.schedules)]
