"""
Schedules: tables of times and targets. The ledger knows what is to come and what has been.

A row that has come due becomes a target like any other, through `intake`; what refuses it is
recorded, and the next row still comes. It has its turn once: the event that it becomes, or its
refusal, is what marks it done. Of rows that came due while nobody looked, only the newest of a
symbol counts, and only if nobody has set a target of that symbol since.
"""

from __future__ import annotations

from typing import NamedTuple

from reconciler.core.events import ScheduleRow, ScheduleSet, TargetRefused, TargetSet
from reconciler.core.ledger import NEVER_US, Ledger
from reconciler.core.targets import intake
from reconciler.errors import ReconcilerError, Refused, UsageError

MOST_ROWS = 1_000
MOST_SCHEDULES = 50
LONGEST_NAME = 60
FURTHEST_US = 36_600 * 86_400_000_000  # later moments are not meant, and some have no date


class Entry(NamedTuple):
    """A row as it was asked for: at a moment, or so long after another row."""

    symbol: str
    contracts: int
    at_us: int | None
    name: str
    after: str
    delay_us: int | None
    policy: str
    reason: str


class Due(NamedTuple):
    """A row whose moment has come."""

    due_us: int
    schedule: str
    number: int
    row: ScheduleRow


# -- a new schedule --------------------------------------------------------------------------------


def accept(
    ledger: Ledger,
    name: str,
    entries: tuple[Entry, ...],
    source: str,
    reason: str,
    at_us: int,
) -> ScheduleSet:
    """
    Check a schedule as a whole; without entries it is the end of the one of that name.

    Raises:
        UsageError, UnknownSymbol, NotALot, LimitExceeded, Refused: with the number of the row.
    """
    if not _is_a_name(name):
        raise UsageError(
            f"{name[:40]!r} is no name of a schedule",
            next_step="Letters, digits, and . _ - inside; at most 60 characters.",
        )
    if len(entries) > MOST_ROWS:
        raise Refused(f"schedule {name} has {len(entries)} rows; at most {MOST_ROWS} are kept")
    if name not in ledger.schedules and len(ledger.schedules) >= MOST_SCHEDULES:
        raise Refused(f"there are {MOST_SCHEDULES} schedules already; remove one first")
    moments = _moments(name, entries)
    rows: list[ScheduleRow] = []
    taken: set[tuple[int, str]] = set()
    for number, (entry, due_us) in enumerate(zip(entries, moments, strict=True)):
        where = f"schedule {name}, row {number}"
        if due_us <= at_us:
            raise Refused(f"{where}: {entry.symbol} {entry.contracts:+d} would have been due "
                          f"{(at_us - due_us) // 10**6} s ago")  # fmt: skip
        if due_us > at_us + FURTHEST_US:
            raise Refused(f"{where} would be due more than a hundred years from now")
        if number and due_us < moments[number - 1]:
            raise Refused(f"{where} is due before row {number - 1}: put the rows in order")
        row = ScheduleRow(
            due_us=due_us,
            symbol=entry.symbol,
            contracts=entry.contracts,
            policy=entry.policy,
            reason=entry.reason,
        )
        if (due_us, row.symbol) in taken:
            raise Refused(f"{where}: {row.symbol} has another target at the same moment")
        taken.add((due_us, row.symbol))
        _check_row(ledger, where, row)
        rows.append(row)
    return ScheduleSet(at_us=at_us, name=name, rows=tuple(rows), source=source, reason=reason)


def _is_a_name(name: str) -> bool:
    plain = name.replace(".", "").replace("_", "").replace("-", "")
    return plain.isascii() and plain.isalnum() and name[0].isalnum() and len(name) <= LONGEST_NAME


def _check_row(ledger: Ledger, where: str, row: ScheduleRow) -> None:
    """What would be refused now, if it were due now, is refused now: with the number of the row."""
    try:
        intake.check(ledger, row.symbol, row.contracts, row.policy, row.reason)
    except ReconcilerError as refusal:
        step, fields = refusal.next_step, refusal.fields
        raise type(refusal)(f"{where}: {refusal.message}", next_step=step, **fields) from None


