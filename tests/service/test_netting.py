"""From signals to targets: what is recorded, what is refused, and who has the last word."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.core import events as e
from reconciler.core.settings import Limits, Settings
from reconciler.errors import ConfigError, UnknownStrategy, UnknownSymbol, Unreachable, UsageError
from reconciler.journal import History
from reconciler.service import netting
from reconciler.service.door import SignalResult, StrategyReport, TargetRequest, TargetsRequest
from reconciler.service.netting import Weights
from reconciler.service.offline import OfflineDoor
from reconciler.service.options import Options
from reconciler.service.service import Service
from reconciler.service.standing import silenced
from reconciler.strategy.portfolio import Portfolio
from reconciler.strategy.signals import Signal
from tests.stories.teller import Teller, check_replay

SYMBOLS = ("XBTUSD", "ETHUSD")


def portfolio(**more: object) -> Portfolio:
    given: dict[str, object] = {
        "name": "main",
        "strategies": {"A": Decimal(1), "B": Decimal(1)},
        "symbols": {"XBTUSD": Decimal(1000), "ETHUSD": Decimal(1000)},
    }
    return Portfolio(**(given | more))  # type: ignore[arg-type]


def signal(strategy: str, strength: object, symbol: str = "XBTUSD", **more: Any) -> Signal:
    exact = Decimal(strength) if isinstance(strength, str) else strength
    return Signal(strategy=strategy, symbol=symbol, strength=exact, **more)  # type: ignore[arg-type]


class Desk(Teller):
    """A ledger in which strategies speak."""

    def __init__(self, *portfolios: Portfolio, lot: int = 1, **limits: int) -> None:
        self.weights = Weights(portfolios or (portfolio(),), ("A", "B"))
        self.memory = netting.Memory()
        self.followed: netting.Followed | None = None
        settings = Settings(symbols=SYMBOLS, limits=Limits(**limits))
        super().__init__(settings, lot=lot)

    def says(self, *said: Signal, why: str = "") -> list[str]:
        """What is recorded, in words."""
        checked = [netting.checked(one, self.weights, self.ledger) for one in said]
        self.followed = netting.follow(
            self.ledger, checked, self.weights, "hold", self.now_us, self.memory, why
        )
        for event in self.followed.events:
            self.event(event)
            if isinstance(event, e.TargetSet):
                self.version = event.version
        return [self.in_words(event) for event in self.followed.events]

    @staticmethod
    def in_words(event: e.AnyEvent) -> str:
        match event:
            case e.Signalled():
                return f"{event.number} {event.strategy} {event.strength:+f}"
            case e.TargetSet():
                return f"{event.symbol} {event.contracts:+d}"
            case e.TargetRefused():
                return f"{event.symbol} refused {event.code}"
        raise AssertionError(event)


def test_a_signal_becomes_a_target_with_its_story() -> None:
    """Who, why, at which price, and whose share is whose: all of it is in the event."""
    desk = Desk()
    words = desk.says(signal("A", "0.5", reason="crossed", price=Decimal("64231.5")))
    assert words == ["1 A +0.5", "XBTUSD +500"]
    (target,) = [event for event, _ in desk.history if isinstance(event, e.TargetSet)]
    assert target.source == "portfolio main"
    assert target.reason == "A +0.5: crossed"
    assert target.price == Decimal("64231.5")
    assert target.shares == (
        e.Share(strategy="A", contracts=500, signal=1, weight="main: 1 x 1000"),
    )
    check_replay(desk)


def test_the_same_strength_again_writes_nothing() -> None:
    """A strategy may repeat itself on every tick; it says something when it changes its mind."""
    desk = Desk()
    desk.says(signal("A", "0.5"))
    assert desk.says(signal("A", "0.50", reason="still", price=Decimal(7))) == []
    assert desk.ledger.signals["XBTUSD"]["A"].number == 1
    assert desk.says(signal("A", "0.6")) == ["2 A +0.6", "XBTUSD +600"]


def test_signals_that_come_together_are_one_target() -> None:
    """Two that cancel out in one commit move nothing in between."""
    desk = Desk()
    assert desk.says(signal("A", "0.5"), signal("B", "-0.5")) == ["1 A +0.5", "2 B -0.5"]
    both = (signal("A", "0.6"), signal("B", "0.1"), signal("A", "1", "ETHUSD"))
    assert desk.says(*both)[3:] == ["ETHUSD +1000", "XBTUSD +700"]


def test_who_was_taken_out_is_put_back_without_what_it_said_before() -> None:
    """
    It is let go, and its signals end with it: put back, it may be off, or think otherwise by now.

    A configuration that names nobody at all is no word about anybody.
    """
    desk = Desk()
    desk.says(signal("A", "0.5"), signal("B", "0.25"), signal("B", "1", "ETHUSD"))
    with_both, desk.weights = desk.weights, Weights((portfolio(sources=("C",)),), ("A",))
    assert silenced(desk.ledger, Weights(), desk.now_us) == []
    ended = silenced(desk.ledger, desk.weights, desk.now_us)
    assert [desk.in_words(event) for event in ended] == ["4 B +0", "5 B +0"]
    for event in ended:
        desk.event(event)
    assert desk.says(why="taken out") == ["ETHUSD +0", "XBTUSD +500"]
    assert silenced(desk.ledger, desk.weights, desk.now_us) == []
    desk.weights = with_both
    assert "XBTUSD +750" not in desk.says(why="put back")
    assert desk.says(signal("B", "0.25")) == ["6 B +0.25", "XBTUSD +750"]
    check_replay(desk)


def test_a_first_word_of_zero_closes_nothing() -> None:
    """A strategy without an opinion yet is no reason to sell what a person holds."""
    desk = Desk()
    desk.do(["target", "50"])
    assert desk.says(signal("A", "0")) == ["1 A +0"]


def test_a_persons_target_stays_until_the_portfolio_wants_something_else() -> None:
    """The newest wins; a change of shares alone, or saying it again, takes nothing back."""
    desk = Desk()
    desk.says(signal("A", "0.5"))
    desk.do(["target", "50"])
    assert desk.says(signal("A", "0.5")) == []
    assert desk.says(signal("A", "0.3"), signal("B", "0.2")) == ["2 A +0.3", "3 B +0.2"]
    assert desk.says(why="other weights") == []
    assert desk.says(signal("A", "0.4")) == ["4 A +0.4", "XBTUSD +600"]


def test_other_shares_of_the_same_target_are_written_down() -> None:
    """The net is the same, whose it is has changed: fills to come belong to others."""
    desk = Desk()
    desk.says(signal("A", "0.5"))
    assert desk.says(signal("A", "0"), signal("B", "0.5"))[2:] == ["XBTUSD +500"]
    book = desk.ledger.books["XBTUSD"]
    assert [(share.strategy, share.contracts) for share in book.netted] == [("A", 0), ("B", 500)]


def test_a_symbol_that_could_not_be_netted_yet_is_when_another_moves() -> None:
    """Its lot was not known when its strategy spoke; the strategy has no reason to speak again."""
    desk = Desk()
    book = desk.ledger.books["ETHUSD"]
    rules, book.instrument = book.instrument, None
    assert desk.says(signal("A", "1", "ETHUSD")) == ["1 A +1"]
    book.instrument = rules
    assert desk.says(signal("A", "1", "ETHUSD")) == []
    assert desk.says(signal("B", "1")) == ["2 B +1", "ETHUSD +1000", "XBTUSD +1000"]


def test_a_cap_over_all_symbols_moves_the_others() -> None:
    """What one strategy asks for of one symbol makes room for less of another."""
    desk = Desk(portfolio(max_gross=Decimal(1)))
    assert desk.says(signal("A", "1")) == ["1 A +1", "XBTUSD +1000"]
    assert desk.says(signal("A", "1", "ETHUSD")) == ["2 A +1", "ETHUSD +500", "XBTUSD +500"]


def test_a_refused_target_is_kept_for_audit_once() -> None:
    """The target before it stays; saying the same refused thing for hours fills no journal."""
    desk = Desk(max_position_contracts=800)
    desk.says(signal("A", "0.5"))
    assert desk.says(signal("A", "0.9")) == ["2 A +0.9", "XBTUSD refused limit_exceeded"]
    assert desk.followed is not None
    assert "max_position_contracts = 800" in desk.followed.refused["XBTUSD"]
    assert desk.ledger.books["XBTUSD"].target.contracts == 500  # type: ignore[union-attr]
    assert desk.says(signal("A", "0.9")) == []
    assert desk.says(signal("A", "0.9"), why="other weights") == []
    assert desk.says(signal("A", "0.95")) == ["3 A +0.95", "XBTUSD refused limit_exceeded"]
    assert desk.says(signal("A", "0.8")) == ["4 A +0.8", "XBTUSD +800"]
    assert desk.says(signal("A", "0.95")) == ["5 A +0.95", "XBTUSD refused limit_exceeded"]


def test_weights_gone_wild_are_refused_before_they_are_stored() -> None:
    """A cap hides what a strategy asks for; a share beyond all reason is a mistake."""
    desk = Desk(portfolio(symbols={"XBTUSD": Decimal(10**9)}, max_contracts={"XBTUSD": 100}))
    said = desk.says(signal("A", "1000000"), signal("B", "-1"))
    assert said[2:] == ["XBTUSD +100"]
    wild = Desk(
        portfolio(
            strategies={"A": Decimal(10**9)},
            symbols={"XBTUSD": Decimal(10**9)},
            max_contracts={"XBTUSD": 100},
        )
    )
    assert wild.says(signal("A", "1")) == ["1 A +1", "XBTUSD refused refused"]
    huge = Desk(portfolio(strategies={"A": Decimal(10**9)}, symbols={"XBTUSD": Decimal(10**9)}))
    huge.says(signal("A", "100"))
    (refused,) = [event for event, _ in huge.history if isinstance(event, e.TargetRefused)]
    assert refused.contracts is None  # no column could hold it


def test_without_portfolios_targets_stay_as_they_are() -> None:
    """A file that was not found, or a section that was lost, is no wish to sell."""
    desk = Desk()
    desk.says(signal("A", "0.5"))
    desk.weights = Weights((), ("A",))
    assert desk.says(why="a start") == []
    assert desk.says(signal("A", "0.7")) == ["2 A +0.7"]


def test_a_symbol_that_is_taken_out_is_let_go() -> None:
    """Nobody has a say in it any more: its target is zero, once."""
    desk = Desk()
    desk.says(signal("A", "0.5"))
    desk.weights = Weights((portfolio(symbols={"ETHUSD": Decimal(1000)}),), ("A", "B"))
    assert desk.says(why="other weights") == ["XBTUSD +0"]
    assert desk.says(why="other weights") == []


def test_a_strategy_that_is_taken_out_has_no_say() -> None:
    """Its last signal would count for ever, under a pattern that fits: it can't speak any more."""
    everybody = portfolio(strategies={"*": Decimal(1)})
    desk = Desk(everybody)
    desk.says(signal("A", "0.5"), signal("B", "0.2"))
    desk.weights = Weights((everybody,), ("B",))
    assert desk.says(why="the weights were changed before the start") == ["XBTUSD +200"]
    assert desk.says(signal("B", "0.3")) == ["3 B +0.3", "XBTUSD +300"]
    desk.weights = Weights((msgspec.structs.replace(everybody, sources=("A",)),), ("B",))
    assert desk.says(why="other weights") == ["XBTUSD +800"]


