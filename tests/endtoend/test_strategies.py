"""Strategies in real processes: some fail, some live on, and one runs elsewhere."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from reconciler.errors import ConfigError, Refused
from reconciler.service.door import Reloaded
from tests.endtoend.house import House, wait_for

pytestmark = pytest.mark.slow

MINE = '''
import sys
from decimal import Decimal
from reconciler.strategy import Strategy


class Above(Strategy):
    """Long above a level, short below it. Tells its log what it was told of before."""

    level: int = 60_000

    def on_start(self):
        self.warn(f"in force: {[str(s.strength) for s in self.signals.values()]}")

    def on_tick(self, tick):
        if tick.bid is not None:
            self.signal("XBTUSD", 1 if tick.bid > self.level else -1, f"bid {tick.bid}", tick.bid)

    def on_fill(self, fill):
        self.warn(f"holds {fill.position}")


class Raises(Strategy):
    def on_start(self):
        self.signal("XBTUSD", 5)

    def on_tick(self, tick):
        raise ZeroDivisionError("as it had to come")


class Loops(Strategy):
    def on_start(self):
        self.signal("XBTUSD", Decimal("0.5"), "before the loop")

    def on_snapshot(self, snapshot):
        while True:
            pass
'''

SETTINGS = """
[strategy.above]
class = "mine:Above"
symbols = ["XBTUSD"]
[strategy.raises]
class = "mine:Raises"
symbols = ["XBTUSD"]
on_failure = "zero"
[strategy.loops]
class = "mine:Loops"
symbols = ["XBTUSD"]
patience_s = 0.5
[strategy.missing]
class = "not_mine:Thing"
symbols = ["XBTUSD"]
[strategy.far]
class = "mine:Above"
number = 2
symbols = ["XBTUSD"]
runs = "process"
[portfolio.all]
strategies = { "*" = 1 }
symbols = { XBTUSD = 1000 }
policy = "urgent"
"""


def states(house: House) -> dict[str, tuple[str, str]]:
    """State and signals of each strategy, by its name in the configuration."""
    door = house.door_or_none()
    assert door is not None
    return {row["name"]: (row["state"], row["signals"]) for row in door.strategies()}


def test_strategies_fail_each_for_itself_and_signals_outlive_a_kill(tmp_path: Path) -> None:
    """
    One raises, one never comes back, one cannot be loaded: the service goes on trading for the
    others. After a kill, what was said last is in force and known to who said it.
    """
    (tmp_path / "mine.py").write_text(MINE)
    with House(tmp_path, symbols=("XBTUSD",), more=SETTINGS) as house:
        house.post("/paper/price", symbol="XBTUSD", price=61_000)
        house.start()
        expected = {
            "above": ("running", "XBTUSD +1"),
            "raises": ("failed", "XBTUSD +0"),
            "loops": ("failed", "XBTUSD +0.5"),
            "missing": ("failed", ""),
            "far": ("off", ""),
        }
        wait_for("each is in its state", lambda: states(house) == expected, 20)
        wait_for("the net is held", lambda: house.held({"XBTUSD": 1500}), 20)
        door = house.door_or_none()
        assert door is not None
        told = {i["symbol"]: i["summary"] for i in door.status()["incidents"]}
        assert told["Raises_XBTUSD_1"] == (
            "on_tick: ZeroDivisionError: as it had to come (mine.py:28)"
        )
        assert "on_snapshot: did not come back within 0.5 s (mine.py:" in told["Loops_XBTUSD_1"]
        assert "not_mine cannot be imported" in told["Thing_XBTUSD_1"]
        (version,) = house.rows("select max(version) from v_targets")

        house.kill()
        house.start()
        expected["above"] = ("running", "XBTUSD +1")
        wait_for("each is in its state again", lambda: states(house) == expected, 20)
        assert "in force: ['1']" in log(house)
        wait_for("the net is held again", lambda: house.held({"XBTUSD": 1500}), 20)
        assert house.rows("select max(version) from v_targets") == [version]

        house.post("/paper/price", symbol="XBTUSD", price=59_000)
        wait_for("the other side", lambda: house.held({"XBTUSD": -500}), 20)
        door = house.door_or_none()
        assert door is not None
        assert door.strategy("above", "stop", by="test", zero=True)["state"] == "stopped"
        wait_for("only the loop's is left", lambda: house.held({"XBTUSD": 500}), 20)
        assert house.stop() == 0, house.tail()
        house.check()
        assert house.replay()


def test_a_strategy_elsewhere_lives_through_the_service_s_end_and_its_own(tmp_path: Path) -> None:
    """In another process, without a key: signals by HTTP, fills back, whoever ends first."""
    (tmp_path / "mine.py").write_text(MINE)
    settings = SETTINGS[SETTINGS.index("[strategy.far]") :]
    with House(tmp_path, symbols=("XBTUSD",), more=settings) as house:
        house.post("/paper/price", symbol="XBTUSD", price=61_000)
        api = f"http://127.0.0.1:{house.api_port}"
        far = house.spawn("-c", str(house.config), "--api", api, "strategy", "run", "far")
        house.start()
        try:
            wait_for("its signal is held", lambda: house.held({"XBTUSD": 1000}), 20)
            assert states(house) == {"far": ("running", "XBTUSD +1")}
            second = house.spawn("-c", str(house.config), "strategy", "run", "far")
            assert second.wait(20) == 5, house.tail()
            assert f"pid {far.pid}" in log(house), "who runs it is told"
            assert states(house) == {"far": ("running", "XBTUSD +1")}
            house.kill()
            house.post("/paper/price", symbol="XBTUSD", price=59_000)
            house.start()
            wait_for("what it said meanwhile", lambda: house.held({"XBTUSD": -1000}), 30)
            wait_for("it hears of its fills", lambda: "holds -1000" in log(house), 10)
            far.send_signal(signal.SIGTERM)
            assert far.wait(10) == 0, house.tail()
            wait_for("its end is known", lambda: states(house)["far"][0] == "stopped")
            assert states(house) == {"far": ("stopped", "XBTUSD -1")}
            assert house.held({"XBTUSD": -1000})
            door = house.door_or_none()
            assert door is not None
            with pytest.raises(Refused, match="runs in a process of its own"):
                door.strategy("far", "start", by="test")
        finally:
            if far.poll() is None:
                far.kill()
                far.wait()
        assert house.stop() == 0, house.tail()
        assert house.replay()


def log(house: House) -> str:
    """What the processes have said so far, whole."""
    house.log.flush()
    return (house.folder / "service.log").read_text(errors="replace")


HOLD = """
[strategy.{name}]
class = "buy_and_hold"
symbols = ["{symbol}"]
number = {number}
parameters = {{ strength = {strength} }}
"""
NETTED = """
[portfolio.all]
strategies = {{ "*" = {weight} }}
symbols = {{ XBTUSD = 1000, ETHUSD = 10 }}
policy = "urgent"
"""


def test_tables_are_read_again_while_the_service_runs(tmp_path: Path) -> None:
    """
    Strategies come, change and go, and weights change, without a new start; what makes no sense
    changes nothing, and a replay of it all decides the same.
    """

    def hold(name: str, number: int, strength: int, symbol: str = "XBTUSD") -> str:
        return HOLD.format(name=name, number=number, strength=strength, symbol=symbol)

    with House(tmp_path, symbols=("XBTUSD", "ETHUSD")) as house:
        plain = house.config.read_text()

        def reload(*tables: str) -> Reloaded:
            door = house.door_or_none()
            assert door is not None
            house.config.write_text(plain + "".join(tables))
            return door.reload()

        def all_are(*strategies: tuple[str, str]) -> bool:
            return states(house) == dict(zip(("a", "b", "eth"), strategies, strict=False))

        house.start()  # with no strategy at all
        net = NETTED.format(weight=1)
        said = reload(hold("a", 1, 1), net)
        assert (said.started, said.portfolios) == (("BuyAndHold_XBTUSD_1",), True)
        wait_for("it is held", lambda: house.held({"XBTUSD": 1000}), 20)

        more = hold("a", 1, 2) + hold("b", 2, 1) + hold("eth", 1, 2, "ETHUSD")
        said = reload(more, net)
        assert said.started == ("BuyAndHold_XBTUSD_2", "BuyAndHold_ETHUSD_1")
        assert said.restarted == ("BuyAndHold_XBTUSD_1",)
        wait_for("all is held", lambda: house.held({"XBTUSD": 3000, "ETHUSD": 20}), 20)

        for wrong in (
            hold("b", 2, 1).replace("buy_and_hold", "buy_and_sell") + net,
            hold("b", 1, 1) + hold("a", 1, 1) + net,
            net.replace('"*"', '"Nobody_1"'),
            net + "max_gros = 1",
        ):
            with pytest.raises(ConfigError):
                reload(wrong)
        house.config.write_text("")
        assert "is empty" in house.run("--database", str(house.database), "config", "reload").stderr
        house.config.write_text(plain.replace('"ETHUSD"', '"XBTUSDT"') + hold("b", 2, 1) + net)
        with pytest.raises(ConfigError, match="ETHUSD"):  # the portfolio's, that is left out
            house.door_or_none().reload()
        house.config.write_text(plain.replace('"ETHUSD"', '"ETHUSD", "XBTUSDT"') + more + net)
        with pytest.raises(Refused, match="other symbols need a new start"):
            house.door_or_none().reload()
        on = ("running", "XBTUSD +2"), ("running", "XBTUSD +1"), ("running", "ETHUSD +2")
        assert all_are(*on)
        assert house.held({"XBTUSD": 3000, "ETHUSD": 20})

        said = reload(hold("b", 2, 1), hold("eth", 1, 2, "ETHUSD"), NETTED.format(weight=2))
        assert (said.stopped, said.started, said.restarted) == (("BuyAndHold_XBTUSD_1",), (), ())
        wait_for("without it", lambda: house.held({"XBTUSD": 2000, "ETHUSD": 40}), 20)
        said = reload(more, net, '[log]\nlevel = "debug"')
        assert (said.started, said.needs_start) == (("BuyAndHold_XBTUSD_1",), ("log.level",))
        wait_for("it is back", lambda: house.held({"XBTUSD": 3000, "ETHUSD": 20}), 20)
        assert house.stop() == 0, house.tail()
        house.check()
        assert house.replay()
