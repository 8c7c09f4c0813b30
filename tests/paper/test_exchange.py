"""The exchange in memory: one story for each rule of the protocol sheet, sections 4, 7 and 10."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.paper.errors import Refusal
from reconciler.paper.floor import sum_of_contracts
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import ME, NOW, OTHER, Bench

POST_ONLY = "ParticipateDoNotInitiate"


def test_a_resting_order_is_one_insert_without_nulls(bench):
    """A placement is one insert row in its final state, and no field of it is null."""
    order = bench.place(orderQty=300, price="61000.5", clOrdID="a", execInst=POST_ONLY)
    [(action, row)] = bench.rows("order")
    assert action == "insert"
    assert row == order.row()
    assert None not in row.values()
    assert (row["ordStatus"], row["workingIndicator"], row["leavesQty"]) == ("New", True, 300)
    assert "avgPx" not in row


def test_a_crossing_order_is_inserted_filled(bench):
    """An order that trades at once is inserted Filled; the executions still show every step."""
    bench.place(orderQty=1_500, price="61251.5", clOrdID="a")
    changes = bench.flush()
    orders = [c for c in changes if c.table == "order"]
    steps = [c.row["execType"] for c in changes if c.table == "execution"]
    assert [(c.action, c.row["ordStatus"], c.row["cumQty"]) for c in orders] == [
        ("insert", "Filled", 1_500)
    ]
    assert steps == ["New", "Trade", "Trade"]
    assert bench.held() == 1_500


def test_updates_carry_only_what_changed(bench):
    """A later fill is an update of identity, changed fields and timestamp, nothing else."""
    bench.place(orderQty=300, price="61250.9", clOrdID="a")
    bench.flush()
    bench.exchange.house_take("XBTUSD", SELL, 100, None, bench.now)
    [(action, row)] = bench.rows("order")
    assert action == "update"
    assert set(row) == {
        "orderID", "clOrdID", "account", "symbol", "ordStatus", "leavesQty", "cumQty", "avgPx",
        "timestamp",
    }  # fmt: skip
    bench.exchange.house_take("XBTUSD", SELL, 200, None, bench.now)
    [(_, row)] = bench.rows("order")
    assert (row["ordStatus"], row["workingIndicator"], row["leavesQty"]) == ("Filled", False, 0)


def test_a_fill_moves_the_position_in_two_updates(bench):
    """The first position update of a fill has the open orders alone, the second the quantity."""
    bench.place(orderQty=300, price="61250.9")
    bench.flush()
    bench.exchange.house_take("XBTUSD", SELL, 300, None, bench.now)
    first, second = [row for _, row in bench.rows("position")]
    assert first["openOrderBuyQty"] == 0
    assert "currentQty" not in first
    assert second["currentQty"] == 300
    for row in (first, second):
        assert {"account", "symbol", "strategy", "currency", "timestamp"} <= set(row)


def test_post_only_never_takes(bench):
    """A post-only order that would trade is canceled whole, in its insert, in BitMEX's words."""
    order = bench.place(orderQty=300, price="61251", execInst=POST_ONLY)
    assert order.status == "Canceled"
    assert order.text == (
        "Canceled: Order had execInst of ParticipateDoNotInitiate\nSubmitted via API."
    )
    assert bench.held() == 0
    assert bench.place(orderQty=300, price="61250.9", execInst=POST_ONLY).status == "New"


def test_ioc_keeps_what_it_gets_and_cancels_the_rest(bench):
    """An immediate-or-cancel order fills what it can and never rests."""
    order = bench.place(orderQty=3_000, price="61251.1", timeInForce="ImmediateOrCancel")
    assert (order.status, order.cum, order.leaves) == ("Canceled", 2_000, 0)
    assert bench.exchange.open_orders(ME) == []


def test_fok_is_all_or_nothing(bench):
    """A fill-or-kill order trades in full or not at all."""
    killed = bench.place(orderQty=3_000, price="61251.1", timeInForce="FillOrKill")
    assert (killed.status, killed.cum) == ("Canceled", 0)
    filled = bench.place(orderQty=2_000, price="61251.1", timeInForce="FillOrKill")
    assert (filled.status, filled.cum) == ("Filled", 2_000)


