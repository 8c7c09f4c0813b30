"""
docs/paper-exchange.md, typed in by a stranger: its blocks run as they stand, in their order.

Blocks of ``console`` hold commands after ``$`` (``>`` goes on with one) and what they print, where
``…`` stands for anything. The first one starts the exchange that all others talk to; others that
start one are stopped once they have said what they should. Blocks of ``python`` share one
namespace; those with a test in them are run by pytest. Blocks of ``csv`` and ``toml`` are files,
named in the sentence before. Blocks of ``sh`` install: tests/test_packaging.py looks after that.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from reconciler.paper.account import DEFAULT_BALANCES

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/paper-exchange.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8766"
ENV = {**os.environ, "PYTHONPATH": str(CHECKOUT), "NO_PROXY": "127.0.0.1"}


class Block(NamedTuple):
    kind: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE)]


def commands(text: str) -> str:
    """What is typed: lines after ``$``, and those after ``>`` that go on."""
    return "\n".join(line[2:] for line in text.splitlines() if line[:2] in ("$ ", "> ")) + "\n"


def shown(text: str) -> list[str]:
    """What is printed: the other lines."""
    return [line for line in text.splitlines() if line[:2] not in ("$ ", "> ")]


def printed(text: str) -> re.Pattern[str]:
    """That, with anything for ``…``, whether or not a line ends with one (curl ends none)."""
    lines = [".*?".join(map(re.escape, line.split("…"))) for line in shown(text)]
    return re.compile(r"\n?".join(lines))


def starts(block: Block) -> bool:
    """Whether it starts an exchange, which doesn't end by itself."""
    typed = commands(block.text)
    return typed.startswith("python -m reconciler.paper") and "--rerun" not in typed


@contextmanager
def started(block: Block, folder: Path) -> Iterator[str]:
    """The exchange that a block starts, on a free port; its address."""
    words = [sys.executable, *commands(block.text).split()[1:], "--port", "0"]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True, env=ENV) as venue:
        try:
            assert venue.stdout is not None
            head = "".join(venue.stdout.readline() for _ in range(len(shown(block.text))))
            found = re.search(r"https?://(127\.0\.0\.1:\d+)/", head)
            assert found, head
            assert printed(block.text).fullmatch(head.replace(found[1], ADDRESS).strip())
            yield found[1]
        finally:
            venue.send_signal(signal.SIGINT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where it is all typed: the files of the page are there, and a Python of that name."""
    for name, text in re.findall(
        r"`([\w-]+\.(?:csv|toml))`[^`]*:\n\n```(?:csv|toml)\n(.*?)^```", PAGE, re.M | re.S
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def test_the_page_can_be_typed_in(folder: Path):
    """All that it shows happens, from the first order by curl to the tape that is told again."""
    if missing := [tool for tool in ("bash", "curl", "openssl") if shutil.which(tool) is None]:
        pytest.skip(f"NOT TESTED: docs/paper-exchange.md, without {', '.join(missing)}")
    namespace: dict[str, object] = {}
    run = [block for block in blocks() if block.kind in ("console", "python")]
    assert starts(run[0])
    with started(run[0], folder) as address:
        for block in run[1:]:
            here = Block(block.kind, block.text.replace(ADDRESS, address))
            if block.kind == "python":
                if "def test_" not in here.text:
                    exec(compile(here.text, "docs/paper-exchange.md", "exec"), namespace)
            elif starts(here):
                with started(block, folder) as other:
                    scheme = "https" if "--tls" in here.text else "http"
                    trusted = folder / "cert.pem"
                    answer = requests.get(f"{scheme}://{other}/paper", timeout=10, verify=trusted)
                    assert "/paper/truth" in answer.json()["GET"]
            else:
                typed_in(here, folder)


def typed_in(block: Block, folder: Path) -> None:
    """Run a block's commands, and compare what they print."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-ec", commands(block.text)], cwd=folder, capture_output=True, text=True,
        timeout=30, env={**ENV, "PATH": path},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert printed(block.text).fullmatch(ran.stdout.strip()), ran.stdout


def test_the_tests_of_the_page_pass(tmp_path: Path):
    """What it shows of the fixtures is a test module that passes."""
    tests = [text for kind, text in blocks() if kind == "python" and "def test_" in text]
    assert len(tests) == 2
    (tmp_path / "test_page.py").write_text("\n\n".join(tests), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env=ENV,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout


def test_what_an_account_has_is_what_the_page_says():
    """The deposit is told in words, where no block of the page would notice a change."""
    assert "begins with 100 XBT and 1,000,000 USDT" in PAGE
    assert DEFAULT_BALANCES == {"XBt": 100 * 10**8, "USDt": 1_000_000 * 10**6}


def test_the_page_leads_where_it_says():
    """Every page that it links to is there."""
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)
    assert {"interop.md", "paper-faults.md"} <= set(linked)
    assert [name for name in linked if not (CHECKOUT / "docs" / name).exists()] == []
