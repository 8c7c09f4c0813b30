"""From what strategies think to one target a symbol: exact, whole lots, and no oscillation."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from reconciler.core.events import Share, Signalled
from reconciler.errors import ConfigError
from reconciler.strategy.portfolio import (
    KEEP_LOTS,
    Netted,
    Netter,
    Portfolio,
    known,
    largest_remainder,
    to_lots,
)
from reconciler.strategy.weights import WeightFiles, check
from tests.strategy import formula

LOTS = {"XBTUSD": 100, "ETHUSD": 1}


def portfolio(name: str = "main", **more: object) -> Portfolio:
    given = {
        "strategies": {"A": Decimal(1), "B": Decimal(1)},
        "symbols": {"XBTUSD": Decimal(1000), "ETHUSD": Decimal(10)},
    }
    return Portfolio(name=name, **(given | more))  # type: ignore[arg-type]


def signals(**strengths: str) -> dict[str, Signalled]:
    """``A=0.5`` for XBTUSD, ``B_ETHUSD=-1`` for another symbol; numbered as they stand."""
    found = {}
    for number, (name, strength) in enumerate(strengths.items(), 1):
        strategy, _, symbol = name.partition("_")
        signal = Signalled(
            at_us=0,
            number=number,
            strategy=strategy,
            symbol=symbol or "XBTUSD",
            strength=Decimal(strength),
        )
        found[f"{signal.strategy} {signal.symbol}"] = signal
    return found


def netted(*portfolios: Portfolio, before: Mapping[str, Netted] | None = None, **said: str) -> dict:
    shares = {symbol: one.shares for symbol, one in (before or {}).items()}
    return Netter(portfolios).net(by_symbol(signals(**said)), LOTS, shares)


def by_symbol(signals: Mapping[str, Signalled]) -> dict[str, dict[str, Signalled]]:
    found: dict[str, dict[str, Signalled]] = {}
    for signal in signals.values():
        found.setdefault(signal.symbol, {})[signal.strategy] = signal
    return found


def parts(one: Netted) -> dict[str, int]:
    found: dict[str, int] = {}
    for share in one.shares:
        found[share.strategy] = found.get(share.strategy, 0) + share.contracts
    return found


def test_strengths_are_weighted_and_added_up() -> None:
    """0.5 x 2 x 1000 and -0.3 x 1 x 1000 make 700: the shares say who asks for what, and why."""
    two = portfolio(strategies={"A": Decimal(2), "B": Decimal("1.0")})
    found = netted(two, A="0.5", B="-0.3")["XBTUSD"]
    assert found.contracts == 700
    assert found.shares == (
        Share(strategy="A", contracts=1000, signal=1, weight="main: 2 x 1000"),
        Share(strategy="B", contracts=-300, signal=2, weight="main: 1 x 1000"),
    )


def test_what_rounding_leaves_over_is_nobodys() -> None:
    """Strategies ask to the contract, accounts hold whole lots."""
    found = netted(portfolio(), A="0.333", B="0.3")["XBTUSD"]
    assert (found.contracts, parts(found)) == (600, {"A": 333, "B": 300, "": -33})


def test_halves_go_toward_zero() -> None:
    """Both ways alike: nobody's money is moved for half a lot."""
    assert [to_lots(n, 1, 100, 9_900) for n in (50, 51, -50, -51)] == [0, 100, 0, -100]


def test_a_signal_that_trembles_around_half_a_lot_moves_nothing() -> None:
    """0.149, 0.151, 0.149...: the target that is in force stays."""
    now = netted(portfolio(), A="0.149")
    assert now["XBTUSD"].contracts == 100
    for strength in ("0.151", "0.149", "0.1501", "0.175") * 3:
        now = netted(portfolio(), before=now, A=strength)
        assert now["XBTUSD"].contracts == 100
    assert netted(portfolio(), before=now, A="0.1751")["XBTUSD"].contracts == 200


def test_zero_is_zero_at_once() -> None:
    """A strategy that wants nothing holds nothing, however small the last target was."""
    now = netted(portfolio(), A="0.08")
    assert now["XBTUSD"].contracts == 100
    assert netted(portfolio(), before=now, A="0.03")["XBTUSD"].contracts == 100
    gone = netted(portfolio(), before=now, A="0")["XBTUSD"]
    assert (gone.contracts, parts(gone)) == (0, {"A": 0})


