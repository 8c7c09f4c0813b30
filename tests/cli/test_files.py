"""Files of targets and schedules: three forms of one meaning, and a clear no for all else."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import files
from reconciler.errors import UsageError
from reconciler.service.door import TargetRequest, TargetsRequest

TOML = """
source = "trend-v3"
reason = "close"
[targets]
XBTUSD = 3000
ETHUSD = { notional = -0.50, policy = "urgent", ttl = "4h", on_expiry = "flatten" }
"""
JSON = """
{"source": "trend-v3", "reason": "close", "targets": [
  {"symbol": "XBTUSD", "contracts": 3000},
  {"symbol": "ETHUSD", "notional": -0.50, "policy": "urgent", "ttl": "4h", "on_expiry": "flatten"}
]}
"""
CSV = """
symbol,contracts,notional,policy,ttl,on_expiry,source,reason
XBTUSD,3000,,,,,trend-v3,close

ETHUSD,,-0.50,urgent,4h,flatten,trend-v3,close
"""


def read(folder: Path, text: str, suffix: str, **more: Any) -> TargetsRequest:
    path = folder / f"targets.{suffix}"
    path.write_text(text, encoding="utf-8")
    return files.targets(str(path), prune=more.get("prune", False))


@pytest.mark.parametrize(("suffix", "text"), [("toml", TOML), ("json", JSON), ("csv", CSV)])
def test_three_forms_say_the_same(tmp_path: Path, suffix: str, text: str) -> None:
    """Numbers stay exact: 0.50 is not 0.5 rounded through a float."""
    request = read(tmp_path, text, suffix, prune=True)
    both = {"source": "trend-v3", "reason": "close"}
    assert request.targets == (
        TargetRequest(symbol="XBTUSD", contracts=3000, **both),
        TargetRequest(
            symbol="ETHUSD",
            notional="-0.50",
            policy="urgent",
            ttl_s=14_400,
            on_expiry="flatten",
            **both,
        ),
    )
    assert request.prune


@pytest.mark.parametrize("text", [TOML, JSON, CSV])
def test_standard_input_has_no_name_and_is_known_all_the_same(monkeypatch, text: str) -> None:
    """JSON begins with a brace, CSV with its names; all else is TOML."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert [one.symbol for one in files.targets("-", prune=False).targets] == ["XBTUSD", "ETHUSD"]


