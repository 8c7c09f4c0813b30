"""Orders that depend on one another by clOrdLinkID (protocol sheet, sections 4.1, 4.2)."""

import pytest

from reconciler.paper.errors import Refusal
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import OTHER

OCO = {"contingencyType": "OneCancelsTheOther", "clOrdLinkID": "pair"}
OTO = {"contingencyType": "OneTriggersTheOther", "clOrdLinkID": "bracket"}
LATER = {"clOrdLinkID": "bracket"}


def pair(bench):
    """A profit target and a stop of one link around a long position of 500."""
    bench.place(orderQty=500, ordType="Market")
    target = bench.place(orderQty=-500, price="61260", **OCO)
    stop = bench.place(orderQty=-500, ordType="Stop", stopPx="61200", execInst="LastPrice", **OCO)
    return target, stop


def test_a_fill_of_one_cancels_the_other(bench):
    """Even a partial fill: the rest of the one that traded stays."""
    target, stop = pair(bench)
    bench.exchange.house_take("XBTUSD", BUY, 100_000, 612_599, bench.now)
    bench.exchange.house_take("XBTUSD", BUY, 200, 612_600, bench.now)
    assert (target.status, target.cum) == ("PartiallyFilled", 200)
    assert stop.status == "Canceled"
    assert target.row()["contingencyType"] == "OneCancelsTheOther"
    assert target.row()["clOrdLinkID"] == "pair"


def test_a_trigger_of_one_cancels_the_other(bench):
    """The stop is activated: the target goes before it could trade as well."""
    target, stop = pair(bench)
    bench.exchange.house_take("XBTUSD", SELL, 100_000, 612_501, bench.now)
    bench.exchange.house_rest("XBTUSD", BUY, 612_000, 10_000, bench.now)
    bench.exchange.house_take("XBTUSD", SELL, 100, 612_000, bench.now)
    assert (stop.status, target.status, bench.held()) == ("Filled", "Canceled", 0)


def test_a_cancel_of_one_cancels_the_other(bench):
    """By id or all at once; each has one Canceled execution, and other links are left alone."""
    target, stop = pair(bench)
    other = bench.place(OTHER, orderQty=-100, price="61300", **OCO)
    bench.cancel(target)
    assert (target.status, stop.status, other.status) == ("Canceled", "Canceled", "New")
    bench.exchange.cancel_all([target, stop], "", bench.now)
    told = [row["orderID"] for row in bench.exchange.executions[target.account]
            if row["execType"] == "Canceled"]  # fmt: skip
    assert sorted(told) == sorted([target.order_id, stop.order_id])


def test_two_of_a_link_never_both_trade_in_one_sweep(bench):
    """A large taker meets both: the first fill takes the second out of its way."""
    bench.place(orderQty=500, ordType="Market")
    near = bench.place(orderQty=-500, price="61250.8", **OCO)
    far = bench.place(orderQty=-500, price="61250.9", **OCO)
    bench.place(OTHER, orderQty=1_000, price="61250.9")
    assert (near.status, far.status, far.cum, bench.held()) == ("Filled", "Canceled", 0, 0)


def test_secondaries_wait_for_the_whole_primary(bench):
    """Half a fill lets nothing in; the last contract lets all of them in, as a bracket."""
    primary = bench.place(orderQty=400, price="61250.8", **OTO)
    target = bench.place(orderQty=-400, price="61260", contingencyType=OCO["contingencyType"],
                         **LATER)  # fmt: skip
    stop = bench.place(
        orderQty=-400, ordType="Stop", stopPx="61200", execInst="LastPrice",
        contingencyType=OCO["contingencyType"], **LATER,
    )  # fmt: skip
    assert (target.working, target.status) == (False, "New")
    assert bench.exchange.position(target.account, "XBTUSD").open_sell_qty == 0
    bench.exchange.house_take("XBTUSD", SELL, 300, 612_508, bench.now)
    assert (primary.cum, target.working) == (300, False)
    bench.exchange.house_take("XBTUSD", SELL, 100, 612_508, bench.now)
    assert (primary.status, target.working, stop.untriggered) == ("Filled", True, True)
    kinds = [row["execType"] for row in bench.exchange.executions[target.account]
             if row["orderID"] == target.order_id]  # fmt: skip
    assert kinds == ["New", "TriggeredOrActivatedBySystem"]
    bench.cancel(stop)
    assert target.status == "Canceled"


def test_a_waiting_secondary_stop_does_not_trigger_before_its_turn(bench):
    """Its price is reached, its primary is not filled: it sleeps. Then it goes at once."""
    bench.place(orderQty=100, price="61000", clOrdID="p", **OTO)
    stop = bench.place(orderQty=-100, ordType="Stop", stopPx="61300", **LATER)
    bench.exchange.pulse(bench.now, positions=True)
    assert stop.triggered == ""
    bench.amend(origClOrdID="p", price="61251")
    assert (stop.triggered, stop.status) == ("StopOrderTriggered", "Filled")
    assert bench.held() == 0


def test_secondaries_of_a_canceled_primary_are_canceled(bench):
    """Also one that comes later: it never trades without the order it was to protect."""
    primary = bench.place(orderQty=400, price="61000", **OTO)
    early = bench.place(orderQty=-400, price="61260", **LATER)
    bench.cancel(primary)
    late = bench.place(orderQty=-400, price="61260", **LATER)
    assert (early.status, late.status) == ("Canceled", "Canceled")


def test_an_order_of_a_link_whose_primary_has_filled_is_an_order(bench):
    """It came late and waits for nothing."""
    bench.place(orderQty=400, price="61251", **OTO)
    assert bench.place(orderQty=-400, price="61260", **LATER).working


def test_a_link_has_one_primary(bench):
    """A second one is refused while the first is open."""
    bench.place(orderQty=400, price="61000", **OTO)
    with pytest.raises(Refusal, match=r"^Invalid clOrdLinkID for contingencyType$"):
        bench.place(orderQty=400, price="61000", **OTO)