def test_a_market_order_shows_the_last_price_it_touched(bench):
    """A market order comes back ImmediateOrCancel, with the worst price it traded at."""
    order = bench.place(orderQty=2_500, ordType="Market", side="Sell")
    row = order.row()
    assert (row["timeInForce"], str(row["price"])) == ("ImmediateOrCancel", "61250.3")
    emptied = bench.place(orderQty=100_000, ordType="Market", side="Sell")
    assert (emptied.status, emptied.cum) == ("Canceled", 2_500)


def test_reduce_only_never_opens(bench):
    """ReduceOnly is refused when flat and cut to the position otherwise."""
    with pytest.raises(Refusal) as refused:
        bench.place(orderQty=100, price="61000", execInst="ReduceOnly")
    assert refused.value.message == (
        "Order had execInst of ReduceOnly and side of Buy but current position is 0"
    )
    bench.place(orderQty=300, ordType="Market")
    cut = bench.place(orderQty=-1_000, price="61300", execInst="ReduceOnly")
    assert (cut.qty, cut.leaves) == (300, 300)


def test_resting_reduce_only_orders_shrink_with_the_position(bench):
    """When the position shrinks otherwise, ReduceOnly orders give way, the furthest first."""
    bench.place(orderQty=500, ordType="Market")
    near = bench.place(orderQty=-200, price="61260", execInst="ReduceOnly")
    far = bench.place(orderQty=-300, price="61300", execInst="ReduceOnly")
    bench.place(orderQty=-400, ordType="Market")
    assert (near.leaves, near.status) == (100, "New")
    assert far.status == "Canceled"
    bench.exchange.house_take("XBTUSD", BUY, 100_000, None, bench.now)
    assert bench.held() == 0


def test_close_takes_the_whole_position(bench):
    """Close without a quantity closes the position and makes room for itself."""
    bench.place(orderQty=300, ordType="Market")
    other = bench.place(orderQty=-300, price="61300")
    closing = bench.place(side="Sell", execInst="Close", ordType="Market")
    assert (closing.qty, closing.status, bench.held()) == (300, "Filled", 0)
    assert other.status == "Canceled"


def test_a_client_id_is_taken_only_while_its_order_is_open(bench):
    """Duplicate clOrdID is refused among open orders and reused after the end of the first."""
    first = bench.place(orderQty=300, price="61000", clOrdID="a")
    with pytest.raises(Refusal, match=r"^Duplicate clOrdID$"):
        bench.place(orderQty=300, price="61000", clOrdID="a")
    bench.place(OTHER, orderQty=300, price="61000", clOrdID="a")
    bench.cancel(first)
    assert bench.place(orderQty=300, price="61000", clOrdID="a").status == "New"


def test_an_account_cannot_spend_what_it_lacks():
    """An order beyond the balance is refused with its initial margin, and one within it is not."""
    bench = Bench(balances={"XBt": 1_000_000})
    with pytest.raises(Refusal) as refused:
        bench.place(orderQty=1_000_000, price="61000")
    assert refused.value.message.startswith("Account has insufficient Available Balance, ")
    assert refused.value.message.endswith(" XBt required")
    assert bench.place(orderQty=10_000, price="61000").status == "New"


def test_amend_counts_total_and_open_apart(bench):
    """`orderQty` is the new total including fills, `leavesQty` the new open quantity."""
    order = bench.place(orderQty=500, price="61250.9", clOrdID="a")
    bench.exchange.house_take("XBTUSD", SELL, 200, None, bench.now)
    bench.flush()
    bench.amend(orderID=order.order_id, orderQty=400)
    assert (order.qty, order.leaves, order.cum) == (400, 200, 200)
    [(_, row)] = bench.rows("order")
    assert row["text"] == "Amended orderQty\nSubmitted via API."
    bench.amend(origClOrdID="a", leavesQty=300, price="61250.8")
    assert (order.qty, order.leaves, str(order.price)) == (500, 300, "61250.8")
    assert order.text == "Amended leavesQty price\nSubmitted via API."