def _moments(name: str, entries: tuple[Entry, ...]) -> list[int]:
    """When each row is due. Rows may come after one another, in any direction but in a circle."""
    places: dict[str, int] = {}
    names = {entry.name for entry in entries}
    for number, entry in enumerate(entries):
        if entry.name and places.setdefault(entry.name, number) != number:
            raise Refused(f"schedule {name}: two rows are called {entry.name[:40]!r}")
        relative = entry.after != "" and entry.delay_us is not None and entry.delay_us >= 0
        if (entry.at_us is not None) == relative or (entry.after == "") != (entry.delay_us is None):
            raise UsageError(f"schedule {name}, row {number}: say either at, or after and by")
        if entry.after and entry.after not in names:
            raise Refused(
                f"schedule {name}, row {number} comes after {entry.after[:40]!r}, "
                "and no row is called that"
            )
    moments: dict[int, int] = {}
    for number in range(len(entries)):
        _find_moment(name, entries, places, number, moments)
    return [moments[number] for number in range(len(entries))]


def _find_moment(
    name: str,
    entries: tuple[Entry, ...],
    places: dict[str, int],
    number: int,
    moments: dict[int, int],
) -> None:
    """Find the moment of a row, and those of all that it comes after; each is found once."""
    way: dict[int, None] = {}  # in order, and quick to look in: a schedule may be one long chain
    while number not in moments:
        entry = entries[number]
        if entry.at_us is not None:
            moments[number] = entry.at_us
            break
        way[number] = None
        number = places[entry.after]
        if number in way:
            circle = [entries[one].name or f"row {one}" for one in (*way, number)]
            raise Refused(
                f"schedule {name} goes in a circle: {' after '.join(circle)}",
                next_step="Give one of these rows a moment with at.",
            )
    for one in reversed(way):
        entry = entries[one]
        assert entry.delay_us is not None  # _moments has seen to it
        moments[one] = moments[places[entry.after]] + entry.delay_us


# -- what has come due -----------------------------------------------------------------------------


def next_due_us(ledger: Ledger) -> int:
    """When the next row of any schedule is due. None is while a run stops: the next one sees."""
    if ledger.stopping or not ledger.schedules:
        return NEVER_US
    moments = [NEVER_US]
    for name, schedule in ledger.schedules.items():
        done = ledger.schedule_done.get(name, 0)
        moments += [row.due_us for row in schedule.rows[done : done + 1]]
    return min(moments)


def next_event(ledger: Ledger, at_us: int) -> TargetSet | TargetRefused | None:
    """What the first row that is due becomes; to be stepped before the next is asked for."""
    found = _due(ledger, at_us)
    if not found or ledger.stopping:
        return None
    first = found[0]
    later = [due for due in found if due.row.symbol == first.row.symbol and due != first]
    if later:
        newest = max(later)
        why = f"{newest.schedule}/{newest.number} of the same symbol has come due since"
        return _refused(ledger, first, at_us, "superseded", why)
    book = ledger.book(first.row.symbol)
    if book.version_us > first.due_us:
        why = f"version {book.version} of the target is newer"
        return _refused(ledger, first, at_us, "superseded", why)
    return _target(ledger, first, at_us)


def _due(ledger: Ledger, at_us: int) -> list[Due]:
    """The rows that have come due and had no turn, the oldest first."""
    found = []
    for name, schedule in ledger.schedules.items():
        for number in range(ledger.schedule_done.get(name, 0), len(schedule.rows)):
            row = schedule.rows[number]
            if row.due_us > at_us:
                break
            found.append(Due(row.due_us, name, number, row))
    return sorted(found, key=lambda due: due[:3])


def _target(ledger: Ledger, due: Due, at_us: int) -> TargetSet | TargetRefused:
    schedule = ledger.schedules[due.schedule]
    wanted = intake.Wanted(
        symbol=due.row.symbol,
        contracts=due.row.contracts,
        by=None,
        source=schedule.source,
        reason=due.row.reason or schedule.reason,
        policy=due.row.policy,
        on_expiry="hold",
        expires_us=None,
        if_version=None,
        key="",
        schedule=f"{due.schedule}/{due.number}",
    )
    try:
        event = intake.accept(ledger, wanted, at_us).event
    except ReconcilerError as refusal:
        return _refused(ledger, due, at_us, refusal.code, refusal.message)
    assert event is not None  # a row of a schedule is never the same as what is in force
    return event


def _refused(ledger: Ledger, due: Due, at_us: int, code: str, why: str) -> TargetRefused:
    schedule = ledger.schedules[due.schedule]
    return TargetRefused(
        at_us=at_us,
        symbol=due.row.symbol,
        contracts=due.row.contracts,
        source=schedule.source,
        code=code,
        text=f"schedule {due.schedule}/{due.number}: {why}",
        reason=due.row.reason or schedule.reason,
        schedule=f"{due.schedule}/{due.number}",
    )
