"""
SQL files, as the migrations use them: statements apart, and a few macros.

A statement ends with a semicolon at the end of a line and an empty line after it. ``iso(x)`` is a
time as text that ends with Z, ``ms(x)`` a duration in milliseconds; x is a column in microseconds.
``uuid(x)`` is the text of a UUID that is stored as 16 bytes.
"""

from __future__ import annotations

import re
from pathlib import Path


def iso(column: str) -> str:
    """SQL for a time in microseconds as text: ``2026-11-22T12:00:02.113Z``."""
    return f"strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000 / 1000.0, 'unixepoch')"


def ms(difference: str) -> str:
    """SQL for a duration in microseconds as milliseconds, a double."""
    return f"(({difference}) / 1000.0)"


def uuid(column: str) -> str:
    """SQL for a venue's id in its usual spelling, from 16 bytes (see `present.pack`)."""
    parts = ((1, 4), (5, 2), (7, 2), (9, 2), (11, 6))
    digits = (f"hex(substr({column}, {start}, {size}))" for start, size in parts)
    return "lower(" + " || '-' || ".join(digits) + ")"


_WITHIN = r"\(((?:[^()]|\([^()]*\))+)\)"  # what stands between parentheses, one level deep
_MACROS = tuple((re.compile(rf"\b{macro.__name__}{_WITHIN}"), macro) for macro in (uuid, iso, ms))


def statements(path: Path) -> list[str]:
    """The statements of an SQL file, in order, macros written out, without comments."""
    words = re.sub(r"^--.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for macro, meaning in _MACROS:
        words = macro.sub(lambda found, meaning=meaning: meaning(found[1]), words)  # type: ignore[misc]
    parts = re.split(r";\s*\n\s*\n", words + "\n\n")
    return [part.strip() for part in parts if part.strip()]
