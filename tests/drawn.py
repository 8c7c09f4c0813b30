"""
Seeds of the suite: fresh for each state of the code, and the same for the same state.

A seed that is drawn anew in every run finds more, but then the same commit is green here and red
there. So seeds are drawn from the source itself: whoever changes a line lives other lives, and
whoever runs the same tree lives the same. The scripts draw theirs from chance.

    RECONCILER_SEED=any-text scripts/test ...     other seeds, for the same source
"""

from __future__ import annotations

import os
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("reconciler", "migrations", "tests")
KINDS = {".py", ".sql", ".txt"}
LEFT_OUT = {"open.txt"}  # what is known to fail: to write it down draws no others
OTHER = "RECONCILER_SEED"


@cache
def source() -> str:
    """A digest of everything that decides what a test does, or the text in the environment."""
    if OTHER in os.environ:
        return os.environ[OTHER]
    digest = sha256()
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in KINDS and file.name not in LEFT_OUT:
                digest.update(f"{file.relative_to(ROOT).as_posix()}\n".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def seed(name: str, below: int = 10**9) -> int:
    """The seed of the trial called *name*."""
    return int.from_bytes(sha256(f"{name} {source()}".encode()).digest()[:8]) % below
