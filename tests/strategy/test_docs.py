"""The page about strategies: what it shows runs, and what it names is there."""

from __future__ import annotations

import re
import sys
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from reconciler.strategy import registry
from reconciler.strategy.base import CALLBACKS, parameters_of
from tests.strategy.teller import Teller, spec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The page's own strategy, as a module in the working directory."""
    (tmp_path / "mine.py").write_text(blocks("python")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("mine", None)


def test_the_ten_lines_run_as_they_are_configured_there(mine):
    """Who copies the page's strategy and its tables has one that works."""
    table = tomllib.loads(blocks("toml")[0])["strategy"]["mean"]
    told = Teller(
        spec(table["class"], bar=table["bar"], parameters={**table["parameters"], "length": 4})
    )
    told.join()
    for price in (100, 100, 100, 104, 90, 91, 91, 99):
        told.trade(price)
        told.wait(15)
    assert told.state() == "running"
    assert told.runner.instance("one").identifier == "AboveTheMean_XBTUSD_15s_1"
    assert {s.strength for s in told.signals} == {1, -1}
    last = told.signals[-1]
    assert (last.reason, last.price, last.strength) == ("mean 92.8", Decimal(99), 1)
    code = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(code) <= 10


def test_the_page_names_every_callback_setting_and_strategy():
    """What can be defined, set or chosen is told there."""
    from reconciler.config.strategies import Strategy as Table

    page = PAGE.read_text(encoding="utf-8")
    for name in CALLBACKS:
        assert f"`{name}(" in page
    for name, field in Table.model_fields.items():
        assert f"| `{field.alias or name}` |" in page
    for kind in registry.SHIPPED:
        line = next(line for line in page.splitlines() if line.startswith(f"- **`{kind}`**"))
        for parameter in parameters_of(registry.load(kind)):
            assert f"`{parameter}`" in line