@pytest.mark.parametrize(
    ("suffix", "text", "says"),
    [
        ("toml", "XBTUSD = 3", "targets is missing, or no table"),
        ("toml", "[targets]\nXBTUSD = 3\nXBTUSD = 4", "is no TOML"),
        ("toml", "[targets]\nXBTUSD = 3.5", "contracts is '3.5', which is no whole number"),
        ("toml", "[targets]\nXBTUSD = true", "contracts is 'True', which is no whole number"),
        ("toml", "[targets]\nXBTUSD = {contract = 3}", "'contract' is no word here"),
        ("toml", "[targets]\nXBTUSD = {contracts = 3, ttl = 5}", "ttl is '5', which is no text"),
        ("toml", "[targets]\nXBTUSD = {contracts = 3, ttl = '5 h'}", "'5 h' is not a duration"),
        ("toml", "[targets]\nXBTUSD = {percent = true}", "percent is 'True', which is no number"),
        ("toml", "[target]\nXBTUSD = 3", "targets is missing"),
        ("toml", "sauce = 'x'\n[targets]\nXBTUSD = 3", "'sauce' is no word here; source, reason"),
        ("toml", "source = 3\n[targets]\nXBTUSD = 3", "source is '3', which is no text"),
        ("json", '{"targets": {"XBTUSD": 1, "XBTUSD": 2}}', "a name is there twice"),
        ("json", "[1]", "there are no names in it"),
        ("json", "{", "is no JSON"),
        ("json", '{"targets": [1]}', "targets is missing, or no table"),
        ("csv", "", "is empty"),
        ("csv", "symbol,contrats\nXBTUSD,3", "column 'contrats' is unknown or there twice"),
        ("csv", "symbol,symbol\nXBTUSD,3", "column 'symbol' is unknown or there twice"),
        ("csv", "symbol,contracts\nXBTUSD", "row 1 has 1 fields, not 2"),
        ("csv", "symbol,contracts\nXBTUSD,1e3", "contracts is '1e3', which is no whole number"),
        ("csv", 'symbol,contracts\n"XBTUSD,3', "is no CSV"),
    ],
)
def test_what_is_not_exactly_right_is_refused_by_name(
    tmp_path: Path, suffix: str, text: str, says: str
) -> None:
    """With the file and the place: half a file that was understood is worse than none."""
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text, suffix)
    assert says in str(refused.value)
    assert f"targets.{suffix}" in str(refused.value)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    """Not there, not text, or not a list of targets by its size."""
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        files.targets(str(tmp_path / "none.toml"), prune=False)
    (tmp_path / "raw.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not text in UTF-8"):
        files.targets(str(tmp_path / "raw.toml"), prune=False)
    (tmp_path / "big.toml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(UsageError, match="more than 1 MB"):
        files.targets(str(tmp_path / "big.toml"), prune=False)


SCHEDULES = {
    "toml": """
source = "desk"
[[rows]]
name = "open"
at = 2030-01-01T08:00:00Z
symbol = "XBTUSD"
contracts = 300
[[rows]]
after = "open"
by = "30m"
symbol = "XBTUSD"
contracts = -300
reason = "close"
""",
    "csv": """
symbol,contracts,at,name,after,by,reason
XBTUSD,300,2030-01-01T08:00:00+00:00,open,,,
XBTUSD,-300,,,open,30m,close
""",
}


@pytest.mark.parametrize("suffix", ["toml", "csv"])
def test_a_schedule_has_rows_at_a_moment_or_after_another(tmp_path: Path, suffix: str) -> None:
    """A moment of TOML is as good as one in words."""
    path = tmp_path / f"day.{suffix}"
    path.write_text(SCHEDULES[suffix])
    request = files.schedule(str(path), "day")
    first, second = request.rows
    assert (first.at, first.name, first.contracts) == ("2030-01-01T08:00:00+00:00", "open", 300)
    assert (second.after, second.delay_s, second.reason) == ("open", 1_800, "close")
    assert request.source == ("desk" if suffix == "toml" else "day.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rows = 5", "rows is not a list of rows"),
        ("rows = []", "there is no row in it"),
        ("rows = [5]", "row 0 is not a row with names"),
        ("[[rows]]\nat = 2030-01-01T08:00:00\nsymbol = 'X'\ncontracts = 1", "which has no zone"),
        ("[[rows]]\nwhen = 1", "'when' is no word here"),
        ("[[rows]]\nsymbol = 'X'", "row 0: contracts is missing"),
        ("[[rows]]\ncontracts = 1", "row 0: symbol is missing"),
        ("[[rows]]\nsymbol = 'X'\ncontracts = 1.5", "contracts is '1.5', which is no whole number"),
        ("[[rows]]\nsymbol = 'X'\ncontracts = 1\nby = '5 m'", "'5 m' is not a duration"),
        ("[targets]\nXBTUSD = 3", "'targets' is no word here; source, reason and rows are"),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    """The row and the word."""
    path = tmp_path / "day.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        files.schedule(str(path), "day")
    assert says in str(refused.value)


def test_what_spreadsheets_and_toml_write_by_themselves_is_read(tmp_path: Path) -> None:
    """A mark before the first name, and a moment that is none in quotes."""
    assert read(tmp_path, "\ufeffsymbol,contracts\nXBTUSD,1", "csv").targets[0].symbol == "XBTUSD"
    moment = "[targets]\nXBTUSD = { contracts = 1, deadline = 2030-01-01T00:00:00Z }"
    assert read(tmp_path, moment, "toml").targets[0].deadline == "2030-01-01T00:00:00+00:00"
    with pytest.raises(UsageError, match="which has no zone: write it with a Z"):
        read(tmp_path, moment.replace("Z", ""), "toml")
    with pytest.raises(UsageError, match="symbol is '5', which is no text"):
        read(tmp_path, '{"targets": [{"symbol": 5, "contracts": 1}]}', "json")
