"""One life of the real processes: targets, a person's trade, signals, a lost exchange, replay."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from reconciler.errors import LimitExceeded
from tests.endtoend.house import House, wait_for

pytestmark = pytest.mark.slow


def settled(house: House, targets: dict[str, int], within_s: float = 30) -> None:
    """Wait until every account of the position says that *targets* are held."""
    wait_for(f"{targets} held", lambda: house.held(targets) or None, within_s)


def test_a_person_s_trade_is_pulled_back_to_the_target(tmp_path: Path) -> None:
    """A target that was met is still held: what somebody else trades is traded back, and booked."""
    with House(tmp_path, symbols=("XBTUSD",)) as house:
        house.start()
        house.set_target("XBTUSD", 500)
        settled(house, {"XBTUSD": 500})
        house.post("/paper/trade", symbol="XBTUSD", side="Sell", orderQty=300)
        wait_for("the trade is booked", lambda: len(house.rows("select 1 from v_fills")) > 1)
        settled(house, {"XBTUSD": 500})
        assert house.stop() == 0, house.tail()
        assert house.check()["fills"] >= 3
        foreign = house.rows(
            "select signed_contracts from v_fills where coalesce(cl_ord_id, '') = ''"
        )
        assert foreign == [(-300,)]
        assert house.replay()


def test_sigterm_leaves_no_order_behind(tmp_path: Path) -> None:
    """An orderly stop cancels what rests, is confirmed by the venue, and takes less than 15 s."""
    with House(tmp_path, symbols=("XBTUSD",)) as house:
        house.post("/paper/price", symbol="XBTUSD", price=60000)
        house.start()
        house.set_target("XBTUSD", 50_000, policy="passive")
        wait_for("an order rests", lambda: house.status()["XBTUSD"]["working"] or None)
        began = time.monotonic()
        assert house.stop() == 0, house.tail()
        assert time.monotonic() - began < 15
        assert not [row for row in house.truth()["orders"] if row["leavesQty"]]
        house.check()
        assert house.replay()


def test_settings_are_read_again_whole_or_not_at_all(tmp_path: Path) -> None:
    """SIGHUP puts a lower limit in force; a file that makes no sense changes nothing."""
    with House(tmp_path, symbols=("XBTUSD",)) as house:
        house.start()
        assert house.service is not None
        text = house.config.read_text()
        house.config.write_text(text.replace("max_position_contracts = 100000", "max_posit = 5"))
        house.service.send_signal(signal.SIGHUP)
        wait_for("the refusal", lambda: "config.refused" in house.tail() or None)
        house.set_target("XBTUSD", 900)
        house.config.write_text(
            text.replace("max_position_contracts = 100000", "max_position_contracts = 500")
        )
        house.service.send_signal(signal.SIGHUP)
        wait_for("the new limits", lambda: "config.reload" in house.tail() or None)
        with pytest.raises(LimitExceeded):
            house.set_target("XBTUSD", 1_000)
        assert house.stop() == 0, house.tail()
        assert house.replay()


def test_commands_of_another_process_reach_the_running_service(tmp_path: Path) -> None:
    """`set`, `wait`, `halt`, `resume` and `status` from a second terminal, and their exit codes."""
    with House(tmp_path, symbols=("XBTUSD",)) as house:
        house.start()
        assert house.run("set", "XBTUSD", "-300", "--policy", "urgent").returncode == 0
        assert house.run("wait", "XBTUSD", "--timeout", "30s").returncode == 0
        status = json.loads(house.run("status", "-o", "json").stdout)
        assert [row["position"] for row in status["symbols"]] == [-300]
        refused = house.run("set", "XBTUSD", "350")
        assert (refused.returncode, refused.stdout) == (5, "")
        assert "350" in refused.stderr
        assert "lot of 100" in refused.stderr
        assert house.run("halt", "--reason", "odd prices", "--yes").returncode == 0
        assert house.run("set", "XBTUSD", "200", "--policy", "urgent").returncode == 0
        assert house.run("wait", "XBTUSD", "--timeout", "1s").returncode == 7
        assert house.truth()["positions"]["XBTUSD"] == -300
        assert house.run("resume", "--yes").returncode == 0
        assert house.run("wait", "XBTUSD", "--timeout", "30s").returncode == 0
        assert house.stop() == 0, house.tail()
        house.check()
        assert house.replay()


def test_a_stream_that_is_cut_again_and_again_loses_nothing(tmp_path: Path) -> None:
    """Every reconnection reads back what was missed, and nothing is traded on less than that."""
    with House(tmp_path, symbols=("XBTUSD", "ETHUSD")) as house:
        house.start()
        for number in range(8):
            house.set_target("XBTUSD", (-1) ** number * 400)
            house.set_target("ETHUSD", number)
            house.post("/paper/disconnect")
            house.post("/paper/trade", symbol="XBTUSD", side="Buy", orderQty=100)
        settled(house, {"XBTUSD": -400, "ETHUSD": 7}, within_s=60)
        assert house.stop() == 0, house.tail()
        house.check()
        assert house.replay()