def test_a_lot_that_is_not_known_yet_is_waited_for() -> None:
    """The signal is kept; the target follows once the venue has told its rules."""
    desk = Desk(lot=100)
    book = desk.ledger.books["XBTUSD"]
    instrument, book.instrument = book.instrument, None
    assert desk.says(signal("A", "0.55")) == ["1 A +0.55"]
    book.instrument = instrument
    assert desk.says(why="rules of a symbol") == ["XBTUSD +500"]


def test_a_cap_over_symbols_holds_beside_a_portfolio_without_one() -> None:
    """What one symbol takes, the other gives up, in the portfolio that is capped, in one commit."""
    desk = Desk(
        portfolio(name="a", max_gross=Decimal(1)),
        portfolio(name="b", symbols={"XBTUSD": Decimal(100)}),
    )
    assert desk.says(signal("A", "1")) == ["1 A +1", "XBTUSD +1100"]
    assert desk.says(signal("A", "-1", "ETHUSD")) == ["2 A -1", "ETHUSD -500", "XBTUSD +600"]


def test_of_a_symbol_that_is_configured_no_more_nothing_is_said() -> None:
    """Its target was refused, and would be tried again: nobody may trade it, which is no news."""
    desk = Desk(max_position_contracts=800)
    assert desk.says(signal("A", "1", "ETHUSD")) == ["1 A +1", "ETHUSD refused limit_exceeded"]
    settings = msgspec.structs.replace(desk.settings, symbols=("XBTUSD",))
    desk.event(e.Configured(at_us=desk.now_us, settings=settings))
    assert desk.says(signal("A", "0.5")) == ["2 A +0.5", "XBTUSD +500"]
    assert desk.says(why="other weights") == []


