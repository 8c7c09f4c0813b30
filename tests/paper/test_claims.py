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
