"""Stories of limits on how many orders there are: a day, at a time, and without end."""

from __future__ import annotations

import pytest

from reconciler.core.settings import AccountLimits, Limits, Settings
from tests.stories.teller import SYMBOL, Teller, tell


def world(account: AccountLimits | None = None, **limits: int) -> Settings:
    return Settings(
        symbols=(SYMBOL,), limits=Limits(**limits), account_limits=account or AccountLimits()
    )


def round_trip(first: int) -> str:
    """Two orders, both filled, the second of which only reduces."""
    a, b = f"r{first}", f"r{first + 1}"
    return f"""
        target +10              -> place {a} +10
        ok {a} filled 10
        fill {a} +10 x{first}
        position +10                                          = idle
        target 0                -> place {b} -10 reduce
        ok {b} filled 10
        fill {b} -10 x{first + 1}
        position 0                                            = idle
    """


@pytest.mark.parametrize(
    ("account", "own", "said"),
    [
        (None, 2, "limits.max_orders_per_day = 2"),
        (AccountLimits(max_orders_per_day=0), 2, "limits.max_orders_per_day = 2"),
        (AccountLimits(max_orders_per_day=2), 0, "limits.account.max_orders_per_day = 2"),
    ],
)
def test_orders_a_day_are_counted(account: AccountLimits | None, own: int, said: str) -> None:
    """The third order of a day waits for the next day of UTC, and is placed at its first moment."""
    teller = tell(round_trip(1), settings=world(account, max_orders_per_day=own))
    assert teller.do(["target", "+10"]) == []
    assert said in teller.book.waiting_for
    left_us = 86_400_000_000 - teller.now_us % 86_400_000_000
    teller.do(["clock", "0"])
    quiet = [word for word in teller.wait(left_us // 1000 - 1) if word.startswith("place")]
    assert quiet == []
    teller.do(["clock", "0"])  # known to a second again, after so long
    assert "place r3 +10" in teller.wait(1)


def test_orders_of_the_day_are_counted_over_a_restart() -> None:
    """Whoever starts again and again gets no more orders for it, and less risk needs one, too."""
    teller = tell(round_trip(1) + "target +5 = idle", settings=world(max_orders_per_day=2))
    teller.start()
    teller.synced(0)
    assert "max_orders_per_day" in teller.book.waiting_for
    teller.event(teller.position_row(0))
    assert teller.ledger.orders_today == teller.book.orders_today == 2


@pytest.mark.parametrize("hours", [1, -1])
def test_a_start_by_another_clock_renews_no_minute(hours: int) -> None:
    """Whoever crashes while the clock is set gets no more orders for it, and waits no longer."""
    teller = tell(round_trip(1), settings=world(max_orders_per_minute=2))
    teller.now_us += hours * 3_600_000_000
    teller.start()
    teller.synced(0)
    assert teller.do(["target", "+10"]) == []
    assert "max_orders_per_minute" in teller.book.waiting_for
    teller.do(["clock", "0"])
    assert "place r3 +10" in teller.wait(60_000)


def test_a_day_that_comes_again_renews_no_limit() -> None:
    """A clock that is set back over midnight goes on with the day that has begun."""
    teller = Teller(world(max_orders_per_day=2))
    day_us = 86_400_000_000
    teller.now_us = (teller.now_us // day_us + 1) * day_us + 1_000_000
    teller.start()
    teller.synced(0)
    for line in round_trip(1).strip().splitlines():
        teller.do(line.split("->")[0].split("=")[0].split())
    teller.now_us -= 3_600_000_000
    teller.start()
    teller.synced(0)
    assert teller.do(["target", "+10"]) == []
    assert "max_orders_per_day" in teller.book.waiting_for


def test_the_account_counts_orders_a_minute_by_its_own_limit() -> None:
    """So many for one symbol, fewer for all together."""
    settings = world(AccountLimits(max_orders_per_minute=2), max_orders_per_minute=30)
    tell(round_trip(1) + "target +5 = idle ~ limits.max_orders_per_minute = 2", settings=settings)


def test_open_orders_are_counted_with_those_of_others() -> None:
    """Where people's orders fill the account, ours wait, and go on once there is room."""
    tell(
        """
        symbol ETHUSD
        rests f1 +5
        target +10              -> place r1 +10
        ok r1                                                 = working
        symbol XBTUSD
        target +10                                  = idle ~ limits.account.max_open_orders = 2
        wait 1000
        symbol ETHUSD
        gone f1
        wait 5000               -> place r2 +10
        """,
        settings=Settings(
            symbols=("ETHUSD", SYMBOL), account_limits=AccountLimits(max_open_orders=2)
        ),
    )


def test_open_orders_of_others_never_keep_us_from_less_risk() -> None:
    """A full account may always be made emptier."""
    tell(
        "rests f1 +5\ntarget 0 -> place r1 -100 reduce",
        settings=world(AccountLimits(max_open_orders=1)),
        position=100,
    )


def test_a_runaway_is_stopped_until_somebody_resumes() -> None:
    """Order after order and not a contract filled: it disables itself, durably."""
    teller = tell(
        """
        target +10              -> place r1 +10
        rejected r1
        wait 1000               -> place r2 +10
        rejected r2
        wait 2000               -> place r3 +10
        rejected r3             -> incident refused, incident runaway = idle ~ frozen
        wait 29_000             -> resync
        restart
        sync 0                                                = idle ~ nothing filled
        target +20              -> closed 1                   = idle ~ frozen
        resume                  -> closed 2, place r4 +20
        """,
        settings=world(runaway_orders=3),
    )
    assert "limits.runaway_orders" in next(
        fact.summary for fact in teller.facts if getattr(fact, "type", "") == "runaway"
    )


def test_a_contract_that_is_filled_ends_the_count() -> None:
    """Slow progress is progress."""
    teller = tell(
        """
        target +10              -> place r1 +10
        rejected r1
        wait 1000               -> place r2 +10
        fill r2 +1 x1                                         = working
        row r2 cancelled 1
        position +1             -> place r3 +9
        rejected r3                                           = idle
        """,
        settings=world(runaway_orders=3),
    )
    assert len(teller.book.futile_us) == 1


def test_orders_of_long_ago_are_no_runaway() -> None:
    """Only so many in so long a time are."""
    teller = Teller(world(runaway_orders=3, runaway_us=10_000_000))
    teller.do(["target", "+10"])
    for number in (1, 2, 3):
        teller.do(["rejected", f"r{number}"])
        teller.wait(6_000)
        assert teller.book.frozen == ""


def test_no_limit_of_runaways_stops_nobody() -> None:
    """0 is off, of a symbol as of the account."""
    off = Settings(symbols=(SYMBOL,), limits=Limits(runaway_orders=0))
    tell("target +10 -> place r1 +10\nrejected r1\nwait 1000 -> place r2 +10", settings=off)


def test_a_runaway_of_many_symbols_stops_the_account() -> None:
    """Each alone is inside its limit; together they are not."""
    settings = Settings(
        symbols=("ETHUSD", SYMBOL),
        limits=Limits(runaway_orders=3),
        account_limits=AccountLimits(runaway_orders=2),
    )
    tell(
        """
        target +10              -> place r1 +10
        rejected r1
        symbol ETHUSD
        target +10              -> place r2 +10
        rejected r2             -> incident runaway           = idle ~ frozen: all symbols
        resume                  -> place r3 +10, place r4 +10, closed 1
        """,
        settings=settings,
    )


def test_a_restart_does_not_begin_the_count_anew() -> None:
    """What crashes and is started again, and again, would never reach the limit."""
    teller = tell(
        """
        target +10              -> place r1 +10
        rejected r1
        wait 1000               -> place r2 +10
        rejected r2
        """,
        settings=world(runaway_orders=3),
    )
    teller.now_us -= 3_600_000_000  # another clock: what was before it is as young as can be
    teller.start()
    assert "place r3 +10" in teller.synced(0)
    assert "incident runaway" in teller.do(["rejected", "r3"])


def test_an_order_that_is_out_may_yet_be_filled() -> None:
    """The last that is allowed is judged when it is over: it was the one that came through."""
    tell(
        """
        target +10              -> place r1 +10
        rejected r1
        wait 1000               -> place r2 +10
        rejected r2
        wait 2000               -> place r3 +10
        ok r3                                                 = working
        fill r3 +10 x1
        row r3 filled
        position +10                                          = idle
        """,
        settings=world(runaway_orders=3),
    )


@pytest.mark.parametrize("whose", ["", SYMBOL])
def test_what_is_frozen_already_is_no_runaway(whose: str) -> None:
    """It has stopped; another reason would need another decision."""
    teller = Teller(world(runaway_orders=1))
    teller.do(["target", "+10"])
    teller.do(["freeze", *whose.split()])
    teller.do(["rejected", "r1"])
    assert [name.split()[0] for name in teller.ledger.incidents] == ["by_hand"]


@pytest.mark.parametrize(("every_ms", "struck"), [(10_000, 12), (13_000, 0)])
@pytest.mark.parametrize("symbols", [(SYMBOL,), ("ETHUSD", SYMBOL)])
def test_a_throttle_that_few_orders_a_minute_never_reach_looks_further_back(
    symbols: tuple[str, ...], every_ms: int, struck: int
) -> None:
    """Six a minute are no twelve in a minute: it strikes after two minutes at nearly that rate."""
    account = AccountLimits(runaway_orders=12, max_orders_per_minute=6)
    own = Limits(
        max_orders_per_minute=6 // len(symbols),
        runaway_orders=12 if len(symbols) == 1 else 0,
        runaway_us=60_000_000,
    )
    teller = Teller(Settings(symbols=symbols, limits=own, account_limits=account))
    for number in range(1, 19):
        teller.symbol = symbols[number % len(symbols)]
        teller.do(["target", str(number)])
        teller.do(["rejected", f"r{number}"])
        if teller.book.frozen or teller.ledger.frozen:
            break
        assert "place" not in " ".join(teller.lives(900))
        teller.target(teller.book.position)
        teller.lives(every_ms - 900)
    else:
        number = 0
    assert number == struck
    assert not struck or f"{struck} orders in 3 min" in teller.book.frozen + teller.ledger.frozen


def test_the_minute_lets_go_at_its_moment() -> None:
    """Sixty seconds after the first of so many, and not at the next round look."""
    tell(
        round_trip(1)
        + """
        wait 1500
        target +10                          = idle ~ limits.max_orders_per_minute = 2
        wait 58_499             -> resync
        wait 1                  -> place r3 +10
        """,
        settings=world(max_orders_per_minute=2),
    )


def test_what_others_trade_does_not_end_the_count() -> None:
    """A person's fill is no sign that our orders come to anything."""
    tell(
        """
        target +10              -> place r1 +10
        rejected r1
        foreign +3 x1
        position +3
        wait 2000               -> place r2 +7
        rejected r2             -> incident runaway           = idle ~ frozen
        """,
        settings=world(runaway_orders=2),
    )