@pytest.mark.parametrize("seed", range(200))
def test_no_sequence_within_the_band_changes_the_target_twice(seed: int) -> None:
    """Whatever it was before, and wherever the band lies: at most one change."""
    draw = random.Random(seed)
    lot = draw.choice([1, 7, 100])
    band = (KEEP_LOTS - Fraction(1, 2)) * lot
    low = Fraction(draw.randrange(-500, 500), 100) * lot
    target, changes = draw.randrange(-5, 6) * lot, 0
    for _ in range(200):
        exact = low + band * Fraction(draw.randrange(0, 1001), 1000)
        after = to_lots(exact.numerator, exact.denominator, lot, target)
        assert abs(after - exact) <= KEEP_LOTS * lot
        assert after % lot == 0
        changes += after != target
        target = after
    assert changes <= 1


def test_a_new_lot_rounds_anew() -> None:
    """A target that is no whole lot any more can't be kept."""
    assert to_lots(150, 1, 100, 150) == 100


@pytest.mark.parametrize("seed", range(100))
def test_shares_add_up_whatever_the_weights(seed: int) -> None:
    """Thirds, opposite sides, several portfolios, caps: the shares are the target, exactly."""
    draw = random.Random(seed)

    def number() -> Decimal:
        return Decimal(draw.randrange(-3000, 3000)) / Decimal(draw.choice([7, 1000, 999]))

    books = [
        portfolio(
            name,
            strategies={"A": number(), "B": number(), "C*": number()},
            symbols={"XBTUSD": Decimal(draw.choice([1, 333, 1000])), "ETHUSD": Decimal(10)},
            max_strength=draw.choice([None, Decimal("1.5")]),
            max_contracts=draw.choice([{}, {"XBTUSD": 500}]),
            max_gross=draw.choice([None, Decimal("0.7")]),
        )
        for name in ("main", "other")
    ]
    now: dict[str, Netted] = {}
    for _ in range(5):
        said = {name: str(number()) for name in ("A", "B", "C1", "C2", "A_ETHUSD", "D")}
        now = netted(*books, before=now, **said)
        for symbol, one in now.items():
            assert sum(share.contracts for share in one.shares) == one.contracts
            assert one.contracts % LOTS[symbol] == 0
        assert now == netted(*reversed(books), before=now, **said)


@pytest.mark.parametrize("seed", range(150))
def test_whole_numbers_say_what_the_formula_in_fractions_says(seed: int) -> None:
    """Whatever weights, sizes, caps, lots and strengths: the same contracts, the same shares."""
    draw = random.Random(seed)

    def number(most: int = 3000) -> Decimal:
        exact = Decimal(draw.randrange(-most, most)) / Decimal(draw.choice([1, 7, 8, 100, 999]))
        return draw.choice(
            [exact, exact.quantize(Decimal("0.001")), Decimal(draw.randrange(-3, 4))]
        )

    def book(name: str) -> Portfolio:
        return portfolio(
            name,
            strategies={"A": number(), "B": number(), "C*": number()},
            symbols={s: abs(number()) + 1 for s in draw.sample(["XBTUSD", "ETHUSD", "X"], 2)},
            max_strength=draw.choice([None, abs(number())]),
            max_contracts=draw.choice([{}, {"XBTUSD": draw.randrange(9_000)}]),
            max_gross=draw.choice([None, None, abs(number()) + 1]),
        )

    lots = {"XBTUSD": draw.choice([1, 7, 100]), "ETHUSD": draw.choice([1, 3])}
    books = [book(name) for name in draw.sample(["main", "other", "a"], draw.randrange(1, 4))]
    netter, before = Netter(books), dict[str, tuple[Share, ...]]()
    said: dict[str, str] = {}
    for _ in range(12):
        names = ("A", "B", "C1", "C2", "D", "A_ETHUSD", "B_ETHUSD", "A_X")
        said |= {name: str(number(9)) for name in draw.sample(names, draw.randrange(4))}
        given = signals(**said)
        found = netter.net(by_symbol(given), lots, before)
        assert {symbol: (one.contracts, one.shares) for symbol, one in found.items()} == (
            formula.targets(books, list(given.values()), lots, before)
        )
        before = {symbol: one.shares for symbol, one in found.items()}


def test_each_whole_part_is_less_than_one_off() -> None:
    """The largest remainder gets the unit that is missing."""
    assert largest_remainder([10, 10, 10], 3) == [4, 3, 3]
    assert largest_remainder([-7, 7], 2) == [-3, 3]
    assert largest_remainder([], 1) == []


def test_a_strategy_is_cut_to_its_own_cap() -> None:
    """One that shouts counts no more than it may; that is its share, not nobody's."""
    found = netted(portfolio(max_strength=Decimal("0.8")), A="5", B="-0.3")["XBTUSD"]
    assert (found.contracts, parts(found)) == (500, {"A": 800, "B": -300})


