"""Mutants are made of every guard, each differs from the module in one place, and each compiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.made import mutants

CHECKOUT = Path(__file__).resolve().parents[2]
MODULES = sorted((CHECKOUT / "reconciler/core").rglob("*.py"))

GUARD = b"""
def gate(a, b, c):
    if a and not b or c < 3:
        return min(a, b)
    return [x for x in c if x is not None]
"""
CHANGED = {
    "if (True):", "if (False):", "(not b)", "if a and bool(b)", "((c < 3))", "((a and not b))",
    "((a))", "return max(", "if (x is None)",
}  # fmt: skip


def test_each_guard_is_pulled_out_in_every_way() -> None:
    """Never, always, without each of its parts, turned round; and the other of two extremes."""
    texts = [mutant.text.decode() for mutant in mutants(GUARD)]
    for change in CHANGED:
        assert [text for text in texts if change in text], change
    assert not [text for text in texts if "<= 3" in text]
    assert [mutant for mutant in mutants(GUARD, borders=True) if b"c <= 3" in mutant.text]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_mutant_of_the_core_is_another_module(path: Path) -> None:
    """It compiles, it differs, and no two are the same."""
    whole = path.read_bytes()
    texts = [mutant.text for mutant in mutants(whole, borders=True)]
    assert whole not in texts
    assert len(set(texts)) == len(texts)
    for text in texts:
        compile(text, str(path), "exec")