def test_time_to_live_is_renewed_by_whoever_still_speaks() -> None:
    """Half of it may pass in silence; a dead one's target ends, and no restart brings it back."""
    desk = Desk(portfolio(ttl_s=100, on_expiry="flatten", policy="urgent"))
    desk.says(signal("A", "0.5"))
    target = desk.ledger.books["XBTUSD"].target
    assert target is not None
    assert (target.expires_us, target.policy) == (desk.now_us + 100_000_000, "urgent")
    desk.do(["wait", "40_000"])
    assert desk.says(signal("A", "0.5")) == []
    desk.do(["wait", "20_000"])
    assert desk.says(why="a restart") == []
    assert desk.says(signal("A", "0.5")) == ["XBTUSD +500"]
    desk.do(["wait", "101_000"])
    assert desk.ledger.books["XBTUSD"].target.contracts == 0  # type: ignore[union-attr]
    assert desk.says(why="a restart") == []
    assert desk.says(signal("B", "1", "ETHUSD")) == ["2 B +1", "ETHUSD +1000"]
    assert desk.says(signal("A", "0.5")) == ["XBTUSD +500"]
    desk.do(["wait", "101_000"])
    assert desk.says(signal("A", "0")) == ["3 A +0", "XBTUSD +0"]


def test_portfolios_that_share_a_symbol_agree_on_the_careful_side() -> None:
    """The shortest life, the first policy that is named; the source names all of them."""
    desk = Desk(
        portfolio(name="x", ttl_s=50, policy="passive", on_expiry="flatten"),
        portfolio(name="a", ttl_s=90, policy=""),
    )
    desk.says(signal("A", "0.1"))
    target = desk.ledger.books["XBTUSD"].target
    assert target is not None
    assert (target.source, target.policy) == ("portfolio a+x", "passive")
    assert target.on_expiry == "flatten"
    assert target.expires_us == desk.now_us + 50_000_000