def test_a_symbol_is_cut_to_the_portfolios_cap() -> None:
    """What the strategies ask for beyond it has an account of its own."""
    capped = portfolio(max_contracts={"XBTUSD": 1200})
    found = netted(capped, A="-1", B="-0.9")["XBTUSD"]
    assert (found.contracts, parts(found)) == (-1200, {"A": -1000, "B": -900, "": 700})


@pytest.mark.parametrize(("cap", "contracts"), [(160, 100), (199, 100), (200, 200), (99, 0)])
def test_no_rounding_leads_beyond_a_cap(cap: int, contracts: int) -> None:
    """A cap between two lots is the lower one: the nearest lot may be above it."""
    capped = portfolio(max_contracts={"XBTUSD": cap})
    for strength in ("1", "-1"):
        found = netted(capped, A=strength)
        assert abs(found["XBTUSD"].contracts) == contracts
        assert netted(capped, before=found, A=strength) == found


def test_a_portfolio_is_cut_to_its_gross_cap() -> None:
    """A strength of 1 in both symbols, 1 allowed in all: half of each."""
    found = netted(portfolio(max_gross=Decimal(1)), A="1", A_ETHUSD="-1")
    assert [found[symbol].contracts for symbol in ("XBTUSD", "ETHUSD")] == [500, -5]
    assert netted(portfolio(max_gross=Decimal(2)), A="1", A_ETHUSD="-1")["XBTUSD"].contracts == 1000


def test_portfolios_add_up() -> None:
    """Each with its own weights and caps; a strategy in both has two shares."""
    small = portfolio("small", strategies={"A": Decimal("-0.5")}, symbols={"XBTUSD": Decimal(200)})
    found = netted(small, portfolio(), A="1")["XBTUSD"]
    assert found.contracts == 900
    assert [(s.contracts, s.weight) for s in found.shares] == [
        (1000, "main: 1 x 1000"),
        (-100, "small: -0.5 x 200"),
    ]
    assert found.terms.source == "portfolio main+small"


def test_shares_that_hardly_move_are_left_alone() -> None:
    """The same target, and nobody's share off by a lot: nothing to write down."""
    now = netted(portfolio(), A="0.5", B="0.5")
    assert netted(portfolio(), before=now, A="0.55", B="0.45")["XBTUSD"] == now["XBTUSD"]
    moved = netted(portfolio(), before=now, A="0.7", B="0.3")["XBTUSD"]
    assert (moved.contracts, parts(moved)) == (1000, {"A": 700, "B": 300})
    joined = netted(portfolio(strategies={"*": Decimal(1)}), before=now, A="0.5", B="0.5", C="0")
    assert parts(joined["XBTUSD"]) == {"A": 500, "B": 500, "C": 0}


def test_what_nobody_speaks_of_is_no_target() -> None:
    """Without an opinion there is no target; once there was one, its end is a target of zero."""
    assert netted(portfolio(), Z="1") == {}
    said = by_symbol(signals(A="1"))
    assert Netter([portfolio()]).net(said, {"ETHUSD": 1}, {}) == {}  # its lot is not known
    now = netted(portfolio(), A="1")
    gone = netted(portfolio(strategies={"B": Decimal(1)}), before=now, A="1")["XBTUSD"]
    assert (gone.contracts, parts(gone), gone.terms.portfolios) == (0, {"": 0}, ())


def test_an_identifier_beats_a_pattern_and_a_longer_pattern_a_shorter_one() -> None:
    """So that one instance can be told apart from its kind."""
    weights = {"*": Decimal(1), "Ema*": Decimal(2), "Ema_1": Decimal(3)}
    one = portfolio(strategies=weights)
    assert [one.weight_of(name) for name in ("Ema_1", "Ema_2", "Other")] == [3, 2, 1]
    named = portfolio(strategies={"Ema_1": Decimal(3), "Ema_[0-9]*": Decimal(2)})
    assert [named.weight_of(name) for name in ("Ema_1", "Ema_2")] == [3, 2]  # however long that is
    assert portfolio().weight_of("Other") is None


def test_who_may_signal() -> None:
    """Whoever is configured, and whoever a portfolio lists as a source."""
    with_source = portfolio(sources=("notebook_*",))
    assert known([with_source], ["A"], "A")
    assert known([with_source], ["A"], "notebook_7")
    assert not known([with_source], ["A"], "B")


