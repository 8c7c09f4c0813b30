"""The strategies that come with the program."""

from __future__ import annotations

import os
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.feed import History, Joined, Lost, Trade
from reconciler.strategy.ema_cross import Average
from reconciler.strategy.from_file import of_csv, of_toml
from tests.strategy.teller import SYMBOL, Teller, spec


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=300), st.integers(1, 200))
def test_an_average_is_the_exact_one_to_a_billionth(prices, length):
    """Against exact fractions: no drift, however long it runs."""
    average, exact = Average(length), None
    for tenths in prices:
        price = Decimal(tenths) / 10
        average.take(price)
        if exact is None:
            exact = Fraction(price)
        else:
            exact += Fraction(2, length + 1) * (Fraction(price) - exact)
            exact = Fraction(int(exact * 10**30), 10**30)
    assert abs(Fraction(average.value) - exact) < Fraction(1, 10**9)


def ema(name: str = "one", **parameters) -> Teller:
    return Teller(spec("ema_cross", name, bar="1s", parameters=parameters))


def test_the_cross_is_seen_at_the_close_of_the_bar():
    """Up: long. Down: short, or nothing for who goes long only. Level: what was said holds."""
    told = ema(fast=1, slow=3)
    told.join([100] * 12)
    assert told.signals == []  # level: no opinion
    told.close(110, 110, 90, 90)
    assert told.opinions == [1, -1]
    assert told.signals[0].reason == "EMA 1 110.00 above 3 105.00"
    long_only = ema(fast=1, slow=3, short=False, strength=Decimal("0.5"))
    long_only.join([100] * 12)
    long_only.close(110, 90, 110)
    assert long_only.opinions == [Decimal("0.5"), 0, Decimal("0.5")]


def test_history_warms_it_up_and_without_it_it_waits():
    """With look-back it speaks at once; with less than the slow average is long, not yet."""
    told = ema(fast=2, slow=4)
    told.join([100] * 12 + [110, 120, 130, 140])
    assert told.strengths == [1]
    cold = ema(fast=2, slow=4)
    cold.join([110, 120])
    cold.close(130)
    assert cold.signals == []
    cold.close(140)
    assert cold.strengths == [1]


def test_a_restart_finds_the_averages_where_they_were():
    """Two runs, the second begun in the middle with the bars of history, say the same after it."""
    rng = Random(5)
    closes = [10_000 + rng.randint(-300, 300) for _ in range(120)]
    whole, again = ema(fast=3, slow=9), ema(fast=3, slow=9)
    whole.join([10_000] * 36)
    whole.close(*closes)
    again.join(closes[:60])
    again.close(*closes[60:])
    assert len(again.signals) > 5
    assert whole.strengths[-len(again.signals) :] == again.strengths


def test_what_history_revises_after_a_lost_stream_is_averaged_as_it_was():
    """Bars that closed blind had the last price: once the gap is filled, that never was."""
    closes = [100, 104, 99, 103, 120, 130, 140, 90, 80, 70, 60, 110, 105, 111, 60]
    seen, blind = ema(fast=2, slow=4), ema(fast=2, slow=4)
    for told in (seen, blind):
        told.join([100] * 16)
        told.close(*closes[:4])
    seen.close(*closes[4:])
    began_us = blind.now_us
    blind.take(Lost("a cable"))
    blind.wait(7)
    missed = [
        Trade(SYMBOL, Decimal(price), 100, 1, began_us + n * 1_000_000)
        for n, price in enumerate(closes[4:11])
    ]
    blind.take(Joined())
    blind.take(History(symbol=SYMBOL, trades=missed, since_us=began_us - 1, stream_us=blind.now_us))
    blind.close(*closes[11:])
    assert blind.signals[-1].reason == seen.signals[-1].reason
    assert blind.strengths[-4:] == seen.strengths[-4:]


def test_a_late_trade_moves_the_averages():
    """It closes the bar before elsewhere than was told: the next close finds it."""
    late, in_time = ema(fast=2, slow=4), ema(fast=2, slow=4)
    for told in (late, in_time):
        told.join([100] * 16)
        told.trade(104)
    in_time.trade(180)
    late.wait()
    late.take(Trade(SYMBOL, Decimal(180), 100, 1, late.now_us - 1))
    in_time.wait()
    assert late.signals != in_time.signals
    for told in (late, in_time):
        told.close(101)
    assert late.signals[-1].reason == in_time.signals[-1].reason