@pytest.mark.parametrize("seed", range(30))
def test_who_looks_at_what_moved_alone_says_the_same_as_who_looks_at_all(seed: int) -> None:
    """Refusals, lots that are told late, targets of people and ends of targets among it."""
    draw = random.Random(seed)
    cap = draw.choice([None, None, Decimal("0.8")])
    desk = Desk(portfolio(max_gross=cap, ttl_s=draw.choice([None, 60])), max_position_contracts=900)
    rules = {symbol: book.instrument for symbol, book in desk.ledger.books.items()}
    desk.ledger.books["ETHUSD"].instrument = None
    for number in range(40):
        pairs = draw.choices([(a, s) for a in "AB" for s in SYMBOLS], k=2)
        said = [signal(a, Decimal(draw.randrange(-4, 5)) / 4, s) for a, s in dict.fromkeys(pairs)]
        all_of_them = netting.Memory()
        all_of_them.refused = dict(desk.memory.refused)
        exact = [netting.checked(one, desk.weights, desk.ledger) for one in said]
        followed = netting.follow(
            desk.ledger, exact, desk.weights, "hold", desk.now_us, all_of_them
        )
        desk.says(*said)
        assert desk.followed is not None
        assert (desk.followed.events, desk.followed.refused) == (followed.events, followed.refused)
        assert desk.memory.refused == all_of_them.refused
        if number == 20:
            desk.ledger.books["ETHUSD"].instrument = rules["ETHUSD"]
        desk.do(draw.choice([["wait", "1_000"], ["wait", "70_000"], ["target", "50"]]))


