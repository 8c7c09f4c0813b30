"""
The searches that are made, by name, and the command that makes them.

    scripts/search                     the searches of the test suite: half a minute
    scripts/search --only whole        every kind of move, two targets, three orders: minutes
    scripts/search --full              all of them: hours
    scripts/search --only two-targets --only crash
    scripts/search --only crash --moves '[["target",0,0],["crash",0,0]]'    one path, as a story
"""

from __future__ import annotations

import argparse
import sys

import msgspec

from reconciler.simulation import search_story
from reconciler.simulation.search import Report, search
from reconciler.simulation.search_moves import Move
from reconciler.simulation.search_state import Bounds


def _prompt(**bounds: object) -> Bounds:
    """Rows and answers come within the moment, in any order, or are lost."""
    return msgspec.convert({"patience": 0, **bounds}, Bounds)


#: Half a minute together: for every change.
QUICK: dict[str, Bounds] = {
    "two-targets": _prompt(targets=(1, -1)),
    "crash": _prompt(targets=(1,), orders=2, crashes=1),
    "loss": _prompt(targets=(1,), orders=2, losses=1, refusals=1, ends=1),
    "drop": _prompt(targets=(1,), orders=2, drops=1, audits=1),
    "in-order": _prompt(targets=(1,), orders=2, crashes=1, in_order=True),
    "crash-and-loss": _prompt(targets=(1,), orders=2, losses=1, crashes=1),
}

#: Longer; the last ones for hours.
LONG: dict[str, Bounds] = {
    # Sent, arrived, accepted, filled, answered, lost, shown by each table, cancelled, expired,
    # killed and started again, in every order.
    "whole": _prompt(targets=(1, -1), losses=1, crashes=1),
    "slow": Bounds(targets=(1,)),
    "two-more": _prompt(targets=(1, 2)),
    "two-contracts": _prompt(targets=(2,), orders=2, losses=1),
    "crash-loss-drop": _prompt(targets=(1,), orders=2, losses=1, crashes=1, drops=1),
    "in-order-loss": _prompt(targets=(1,), orders=2, losses=1, crashes=1, in_order=True),
    "two-crashes": _prompt(targets=(1,), orders=2, crashes=2),
    "two-losses": _prompt(targets=(1,), orders=2, losses=2),
    "foreign": _prompt(targets=(2,), orders=2, foreign=(1,)),
    "two-targets-loss": _prompt(targets=(1, -1), losses=1),
    "two-targets-crash": _prompt(targets=(1, -1), crashes=1),
    "two-targets-drop": _prompt(targets=(1, -1), drops=1),
    "two-targets-in-order": _prompt(targets=(1, -1), losses=1, in_order=True),
    "slow-crash": Bounds(targets=(1,), orders=2, crashes=1),
    "slow-loss": Bounds(targets=(1,), orders=2, losses=1),
    "all": _prompt(targets=(1, -1), losses=1, crashes=1, drops=1, refusals=1),
}

ALL = {**QUICK, **LONG}


def command_for(name: str, moves: list[Move]) -> str:
    """What repeats one path."""
    return f"scripts/search --only {name} --moves '{msgspec.json.encode(moves).decode()}'"


def show(name: str, report: Report) -> str:
    """A report in words; with the story, if a promise was broken."""
    lines = [f"{name}: {report}"]
    if report.violation is not None:
        lines.append(f"BROKEN: {report.violation.what}")
        lines += [f"    {line}" for line in report.violation.story]
        lines.append(f"again: {command_for(name, report.violation.moves)}")
    return "\n".join(lines)


def retell(name: str, text: str) -> int:
    """One path, as a story; 1 if it breaks a promise."""
    lines, broken = search_story.tell(ALL[name], msgspec.json.decode(text, type=list[Move]))
    print("\n".join(lines))
    if broken:
        print(f"BROKEN: {broken}")
    return 1 if broken else 0


def main() -> int:
    """Search, and report; 1 if a promise was broken or a search did not come to its end."""
    parser = argparse.ArgumentParser(
        prog="scripts/search", description=(__doc__ or "").splitlines()[1]
    )
    parser.add_argument("--full", action="store_true", help="all searches, not only the quick ones")
    parser.add_argument("--only", action="append", choices=sorted(ALL), help="this one alone")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--most", type=int, default=50_000_000, help="states before giving up")
    parser.add_argument("--moves", help="tell this path of the search named by --only")
    asked = parser.parse_args()
    if asked.moves:
        if not asked.only:
            parser.error("--moves needs --only")
        return retell(asked.only[0], asked.moves)
    bad = 0
    for name in asked.only or (ALL if asked.full else QUICK):
        report = search(ALL[name], workers=asked.workers, most=asked.most)
        print(show(name, report), flush=True)
        bad += not report.complete
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
