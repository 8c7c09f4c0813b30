"""docs/paper-claims.md: every test that it names exists, and no claim of it is without one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from reconciler.paper.quirks import CATALOGUE

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs/paper-claims.md").read_text(encoding="utf-8")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
UNSHOWN = "Not shown, and why"

# What BitMEX's page of messages lists for the order endpoints (section 7); from … on it varies.
MESSAGES = """
Account has insufficient Available Balance, … | Account has no … | margin call
Account is suspended
Accounts do not match | Duplicate clOrdID | Duplicate orderID
Executing at order price would lead to immediate liquidation | Instrument expired
Instrument not listed for trading yet | Instruments do not match | Instrument has no mark price
Invalid account | Invalid avgPx | Invalid cumQty | Invalid currency | Invalid displayQty
Invalid displayQty for execInst | Invalid execInst | Invalid leavesQty
Invalid leavesQty for lotSize | Invalid ordStatus: Filled | Invalid ordStatus: Canceled
Invalid ordStatus: Rejected | Invalid ordType for execInst
Invalid ordType or timeInForce for execInst | Invalid orderID | Invalid orderQty
Invalid origClOrdID | Invalid pegOffsetValue for pegPriceType | Invalid pegOffsetValue tickSize
Invalid pegPriceType for ordType | Invalid price | Invalid price tickSize | Invalid settlCurrency
Invalid side | Invalid stopPx for ordType | Invalid stopPx tickSize | Invalid symbol
Invalid triggered | Invalid workingIndicator | Invalid clOrdLinkID for contingencyType
Market is not open
Order had execInst of Close and side of Buy but current position is 500
Order had execInst of ReduceOnly and side of Buy but current position is 500
Order price is above the liquidation price of current short position
Order price is below the liquidation price of current long position | Position is in liquidation
Price greater than limitUpPrice | Price less than limitDownPrice | Unsupported execInst
Unsupported ordType | Unsupported timeInForce | Unsupported contingencyType
Unsupported pegPriceType | Value of position and orders exceeds position Risk Limit
Value of positions and orders exceeds account Risk Limit | orderQty is invalid
Rate-limit has been reached | Order quantity must be a multiple of lot size
orderID or origClOrdID must be sent. | origClOrdID required when sending clOrdID.
Invalid amend: orderQty, leavesQty, price, stopPx unchanged | 'symbol' is a required arg.
table is not valid | filter values are not valid | startTime is invalid | endTime is invalid
depth is invalid | start is invalid | count is invalid | columns is invalid
"""


def sections() -> dict[str, list[list[str]]]:
    """The rows of each section's table, without its head, cell by cell."""
    found: dict[str, list[list[str]]] = {}
    for part in PAGE.split("\n## ")[1:]:
        title, _, text = part.partition("\n")
        lines = [line for line in text.splitlines() if line.startswith("|")]
        found[title] = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines[2:]]
    return found


@cache
def named_in(module: str) -> frozenset[str]:
    tree = ast.parse((HERE / module).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_test_that_is_named_exists():
    """A renamed test would leave a claim that nothing shows."""
    named = set(TEST.findall(PAGE))
    assert len(named) > 200
    assert PAGE.count("::test_") == len(TEST.findall(PAGE))  # none is misspelt past the pattern
    missing = [(m, t) for m, t in named if not (HERE / m).exists() or t not in named_in(m)]
    assert missing == []


def test_whoever_reads_of_the_paper_exchange_finds_this_page():
    """A stranger who wonders how faithful it is begins at docs/paper-exchange.md."""
    first = (HERE.parents[1] / "docs/paper-exchange.md").read_text(encoding="utf-8")
    assert "[paper-claims.md](paper-claims.md)" in first


def test_no_claim_is_without_a_test():
    """Each row of each table ends in its tests; what is not shown says why, and stands apart."""
    found = sections()
    assert [title.partition(" ")[0] for title in found][:15] == [str(n) for n in range(1, 16)]
    for title, rows in found.items():
        assert rows, title
        width = {len(row) for row in rows}
        assert len(width) == 1, (title, [row for row in rows if len(row) != min(width)])
        for row in rows:
            assert row[0], (title, row)
            if title == UNSHOWN:
                assert row[-1], row
                assert not TEST.search(row[-1]), row
            else:
                assert TEST.search(row[-1]), (title, row)


def test_every_switch_that_is_named_is_one():
    """The faults of section 15 are of the catalogue."""
    [rows] = [rows for title, rows in sections().items() if title.startswith("15 ")]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row[1])}
    assert len(named) > 40
    assert named <= set(CATALOGUE)


def test_every_documented_message_is_quoted_by_a_test_or_told_to_be_missing():
    """Word for word: a message that no test spells could read otherwise and nobody would notice."""
    messages = [m.strip() for line in MESSAGES.splitlines() for m in line.split(" | ") if m.strip()]
    modules = {module for module, _ in TEST.findall(PAGE)}
    quoted = "".join((HERE / module).read_text(encoding="utf-8") for module in sorted(modules))
    missing = PAGE.partition(f"## {UNSHOWN}")[2]
    told = [m for m in messages if m in missing]
    spelt = [m for m in messages if re.search(_quotation(m), quoted)]
    assert len(messages) > 60
    assert set(messages) == set(told) | set(spelt), set(messages) - set(told) - set(spelt)


def _quotation(message: str) -> str:
    """The message from quote to quote, or from ^ to $; up to where it varies."""
    start, varies, _ = message.partition("…")
    return rf"[\"^]{re.escape(start)}" + ("" if varies else r"[\"$]")