@pytest.mark.parametrize(
    ("strength", "said"),
    [
        (Decimal("NaN"), "strength is NaN; it must be finite"),
        (Decimal("-Infinity"), "strength is -Infinity"),
        (float("nan"), "strength is NaN"),
        (True, "strength is 'True', a bool: no number"),
        ("1e30", "at most 1,000,000"),
        (None, "strength is 'None'"),
    ],
)
def test_no_strength_is_guessed(strength: object, said: str) -> None:
    """Nothing is recorded, and the signal before stays in force."""
    desk = Desk()
    desk.says(signal("A", "0.5"))
    with pytest.raises(UsageError) as caught:
        desk.says(signal("A", strength))
    assert said in str(caught.value)
    assert desk.ledger.signals["XBTUSD"]["A"].strength == Decimal("0.5")


def test_strangers_and_symbols_of_elsewhere_are_refused() -> None:
    """Only who is configured has a say, about what is configured."""
    desk = Desk()
    with pytest.raises(UnknownStrategy, match=r"'Z' is no strategy.*configured: A, B"):
        desk.says(signal("Z", "1"))
    desk.weights = Weights((portfolio(sources=("n*",)),), ("A", "B"))
    assert desk.says(signal("n.1", "1")) == ["1 n.1 +1"]
    for name in ("n 1", "n\n", "n" * 201, "nä"):
        with pytest.raises(UnknownStrategy):
            desk.says(signal(name, "1"))
    with pytest.raises(UnknownSymbol, match="'DOGEUSD' is not one of"):
        desk.says(signal("A", "1", "DOGEUSD"))
    with pytest.raises(UsageError, match="price is -1"):
        desk.says(signal("A", "1", price=Decimal(-1)))
    with pytest.raises(UsageError, match="not text"):
        desk.says(signal("A", "1", reason="\udc80"))


# -- through the doors --------------------------------------------------------------------------