def test_a_trade_that_is_bars_late_moves_the_averages_too():
    """The bars after it have trades of their own and stay: only an older one is another."""
    late, in_time = ema(fast=2, slow=4), ema(fast=2, slow=4)
    for told in (late, in_time):
        told.join([100] * 16)
        told.trade(104)
    missed = Trade(SYMBOL, Decimal(180), 100, 1, late.now_us + 1)
    in_time.take(missed)
    for told in (late, in_time):
        told.wait()
        told.close(101, 102, 103)
    late.take(missed)
    for told in (late, in_time):
        told.close(101)
    assert late.signals[-1].reason == in_time.signals[-1].reason


def test_buy_and_hold_says_it_once():
    """One opinion, for ever, for each of its symbols."""
    told = Teller(
        spec("buy_and_hold", symbols=(SYMBOL, "ETHUSD"), parameters={"strength": Decimal("-2.5")})
    )
    told.join()
    told.trade(100)
    told.wait(3)
    assert told.said == ["BuyAndHold_XBTUSD-ETHUSD_1 XBTUSD -2.5",
                         "BuyAndHold_XBTUSD-ETHUSD_1 ETHUSD -2.5"]  # fmt: skip


def test_random_draws_are_those_of_its_seed_and_in_range():
    """Now and then another strength from -1 to 1; the same seed draws the same again."""

    def drawn(seed: int) -> list[Decimal]:
        told = Teller(spec("random", parameters={"every_s": 2, "steps": 4, "seed": seed}))
        told.join()
        told.trade(100)
        told.wait(40)
        return told.strengths

    first = drawn(1)
    assert first == drawn(1) != drawn(2)
    assert len(first) > 10
    assert all(abs(strength) <= 1 and strength * 4 % 1 == 0 for strength in first)


class File:
    """A file of targets, and a strategy that follows it."""

    def __init__(self, path, text: str | None) -> None:
        self.path, self.mtime = path, 10**18
        if text is not None:
            self.write(text, settle=False)
        self.told = Teller(
            spec("from_file", symbols=(SYMBOL, "ETHUSD"), parameters={"path": str(path)})
        )
        self.told.join()

    def write(self, text: str | bytes, *, settle: bool = True) -> None:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.mtime += 10**9
        os.utime(self.path, ns=(self.mtime, self.mtime))
        if settle:
            self.told.wait(2)

    @property
    def said(self) -> list[str]:
        return [line.split(" ", 1)[1] for line in self.told.said]


def test_a_file_that_changes_is_followed(tmp_path):
    """What it names is said, what it leaves out stays, and it is read once it is at rest."""
    file = File(tmp_path / "t.toml", "[targets]\nXBTUSD = 3000\nETHUSD = -80\n")
    assert file.said == ["XBTUSD +3000", "ETHUSD -80"]
    file.write("reason = 'close'\n[targets]\nXBTUSD = 2500.5\n", settle=False)
    file.told.wait()
    assert len(file.said) == 2  # it may still be being written
    file.told.wait()
    assert file.said[2:] == ["XBTUSD +2500.5"]
    assert file.told.signals[-1].reason == "close"
    file.told.wait(3)
    assert len(file.said) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[targets\n", "Expected ']' at the end of a table declaration"),
        ("x = 1\n", "it has no table [targets]"),
        ("targets = 5\n", "it has no table [targets]"),
        ("[targets]\nXBTUSD = nan\n", "XBTUSD: strength is NaN; it must be finite"),
        ("[targets]\nXBTUSD = true\n", "XBTUSD: strength is 'True', a bool: no number"),
        ("[targets]\nXBTUSD = '1'\n", "XBTUSD: strength is '1', a str: no number"),
        ("[targets]\nETHUSD = 1\nSOLUSD = 1\n", "'SOLUSD' is none of XBTUSD, ETHUSD"),
        ("reason = 1\n[targets]\n", "its reason is no text"),
        (b"[targets]\nXBTUSD = 1 # \xff\n", "can't decode"),
        (b"#" * 1_000_001, "it is larger than 1,000,000 bytes"),
        ("[targets]\nXBTUSD = 1e400\n", "strength is 1.000E+400"),
        ("[targets]\nXBTUSD = 1e9999999999\n", "at most 1,000,000 is believed"),
        ("[targets]\nXBTUSD = 1e9999999999999999999\n", "is no number"),
        ("[targets]\nXBTUSD = " + "[" * 5000, "recursion"),
        ("symbol,strength\nXBTUSD,nan\n", "XBTUSD: strength is NaN; it must be finite"),
        ("symbol,strength\nXBTUSD,1e9999999999999999999\n", "is no number"),
        ('symbol,strength\n"XBTUSD"",1\n', "unexpected end of data"),
        ("symbol,strength\nXBTUSD," + "1" * 200_000, "field larger than field limit"),
        ("symbol,strength\nXBTUSD,2\nXBTUSD,3\n", "'XBTUSD' is there twice"),
        ("symbol,strength\nXBTUSD,2\nETHUSD\n", "line 3 has not as many columns as the head"),
    ],
)
def test_a_bad_file_is_told_and_changes_nothing(tmp_path, text, said):
    """All of it or nothing: a symbol that is none refuses those beside it, too."""
    is_csv = isinstance(text, str) and text.startswith("symbol")
    file = File(
        tmp_path / ("t.csv" if is_csv else "t.toml"),
        "symbol,strength\nXBTUSD,1\n" if is_csv else "[targets]\nXBTUSD = 1\n",
    )
    file.write(text)
    file.told.wait(3)
    (warning,) = file.told.warnings
    assert said in warning
    assert warning.endswith("nothing was changed")
    assert file.said == ["XBTUSD +1"]
    assert file.told.state() == "running"
    file.write("symbol,strength\nXBTUSD,2\n" if is_csv else "[targets]\nXBTUSD = 2\n")
    assert file.said == ["XBTUSD +1", "XBTUSD +2"]


