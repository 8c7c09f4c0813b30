"""The tables of limits: of each symbol, of one, of the account; and what the core makes of them."""

from __future__ import annotations

import json

import pytest

from reconciler.config import load
from reconciler.core.settings import AccountLimits, Limits
from reconciler.errors import ConfigError

TEXT = """
[exchange]
symbols = ["XBTUSD", "ETHUSD"]

[limits]
max_orders_per_day = 500
max_daily_loss_minor = 5_000_000
runaway_s = 90
usual_times = 10

[limits.symbol.ETHUSD]
max_daily_loss_minor = 1_000_000
runaway_s = 60

[limits.account]
max_open_orders = 5
max_orders_per_day = 700

[reconcile]
foreign_orders = "cancel"
on_mismatch = "trade_back"
mismatches_per_day = 1
"""


def settings(tmp_path, text=TEXT):
    path = tmp_path / "reconciler.toml"
    path.write_text(text)
    return load([path], environ={}).core_settings()


def test_limits_are_those_of_the_file(tmp_path):
    """Of each symbol, and where one has its own, that one."""
    found = settings(tmp_path)
    assert found.limits == Limits(
        max_orders_per_day=500,
        max_daily_loss_minor=5_000_000,
        runaway_us=90_000_000,
        usual_times=10,
    )
    own = found.limits_of("ETHUSD")
    assert (own.max_daily_loss_minor, own.max_orders_per_day) == (1_000_000, 500)
    assert (own.runaway_us, found.limits_of("XBTUSD").runaway_us) == (60_000_000, 90_000_000)
    assert (found.foreign_orders, found.on_mismatch, found.mismatches_per_day) == (
        "cancel",
        "trade_back",
        1,
    )


def test_the_account_keeps_what_each_symbol_keeps_unless_it_has_its_own(tmp_path):
    """A loss that one symbol may not have, all of them together may not have either."""
    found = settings(tmp_path)
    assert found.account_limits == AccountLimits(max_open_orders=5, max_orders_per_day=700)
    assert found.whole.max_orders_per_day == 700
    assert found.whole.max_daily_loss_minor == 5_000_000


def test_without_any_the_defaults_hurt_nobody(tmp_path):
    """Only the throttle is on: 150 orders in ten minutes, and not a contract filled."""
    found = settings(tmp_path, "")
    assert (found.limits, found.account_limits) == (Limits(), AccountLimits())
    assert (found.limits.runaway_orders, found.limits.runaway_us) == (150, 600_000_000)
    assert found.limits.max_daily_loss_minor == found.limits.usual_times == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limits]\nmax_daily_loss_minor = -1", "greater than or equal to 0"),
        ("[limits]\nmax_daily_loss_minor = 1.5", "whole number"),
        ("[limits]\nusual_last = 0", "greater than or equal to 1"),
        ("[limits]\nusual_last = 101", "less than or equal to 100"),
        ("[limits.account]\nmin_margin_percent = 101", "less than or equal to 100"),
        ("[limits.account]\nmax_order_contracts = 5", "max_order_contracts"),
        ("[limits]\nmin_liquidation_bps = 10_001", "less than or equal to 10000"),
        ("[limits]\nrunaway_s = 0", "greater than 0"),
        ("[limits]\nrunaway_s = 0.0000001", "a microsecond at least"),
        ("[limits]\nrunaway_orders = 1_001", "less than or equal to 1000"),
        ("[limits.account]\nrunaway_orders = 1_001", "less than or equal to 1000"),
        ("[reconcile]\non_mismatch = 'hope'", "'halt', 'adopt' or 'trade_back'"),
    ],
)
def test_a_limit_that_can_not_be_is_refused(tmp_path, text, said):
    """With its name; a limit that was misspelt is no limit."""
    with pytest.raises(ConfigError) as refusal:
        settings(tmp_path, text)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", []),
        ("[limits]\nmax_orders_per_minute = 17", []),  # nine tenths of ten minutes of it: 153
        (
            "[limits]\nmax_orders_per_minute = 14",
            ["limits.runaway_orders = 150 is counted over 714 s: in 600 s max_orders_per_minute"],
        ),
        (
            "[limits.account]\nmax_orders_per_minute = 5",
            ["limits.runaway_orders = 150 is counted over 2000 s: in 600 s"],
        ),
        (
            "[limits.symbol.ETHUSD]\nmax_orders_per_minute = 2\nrunaway_s = 90\nrunaway_orders = 5",
            ["limits.symbol.ETHUSD.runaway_orders = 5 is counted over 166 s: in 90 s"],
        ),
        (
            (
                "[limits]\naccount = { runaway_orders = 21, max_orders_per_minute = 30 }\n"
                "max_orders_per_minute = 1\nrunaway_orders = 0"
            ),
            ["limits.account.runaway_orders = 21 is counted over 700 s: in 600 s"],
        ),
    ],
)
def test_a_throttle_that_counts_for_longer_than_it_says_is_told(home, run, text, said):
    """A limit of a minute is so low that in `runaway_s` it would never strike."""
    (home / "reconciler.toml").write_text(f"[exchange]\nsymbols = ['XBTUSD', 'ETHUSD']\n{text}\n")
    ended = run("config", "check")
    notes = [line.removeprefix("note: ") for line in ended.err.splitlines()]
    assert (ended.code, len(notes)) == (0, len(said))
    for told, begins in zip(notes, said, strict=True):
        assert told.startswith(begins)
    assert json.loads(run("-o", "json", "config", "check").out)["notes"] == notes