def test_an_amended_price_may_trade(bench):
    """An amend across the spread trades; a post-only one is canceled instead."""
    order = bench.place(orderQty=500, price="61000")
    bench.amend(orderID=order.order_id, price="61251")
    assert (order.status, bench.held()) == ("Filled", 500)
    order = bench.place(orderQty=500, price="61000", execInst=POST_ONLY)
    bench.amend(orderID=order.order_id, price="61251.5")
    assert (order.status, bench.held()) == ("Canceled", 500)


def test_a_filled_order_can_be_revived_for_a_minute(bench):
    """`leavesQty` revives a filled order within 60 seconds, and no later."""
    order = bench.place(orderQty=300, price="61251")
    bench.now += 59_000
    bench.amend(orderID=order.order_id, leavesQty=100, price="61000")
    assert (order.status, order.leaves, order.qty) == ("PartiallyFilled", 100, 400)
    other = bench.place(orderQty=300, price="61251.5")
    bench.now += 61_000
    with pytest.raises(Refusal, match=r"^Invalid ordStatus: Filled$"):
        bench.amend(orderID=other.order_id, leavesQty=100)


def test_a_failed_cancel_is_a_stub_row_and_a_cancel_reject(bench):
    """A second cancel answers a row with `error` and leaves a CancelReject without symbol."""
    order = bench.place(orderQty=300, price="61000", clOrdID="a")
    [row] = bench.cancel(order)
    assert (row["ordStatus"], row["leavesQty"], row["text"]) == (
        "Canceled", 0, "Canceled\nCanceled via API.",
    )  # fmt: skip
    bench.flush()
    [row] = bench.cancel(order)
    assert row["error"] == "Unable to cancel order"
    assert set(row) == {
        "account", "error", "orderID", "timestamp", "transactTime", "workingIndicator",
    }  # fmt: skip
    [(_, reject)] = bench.rows("execution")
    assert (reject["execType"], reject["ordStatus"]) == ("CancelReject", "Rejected")
    assert "symbol" not in reject
    assert bench.rows("order") == []
    [unknown] = bench.exchange.cancel(ME, [], ["never"], "", bench.now)
    assert unknown["error"] == "Unable to cancel order: Not found or not owned by user"


def test_nobody_cancels_anothers_order(bench):
    """An order id of another account is as unknown as none at all."""
    order = bench.place(orderQty=300, price="61000")
    [row] = bench.exchange.cancel(OTHER, [order.order_id], [], "", bench.now)
    assert "error" in row
    assert order.open


def test_the_dead_mans_switch_cancels_everything(bench):
    """When cancelAllAfter fires all orders of the account end, in every symbol, and no others."""
    mine = [
        bench.place(orderQty=300, price="61000"),
        bench.place(symbol="ETHUSD", orderQty=3, price="2400.05"),
    ]
    other = bench.place(OTHER, orderQty=300, price="61000")
    assert bench.exchange.arm(ME, 60_000, NOW) == NOW + 60_000
    bench.exchange.due(NOW + 59_999)
    assert all(order.open for order in mine)
    bench.exchange.due(NOW + 60_000)
    assert not any(order.open for order in mine)
    assert other.open
    assert bench.exchange.arm(ME, 0, NOW) == 0


def test_funding_moves_money_and_no_contracts(bench):
    """Funding is an execution of its own type: the wallet changes and the position does not."""
    bench.place(orderQty=300, ordType="Market")
    bench.flush()
    market = bench.exchange.markets["XBTUSD"]
    before = bench.exchange.accounts[ME].wallet_balance("XBt")
    bench.exchange.due(market.funding_ms)
    [(_, row)] = bench.rows("execution")
    assert (row["execType"], row["execComm"]) == ("Funding", 48)
    assert bench.exchange.accounts[ME].wallet_balance("XBt") == before - 48
    assert bench.held() == 300