def options(folder: Path, *portfolios: Portfolio, **more: Any) -> Options:
    return Options(
        database=folder / "journal.db",
        settings=Settings(symbols=SYMBOLS),
        durability="process",
        **{"weights": Weights(portfolios or (portfolio(),), ("A", "B"))} | more,
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service that has no venue, and ends it after the test."""
    running: list[tuple[Service, threading.Thread]] = []

    def start(*portfolios: Portfolio, say: Any = None, **more: Any) -> Service:
        service = Service(options(tmp_path, *portfolios, **more), None, say=say)
        thread = threading.Thread(target=service.run, daemon=True)
        thread.start()
        assert service.ready.wait(10)
        running.append((service, thread))
        return service

    def stop() -> None:
        while running:
            service, thread = running.pop()
            service.stop("the test is over")
            thread.join(15)
            assert not thread.is_alive()

    start.stop = stop  # type: ignore[attr-defined]
    yield start
    stop()


def listed(service: Service, lot: int = 1) -> None:
    """The venue has told the rules of every symbol."""
    rules = Teller().instrument("XBTUSD")
    now_us = service.loop.now_us()
    service.loop.post(
        [msgspec.structs.replace(rules, symbol=symbol, lot=lot, at_us=now_us) for symbol in SYMBOLS]
    )


def targets(service: Service | OfflineDoor) -> list[tuple[int, int, str]]:
    with History.open(service.options.database) as history:
        rows = history.rows("v_targets", symbol=["XBTUSD"], limit=0, newest_first=False).dicts()
    return [(row["version"], row["contracts"], row["source"]) for row in rows]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_without_a_service_a_signal_is_recorded_all_the_same(tmp_path: Path) -> None:
    """The journal's own door: the same answers, and the same errors."""
    door = OfflineDoor(options(tmp_path))
    said = door.signal(signal("A", "0.5"))
    assert (said.number, said.changed, said.targets) == (1, True, ())  # no lot is known yet
    assert not door.signal(signal("A", "0.5")).changed
    with pytest.raises(UnknownStrategy):
        door.signal(signal("Z", "0.5"))


def test_a_running_service_answers_after_the_commit(run: Any) -> None:
    """Target and signal are on the disk when the answer comes."""
    service = run()
    listed(service)
    said = service.signal(signal("A", "0.5"))
    assert (said.number, said.changed, said.refused) == (1, True, ())
    assert [(t.symbol, t.contracts, t.version) for t in said.targets] == [("XBTUSD", 500, 1)]
    assert targets(service) == [(1, 500, "portfolio main")]
    again = service.signal(signal("A", "0.5"))
    assert (again.number, again.changed, again.targets) == (1, False, ())
    with pytest.raises(UsageError, match="NaN"):
        service.signal(signal("A", "NaN"))


def test_the_last_of_many_signals_counts(run: Any) -> None:
    """However fast they come, by whatever way: as few commits as it takes, and the newest wins."""
    service = run()
    listed(service)
    answers: list[SignalResult] = []

    def flap(name: str, symbol: str) -> None:
        for n in range(1, 60):
            answers.append(service.signal(signal(name, f"0.{n:03}", symbol)))

    threads = [
        threading.Thread(target=flap, args=(name, symbol))
        for name, symbol in (("A", "XBTUSD"), ("B", "XBTUSD")) * 2 + (("A", "ETHUSD"),)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert service.signal(signal("A", "0.75", "ETHUSD")).changed
    final = service.signal(signal("A", "0.25")), service.signal(signal("B", "0.5"))
    assert all(answer.changed for answer in final)
    assert targets(service)[-1][1] == 750
    assert len(answers) == 5 * 59
    assert eth(service) == 750


def eth(service: Service) -> int:
    with History.open(service.options.database) as history:
        rows = history.rows("v_targets", symbol=["ETHUSD"], limit=1).dicts()
    return int(rows[0]["contracts"]) if rows else 0


def test_a_restart_says_nothing_new(run: Any) -> None:
    """The signals of the journal give the same target; other weights give another, at once."""
    first = run()
    listed(first)
    first.signal(signal("A", "0.5"))
    run.stop()
    second = run()
    assert not second.signal(signal("A", "0.5")).changed
    assert targets(second) == [(1, 500, "portfolio main")]
    run.stop()
    third = run(portfolio(symbols={"XBTUSD": Decimal(2000)}))
    assert targets(third) == [(1, 500, "portfolio main"), (2, 1000, "portfolio main")]


def test_who_was_taken_out_is_told_so_once_and_may_come_back(run: Any) -> None:
    """It is not shown as running, and its failure is no open incident any more."""

    def reports(service: Service) -> list[tuple[str, str, str]]:
        rows = service.strategies()
        return [(row["strategy"], row["state"], row["signals"]) for row in rows]

    first = run()
    first.signal(signal("A", "0.5"))
    first.report_strategy(
        StrategyReport(strategy="A", state="failed", detail="zero", parameters="{}")
    )
    first.report_strategy(StrategyReport(strategy="B", state="running"))
    assert [i["symbol"] for i in first.status()["incidents"]] == ["A"]
    run.stop()
    without = portfolio(strategies={"B": Decimal(1)})
    for _ in range(2):
        second = run(without, weights=Weights((without,), ("B",)))
        assert reports(second) == [("A", "stopped", ""), ("B", "running", "")]
        assert second.status()["incidents"] == []
        run.stop()
    with History.open(second.options.database) as history:
        told = history.query("select strategy, state from strategy_states order by seq").values
    assert told == [("A", "failed"), ("B", "running"), ("A", "stopped")]


def test_rules_that_come_late_bring_the_target(run: Any) -> None:
    """A signal may be there before the venue: its target follows when the lot is known."""
    service = run()
    assert service.signal(signal("A", "0.5")).targets == ()
    listed(service, lot=200)
    until(lambda: targets(service) == [(1, 400, "portfolio main")])


def test_a_limit_that_was_raised_lets_the_target_through(run: Any) -> None:
    """A strategy that holds for good has no reason to speak again: nothing else would ask."""
    service = run()
    listed(service)
    strict = Settings(symbols=SYMBOLS, limits=Limits(max_position_contracts=400))
    service.reconfigure(strict)
    assert "max_position_contracts = 400" in service.signal(signal("A", "0.5")).refused[0]
    assert targets(service) == []
    service.reconfigure(Settings(symbols=SYMBOLS))
    until(lambda: targets(service) == [(1, 500, "portfolio main")])


def test_other_weights_are_taken_whole_or_not_at_all(run: Any) -> None:
    """A weights file that makes no sense is told, and nothing changes; the next one is taken."""
    said: list[str] = []
    answers: list[object] = []

    def read() -> Weights | None:
        found = answers.pop(0) if answers else None
        if isinstance(found, Exception):
            raise found
        return found  # type: ignore[return-value]

    service = run(say=lambda level, name, **_: said.append(name), read_weights=read)
    listed(service)
    service.signal(signal("A", "0.5"))
    answers.append(ConfigError("portfolio.main: 'Nobody_1' has a weight"))
    until(lambda: "weights.refused" in said)
    assert service.desk.weights == service.options.weights
    answers.append(Weights((portfolio(strategies={"A": Decimal(2)}),), ("A",)))
    until(lambda: len(targets(service)) == 2)
    assert targets(service)[1][:2] == (2, 1000)


def test_a_persons_target_is_the_newest(run: Any) -> None:
    """And the portfolio says nothing more until its own target changes."""
    service = run()
    listed(service)
    service.signal(signal("A", "0.5"))
    said = service.set_target(TargetRequest(symbol="XBTUSD", contracts=30, source="ann"))
    assert said.note.startswith("portfolio main had set this target, and sets another once")
    service.signal(signal("A", "0.5"))
    service.signal(signal("B", "0"))
    assert [row[1:] for row in targets(service)] == [(500, "portfolio main"), (30, "ann")]
    said = service.set_target(TargetRequest(symbol="XBTUSD", contracts=40, source="ann"))
    assert said.note == ""


def test_who_prunes_what_a_portfolio_holds_is_told_of_it(run: Any) -> None:
    """It is closed, as was said; and the next change of a signal opens it again."""
    service = run()
    listed(service)
    service.signal(signal("A", "0.5"))
    done = service.set_targets(TargetsRequest(targets=(), prune=True, source="ann"))
    assert [(one.symbol, one.contracts) for one in done.targets] == [("XBTUSD", 0)]
    assert "portfolio main had set this target" in done.targets[0].note
    service.signal(signal("A", "0.6"))
    assert [row[1] for row in targets(service)] == [500, 0, 600]


def test_a_service_that_is_over_takes_no_signal(run: Any) -> None:
    """It is refused, and not silently kept for later."""
    service = run()
    run.stop()
    with pytest.raises(Unreachable):
        service.signal(signal("A", "0.5"))
    assert service.desk._waiting == []