BAD: list[tuple[dict[str, object], str]] = [
    (
        {"strategies": {"Nobody_1": Decimal(1)}},
        "'Nobody_1' has a weight, and that identifier is no",
    ),
    ({"strategies": {"No*": Decimal(1)}}, "that pattern fits no strategy's: there are A, B, book"),
    ({"strategies": {"A": Decimal("NaN")}}, "weight of A is NaN"),
    ({"strategies": {"A": Decimal("1e10")}}, "weight of A is 1E+10"),
    (
        {"strategies": {"A": Decimal("1e-99999999")}},
        "weight of A is 1E-99999999; at most 40 places",
    ),
    ({"symbols": {"XBTUSD": Decimal("1e-41")}}, "contracts of XBTUSD is 1E-41; at most 40 places"),
    ({"max_strength": Decimal("1e-99999999")}, "max_strength is 1E-99999999; at most 40 places"),
    ({"max_gross": Decimal("1e-99999999")}, "max_gross is 1E-99999999; at most 40 places"),
    ({"symbols": {"DOGEUSD": Decimal(1)}}, "'DOGEUSD' is not one of the configured symbols"),
    ({"symbols": {"XBTUSD": Decimal(0)}}, "contracts of XBTUSD is 0"),
    ({"symbols": {"XBTUSD": Decimal(-1)}}, "contracts of XBTUSD are -1; weights have the sign"),
    ({"max_contracts": {"DOGEUSD": 1}}, "portfolio.main.max_contracts: 'DOGEUSD' is not one"),
]


@pytest.mark.parametrize(("wrong", "said"), BAD)
def test_weights_of_what_there_is_not_are_refused(wrong: dict[str, object], said: str) -> None:
    """Each with a sentence that names it, before anything trades by it."""
    one = portfolio(**({"sources": ("book",)} | wrong))
    with pytest.raises(ConfigError, match=r"portfolio\.main") as caught:
        check(one, ["A", "B"], ["XBTUSD", "ETHUSD"])
    assert said in str(caught.value)


def test_weights_of_what_there_is_are_taken() -> None:
    """Instances, patterns of them, sources and patterns of those."""
    weights = {"A": Decimal(1), "B*": Decimal(-1), "book_1": Decimal(0), "hand": Decimal(1)}
    good = portfolio(strategies=weights, sources=("book_*", "hand"))
    check(good, ["A", "B_2"], ["XBTUSD", "ETHUSD"])


def test_a_weights_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """And only then; its tables take the place of the configured ones."""
    path = tmp_path / "weights.toml"
    path.write_text("[strategies]\nA = 0.25\n")
    files = WeightFiles([portfolio(weights_file=str(path)), portfolio("x")], ["A", "B"], list(LOTS))
    first = files.changed()
    assert first is not None
    assert first[0].strategies == {"A": Decimal("0.25")}
    assert first[0].symbols == portfolio().symbols
    assert first[1] == portfolio("x")
    assert files.changed() is None
    path.write_text("[symbols]\nXBTUSD = 5\n")
    assert files.changed() is None  # it may be half of a file: at the next look, if it is the same
    path.write_text("[symbols]\nXBTUSD = 5\n[strategies]\nB = -1\n")
    assert files.changed() is None
    again = files.changed()
    assert again is not None
    assert (again[0].strategies, again[0].symbols) == ({"B": -1}, {"XBTUSD": 5})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[strategies]\nNobody_1 = 1\n", "'Nobody_1' has a weight, and that identifier is no"),
        ("[symbols]\nDOGEUSD = 1\n", "'DOGEUSD' is not one of the configured symbols"),
        ("[strategies]\nA = 'much'\n", "A = much is no number"),
        ("[strategies]\nA = nan\n", "A = NaN is no number"),
        ("[strategies]\nA = true\n", "A = True is no number"),
        ("strategies = 7\n", "must be a table"),
        ("[weights]\nA = 1\n", "'weights' is no table here"),
        ("[strategies\n", "is not understood"),
        ("A" * 1_000_001, "more than 1,000,000 bytes"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_bad_weights_file_is_one_clear_error(tmp_path: Path, text: str | None, said: str) -> None:
    """Told once, not every second; and the right file is taken as soon as it is there."""
    path = tmp_path / "weights.toml"
    path.write_text("[strategies]\nA = 1\n")
    files = WeightFiles([portfolio(weights_file=str(path))], ["A", "B"], list(LOTS))
    assert files.changed() is not None
    path.unlink() if text is None else path.write_text(text)
    assert files.changed() is None
    with pytest.raises(ConfigError) as caught:
        files.changed()
    assert said in str(caught.value)
    assert files.changed() is None
    path.write_text("[strategies]\nB = 2\n")
    assert files.changed() is None
    found = files.changed()
    assert found is not None
    assert found[0].strategies == {"B": 2}


def test_a_weights_file_that_is_no_file_holds_nobody_up(tmp_path: Path) -> None:
    """The trading loop reads it: a pipe that nobody writes into would stop it for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no plain file"):
        WeightFiles([portfolio(weights_file=str(tmp_path / "pipe"))], ["A", "B"], []).changed()