def test_a_pipe_in_the_place_of_the_file_is_told_and_not_waited_for(tmp_path):
    """To open one takes until somebody writes: the strategy would have failed of it."""
    file = File(tmp_path / "t.toml", "[targets]\nXBTUSD = 1\n")
    file.path.unlink()
    os.mkfifo(file.path)
    file.told.wait(3)
    assert file.told.warnings == [f"{file.path}: it is no plain file; nothing was changed"]
    file.path.unlink()
    file.write("[targets]\nXBTUSD = 2\n")
    assert file.said == ["XBTUSD +1", "XBTUSD +2"]


def test_a_file_of_the_same_size_and_age_is_another_one_all_the_same(tmp_path):
    """Written in place by what keeps times, or only now allowed to be read."""
    file = File(tmp_path / "t.toml", "[targets]\nXBTUSD = 1\n")
    file.mtime -= 10**9
    file.write("[targets]\nXBTUSD = 2\n")
    assert file.said == ["XBTUSD +1", "XBTUSD +2"]


def test_a_file_that_is_not_there_is_waited_for(tmp_path):
    """Missing at the start or gone later: told once each, and what was said holds."""
    file = File(tmp_path / "t.csv", None)
    file.told.wait(3)
    assert len(file.told.warnings) == 1
    assert "No such file" in file.told.warnings[0]
    file.write("symbol,strength,reason\nXBTUSD,-2.5,close\n")
    assert file.said == ["XBTUSD -2.5"]
    assert file.told.signals[0].reason == "close"
    file.path.unlink()
    file.told.wait(3)
    assert len(file.told.warnings) == 2
    assert file.said == ["XBTUSD -2.5"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its first line must name the columns symbol and strength"),
        ("symbol,size\nXBTUSD,1\n", "its first line must name the columns symbol and strength"),
        ("symbol,strength\nXBTUSD\n", "line 2 has not as many columns as the head"),
        ("symbol,strength\nXBTUSD,1,2\n", "line 2 has not as many columns as the head"),
        ("symbol,strength\nXBTUSD,1\nXBTUSD,2\n", "'XBTUSD' is there twice"),
        ("symbol,strength\nXBTUSD,one\n", "XBTUSD: 'one' is no number"),
        ("symbol,contracts\nXBTUSD,inf\n", "XBTUSD: strength is Infinity; it must be finite"),
        ("symbol,contracts\nXBTUSD,1e7\n", "XBTUSD: strength is 1.000E+7; at most"),
    ],
)
def test_a_bad_table_is_refused(text, said):
    """Each line is understood, or none counts."""
    with pytest.raises(ValueError, match=r"\w") as refused:
        of_csv(text)
    assert said in str(refused.value)


def test_both_forms_say_the_same():
    """TOML or CSV, fractions exact."""
    same = {"XBTUSD": (Decimal("0.1"), "x"), "ETHUSD": (Decimal(-80), "x")}
    assert of_toml("reason = 'x'\n[targets]\nXBTUSD = 0.1\nETHUSD = -80\n") == same
    assert of_csv("symbol,contracts,reason\nXBTUSD,0.1,x\nETHUSD, -80,x\n") == same
