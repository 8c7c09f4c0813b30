"""The command line in this process, far from the user's own files and variables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.cli import main
from reconciler.journal import History


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty home directory; the working directory is in it."""
    for name in list(os.environ):
        if name.startswith(("RECONCILER_", "BITMEX_", "XDG_")) or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(home, capsys) -> Run:
    """Run a command: ``run("set", "XBTUSD", "300")``."""

    def run(*words: str) -> Ended:
        capsys.readouterr()
        code = main(words)
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def database(home) -> Path:
    """Where the default journal is."""
    return home / ".local" / "share" / "reconciler" / "journal.db"


@pytest.fixture
def stored(database) -> Callable[[], int]:
    """How many events are stored; none without a journal."""

    def stored() -> int:
        if not database.exists():
            return 0
        with History.open(database) as history:
            return history.last_seq()

    return stored