def test_a_position_without_margin_is_liquidated():
    """When the mark passes the maintenance margin the venue closes the position by itself."""
    bench = Bench(balances={"XBt": 1_000_000})
    bench.place(orderQty=1_000, ordType="Market")
    resting = bench.place(orderQty=100, price="60000")
    bench.exchange.pulse(bench.now, positions=True)
    assert bench.held() == 1_000
    bench.exchange.house_take("XBTUSD", SELL, 5_000, None, bench.now)
    for side, ticks in ((BUY, 350_000), (SELL, 350_010)):
        bench.exchange.house_rest("XBTUSD", side, ticks, 50_000, bench.now)
    bench.exchange.pulse(bench.now, positions=True)
    assert (bench.held(), resting.open) == (0, False)
    [forced] = [o for o in bench.exchange.orders.values() if o.text == "Liquidation"]
    assert (forced.cl_ord_id, forced.ord_type, forced.status) == ("", "Limit", "Filled")


def test_two_traders_meet(bench):
    """A trade between two accounts is one match id, opposite costs, maker and taker."""
    bench.place(orderQty=300, price="61250.9")
    bench.place(OTHER, orderQty=-300, price="61250.9")
    [mine] = [r for r in bench.exchange.executions[ME] if r["execType"] == "Trade"]
    [theirs] = [r for r in bench.exchange.executions[OTHER] if r["execType"] == "Trade"]
    assert mine["trdMatchID"] == theirs["trdMatchID"]
    assert mine["execCost"] == -theirs["execCost"]
    assert mine["lastLiquidityInd"] == "AddedLiquidity"
    assert theirs["lastLiquidityInd"] == "RemovedLiquidity"


actions = st.lists(
    st.tuples(
        st.sampled_from(["place", "market", "amend", "cancel", "house", "reduce", "leaves"]),
        st.sampled_from([ME, OTHER]),
        st.integers(-6, 6).filter(bool),
        st.integers(612_490, 612_525),
    ),
    max_size=40,
)


def act(bench, kind, account, lots, ticks):
    """Do one thing of a random sequence; a refusal is an answer like others."""
    exchange = bench.exchange
    price = exchange.catalogue["XBTUSD"].price(ticks)
    mine = exchange.open_orders(account)
    if kind == "place":
        bench.place(account, orderQty=lots * 100, price=price)
    elif kind == "market":
        bench.place(account, orderQty=lots * 100, ordType="Market")
    elif kind == "reduce":
        bench.place(account, orderQty=lots * 100, price=price, execInst="ReduceOnly")
    elif kind == "house":
        exchange.house_rest("XBTUSD", 1 if lots > 0 else -1, ticks, abs(lots) * 100, bench.now)
    elif kind == "amend" and mine:
        bench.amend(account, orderID=mine[0].order_id, orderQty=abs(lots) * 100, price=price)
    elif kind == "leaves" and mine:
        bench.amend(account, orderID=mine[-1].order_id, leavesQty=abs(lots) * 100)
    elif kind == "cancel" and mine:
        bench.cancel(mine[0])


@settings(max_examples=150, deadline=None)
@given(actions)
def test_contracts_are_conserved_and_rows_agree(steps):
    """
    After anything at all: contracts sum to zero, tables replay to the truth, orders count their
    executions, and reduce-only orders never exceed the position.
    """
    bench = Bench()
    table, executed = {}, {}
    for step in steps:
        bench.now += 7
        try:
            act(bench, *step)
        except Refusal:
            continue
        finally:
            for change in bench.flush():
                if change.table == "order":
                    table.setdefault(change.row["orderID"], {}).update(change.row)
                elif change.table == "execution" and change.row["execType"] == "Trade":
                    order_id = change.row["orderID"]
                    executed[order_id] = executed.get(order_id, 0) + change.row["lastQty"]
        assert sum_of_contracts(bench.exchange, "XBTUSD") == 0
        for account in (ME, OTHER):
            for side in (BUY, SELL):
                reducing = sum(
                    o.leaves
                    for o in bench.exchange.open_orders(account)
                    if o.reduce_only and o.side == side
                )
                assert reducing <= max(0, -bench.held(account) * side)
    for order in bench.exchange.orders.values():
        row = {k: v for k, v in table[order.order_id].items() if k != "timestamp"}
        assert row == {k: v for k, v in order.row().items() if k != "timestamp"}
        assert order.cum == executed.get(order.order_id, 0)
        resting = bench.exchange.markets["XBTUSD"].book.get(order.order_id)
        assert (resting.leaves if resting else 0) == order.leaves
