"""
docs/paper-exchange.md, typed in by a stranger: its blocks run as they stand, in their order.

Blocks of ``console`` hold commands after ``$`` (``>`` goes on with one) and what they print, where
``…`` stands for anything. The first one starts the exchange that all others talk to. Blocks of
``python`` share one namespace; those with a test in them are run by pytest. Blocks of ``sh``
install, which tests/test_packaging.py looks after.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs/paper-exchange.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8766"


class Block(NamedTuple):
    kind: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE)]


def commands(text: str) -> str:
    """What is typed: lines after ``$``, and those after ``>`` that go on."""
    return "\n".join(line[2:] for line in text.splitlines() if line[:2] in ("$ ", "> ")) + "\n"


def printed(text: str) -> re.Pattern[str]:
    """What is to come: the other lines, with anything for ``…``."""
    lines = [line for line in text.splitlines(keepends=True) if line[:2] not in ("$ ", "> ")]
    # curl ends no line
    return re.compile(
        r"\n?".join(".*?".join(map(re.escape, x.rstrip("\n").split("…"))) for x in lines)
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The exchange of the page's first console block, on a free port."""
    first = next(block for block in blocks() if block.kind == "console")
    words = commands(first.text).split()
    assert words[:3] == ["python", "-m", "reconciler.paper"]
    venue = subprocess.Popen(
        [sys.executable, *words[1:], "--port", "0"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert venue.stdout is not None
        wanted = printed(first.text)
        head = "".join(venue.stdout.readline() for _ in range(5))
        found = re.search(r"http://(127\.0\.0\.1:\d+)/", head)
        assert found, head
        assert wanted.fullmatch(head.replace(found[1], ADDRESS).strip())
        yield found[1]
    finally:
        venue.terminate()
        venue.communicate(timeout=10)


def test_the_page_can_be_typed_in(address: str, tmp_path: Path):
    """All that it shows happens, from the first order by curl to the lost answer that got in."""
    if missing := [tool for tool in ("bash", "curl", "openssl") if shutil.which(tool) is None]:
        pytest.skip(f"NOT TESTED: docs/paper-exchange.md, without {', '.join(missing)}")
    namespace: dict[str, object] = {}
    shown = blocks()
    first = next(i for i, block in enumerate(shown) if block.kind == "console")
    for kind, text in shown[first + 1 :]:
        here = text.replace(ADDRESS, address)
        if kind == "console":
            ran = subprocess.run(
                ["bash", "-ec", commands(here)], cwd=tmp_path, capture_output=True, text=True,
                timeout=30, env={**os.environ, "NO_PROXY": "127.0.0.1"},
            )  # fmt: skip
            assert ran.returncode == 0, ran.stderr
            assert printed(here).fullmatch(ran.stdout.strip()), ran.stdout
        elif kind == "python" and "def test_" not in here:
            exec(compile(here, "docs/paper-exchange.md", "exec"), namespace)


def test_the_tests_of_the_page_pass(tmp_path: Path):
    """What it shows of the fixtures is a test module that passes."""
    shown = [text for kind, text in blocks() if kind == "python" and "def test_" in text]
    assert len(shown) == 2
    (tmp_path / "test_page.py").write_text("\n\n".join(shown), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "3 passed" in ran.stdout
