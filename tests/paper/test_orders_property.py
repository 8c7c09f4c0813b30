"""Whatever members do with orders of all kinds, the venue's tables stay true to one another."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.paper.errors import Refusal
from reconciler.paper.floor import sum_of_contracts
from reconciler.paper.market import BUY, SELL
from tests.paper.conftest import ME, NOW, OTHER, Bench

TYPES = ("Limit", "Market", "Stop", "StopLimit", "MarketIfTouched", "LimitIfTouched", "Trailing")
INSTRUCTIONS = ("", "", "ReduceOnly", "Close", "ParticipateDoNotInitiate", "LastPrice")
TIFS = ("", "", "Day", "ImmediateOrCancel", "FillOrKill")
LINKS = ("", "", "", "OneCancelsTheOther", "OneTriggersTheOther", "secondary")

placing = st.fixed_dictionaries(
    {
        "do": st.just("place"),
        "account": st.sampled_from([ME, OTHER]),
        "kind": st.sampled_from(TYPES),
        "lots": st.integers(-8, 8).filter(bool),
        "ticks": st.integers(612_495, 612_520),
        "stop": st.integers(612_490, 612_525),
        "display": st.sampled_from([None, None, 0, 100, 200]),
        "inst": st.sampled_from(INSTRUCTIONS),
        "tif": st.sampled_from(TIFS),
        "link": st.sampled_from(LINKS),
    }
)
other = st.fixed_dictionaries(
    {
        "do": st.sampled_from(["amend", "leaves", "reprice", "cancel", "take", "rest", "mark"]),
        "account": st.sampled_from([ME, OTHER]),
        "lots": st.integers(-8, 8).filter(bool),
        "ticks": st.integers(612_490, 612_525),
    }
)
steps_of = st.lists(placing | other, max_size=40)
funds = st.sampled_from([10_000_000_000, 2_000_000, 60_000, 20_000])  # minor units: rich to poor


def place(bench, step):
    price = bench.exchange.catalogue["XBTUSD"].price
    kind = step["kind"]
    fields = {"orderQty": step["lots"] * 100, "ordType": kind, "timeInForce": step["tif"]}
    if kind == "Trailing":
        fields |= {"ordType": "Stop", "pegPriceType": "TrailingStopPeg"}
        fields["pegOffsetValue"] = price(step["lots"])
    elif kind not in ("Limit", "Market"):
        fields["stopPx"] = price(step["stop"])
    if kind in ("Limit", "StopLimit", "LimitIfTouched"):
        fields["price"] = price(step["ticks"])
        fields["displayQty"] = step["display"]
    fields["execInst"] = step["inst"]
    if step["link"]:
        fields["clOrdLinkID"] = "link"
        if step["link"] != "secondary":
            fields["contingencyType"] = step["link"]
    bench.place(step["account"], **fields)


def act(bench, step):
    """One step; a refusal is an answer like others."""
    exchange, account = bench.exchange, step["account"]
    bench.now += 400
    exchange.due(bench.now)
    mine = exchange.open_orders(account)
    side, size = (BUY if step["lots"] > 0 else SELL), abs(step["lots"]) * 100
    price = exchange.catalogue["XBTUSD"].price(step["ticks"])
    if step["do"] == "place":
        place(bench, step)
    elif step["do"] == "take":
        exchange.house_take("XBTUSD", side, size * 3, None, bench.now)
    elif step["do"] == "rest":
        exchange.house_rest("XBTUSD", side, step["ticks"], size * 2, bench.now)
    elif step["do"] == "mark":
        exchange.pulse(bench.now, positions=True)
    elif not mine:
        return
    elif step["do"] == "amend":
        bench.amend(account, orderID=mine[0].order_id, orderQty=size)
    elif step["do"] == "leaves":
        bench.amend(account, orderID=mine[-1].order_id, leavesQty=size)
    elif step["do"] == "reprice":
        bench.amend(account, orderID=mine[len(mine) // 2].order_id, price=price)
    else:
        bench.cancel(mine[step["lots"] % len(mine)])


def run(steps, fund):
    """The bench after the steps, and every row that was sent, in order."""
    bench, told = Bench(balances={"XBt": fund}), []
    for step in steps:
        try:
            act(bench, step)
        except Refusal as refusal:
            told.append(refusal.message)
        told += bench.flush()
        check(bench)
    return bench, told


def check(bench):
    """What holds between any two requests."""
    exchange = bench.exchange
    book = exchange.markets["XBTUSD"].book
    assert sum_of_contracts(exchange, "XBTUSD") == 0
    bid, ask = book.touch(BUY), book.touch(SELL)
    assert bid is None or ask is None or bid < ask
    for account in (ME, OTHER):
        open_orders = exchange.open_orders(account, "XBTUSD")
        for order in open_orders:
            resting = book.get(order.order_id)
            assert order.working == (resting is not None) == (not order.dormant)
            if resting is not None:
                assert (resting.leaves, resting.ticks) == (order.leaves, order.ticks)
                assert 0 <= resting.shown <= resting.leaves
        for side in (BUY, SELL):
            reducing = [o for o in open_orders if o.reduce_only and o.working and o.side == side]
            assert sum(o.leaves for o in reducing) <= max(0, -bench.held(account) * side)
        check_sums(exchange.position(account, "XBTUSD"), [o for o in open_orders if o.working])
        primaries = {o.cl_ord_link_id for o in open_orders
                     if o.contingency == "OneTriggersTheOther"}  # fmt: skip
        assert all(o.cl_ord_link_id in primaries for o in open_orders if o.linked)


def check_sums(position, orders):
    """Quantity, cost and premium, which are kept up order by order, against counting them all."""
    inst, mark = position.instrument, position.mark
    found = []
    for side in (BUY, SELL):
        mine = [o for o in orders if o.side == side]
        dear = [o for o in mine if side * (o.price - mark) > 0]
        found += [
            sum(o.leaves for o in mine), sum(inst.cost(o.leaves, o.price) for o in mine),
            sum(abs(inst.value(o.leaves, o.price) - inst.value(o.leaves, mark)) for o in dear),
        ]  # fmt: skip
    assert found == [
        position.open_buy_qty, position.open_buy_cost, position.open_buy_premium,
        position.open_sell_qty, position.open_sell_cost, position.open_sell_premium,
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(steps_of, funds)
def test_orders_of_all_kinds_keep_book_tables_and_account_in_step(steps, fund):
    """
    After anything at all: an open order is in the book or waits, never both; rows replay to the
    truth; an order counts its executions; reducing orders never exceed the position; the book is
    not crossed; contracts sum to zero.
    """
    bench, told = run(steps, fund)
    table, executed = {}, {}
    for change in told:
        if isinstance(change, str):
            continue
        if change.table == "order":
            table.setdefault(change.row["orderID"], {}).update(change.row)
        elif change.table == "execution" and change.row["execType"] == "Trade":
            order_id = change.row["orderID"]
            executed[order_id] = executed.get(order_id, 0) + change.row["lastQty"]
    for order in bench.exchange.orders.values():
        shown = {k: v for k, v in table[order.order_id].items() if v is not None}
        assert {**shown, "timestamp": ""} == {**order.row(), "timestamp": ""}
        assert order.cum == executed.get(order.order_id, 0)
        assert order.open == (order.leaves > 0 or (order.whole and order.dormant))


@settings(max_examples=25, deadline=None)
@given(steps_of, funds)
def test_the_same_requests_make_the_same_market(steps, fund):
    """Every row, id and refusal comes again when the same is asked of the same seed."""
    assert run(steps, fund)[1] == run(steps, fund)[1]


def test_open_orders_are_counted_anew_when_the_contract_changes():
    """With another lot or tick the same orders cost something else, before anybody touches them."""
    bench = Bench()
    orders = [bench.place(orderQty=300 * n, price=f"61000.{n}") for n in (1, 5)]
    orders.append(bench.place(side="Sell", orderQty=700, price="61300.5"))
    bench.flush()
    position = bench.exchange.position(ME, "XBTUSD")
    before = position.open_buy_cost
    bench.exchange.respecify("XBTUSD", NOW, lot=1)
    bench.flush()
    check_sums(position, orders)
    assert position.open_buy_cost != before
    bench.exchange.respecify("XBTUSD", NOW, tick=Decimal("0.5"))
    position.mark = Decimal(61_400)  # the sale is beyond it now
    bench.flush()
    check_sums(position, [o for o in orders if o.working])
    assert (orders[0].open, position.open_sell_premium > 0) == (False, True)
