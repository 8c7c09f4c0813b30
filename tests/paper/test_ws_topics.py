"""Every topic: its keys, its types, its filter, and who hears what (protocol sheet, 9.2 to 9.4)."""

import random
import re

import pytest

from reconciler.paper.errors import AUTH_TABLES_NOTE
from reconciler.paper.protocol import Change
from reconciler.paper.tables import PLATFORM_TABLES, PRIVATE_TABLES, TABLES
from tests.paper.ear import MINE, THEIRS, Stage

KEYS = {  # section 9.4, as of 2025
    "order": ["orderID"], "execution": [], "position": ["account", "symbol", "strategy"],
    "margin": ["account", "currency"], "wallet": ["account", "currency"],
    "instrument": ["symbol"], "orderBookL2": ["symbol", "id", "side"],
    "orderBookL2_25": ["symbol", "id", "side"], "orderBook10": ["symbol"], "quote": [],
    "trade": [], "funding": ["timestamp", "symbol"], "settlement": ["timestamp", "symbol"],
    "liquidation": ["orderID"], "tradeBin1m": [], "tradeBin5m": [], "tradeBin1h": [],
    "tradeBin1d": [],
}  # fmt: skip
PUBLIC = [  # section 9.2
    "funding", "instrument", "insurance", "liquidation", "orderBookL2_25", "orderBookL2",
    "orderBook10", "quote", "quoteBin1m", "quoteBin5m", "quoteBin1h", "quoteBin1d", "settlement",
    "trade", "tradeBin1m", "tradeBin5m", "tradeBin1h", "tradeBin1d",
    "announcement", "chat", "connected", "publicNotifications",
]  # fmt: skip
PRIVATE = [
    "affiliate", "execution", "order", "margin", "position", "transact", "wallet",
    "privateNotifications",
]  # fmt: skip
ORDER_TYPES = {  # the sheet's example
    "orderID": "guid", "clOrdID": "string", "symbol": "symbol", "orderQty": "long",
    "price": "float", "workingIndicator": "boolean", "timestamp": "timestamp",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
GUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


@pytest.mark.parametrize("table", [*PUBLIC, *PRIVATE])
def test_every_topic_is_acknowledged_and_has_an_image(table):
    """One ack with the exact echo, then one partial with keys, types and filter, even if empty."""
    stage = Stage()
    ack, partial = stage.ear(key=MINE).ask("subscribe", table)
    assert ack == {
        "success": True, "subscribe": table, "request": {"op": "subscribe", "args": table}
    }  # fmt: skip
    assert list(partial) == ["table", "action", "keys", "types", "filter", "data"]
    assert (partial["table"], partial["action"]) == (table, "partial")
    assert partial["filter"] == ({"account": 1001} if table in PRIVATE else {})
    if table in KEYS:
        assert partial["keys"] == KEYS[table]
    assert set(partial["keys"]) <= set(partial["types"])


def test_the_list_of_topics_is_the_sheets():
    """Public and private topics are those of section 9.2; `account` went in 2023."""
    assert set(TABLES) == {*PUBLIC, *PRIVATE}
    assert set(PRIVATE) == PRIVATE_TABLES
    named = AUTH_TABLES_NOTE.partition(": ")[2].split(",")
    assert set(named) - {"account"} == PRIVATE_TABLES
    (refused,) = Stage().ear(key=MINE).ask("subscribe", "account")
    assert refused["error"] == "Unknown table: account"


def fits(kind, value):
    """Whether a value of a row is what its table's types say."""
    if kind == "long":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return not isinstance(value, bool | str | list | dict | None)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("timestamp", "timespan"):
        return isinstance(value, str) and TIME.fullmatch(value) is not None
    if kind == "guid":
        return isinstance(value, str) and GUID.fullmatch(value) is not None
    return kind == "" or isinstance(value, str)


def busy_afternoon(stage):
    """Something of everything: orders of all kinds, fills, funding, liquidation, bins, news."""
    theirs = stage.place(1002, orderQty=500, price="61250.4")
    stage.place(orderQty=-300, ordType="Market", clOrdID="a", text="by hand")
    stage.place(orderQty=100, price="50000.5", clOrdID="b", execInst="ParticipateDoNotInitiate")
    stage.place(orderQty=100, price="70000", execInst="ParticipateDoNotInitiate")
    stage.place(orderQty=100, stopPx="70000", ordType="Stop", execInst="LastPrice")
    stage.place(orderQty=400, price="50001", displayQty=100, clOrdLinkID="l")
    stage.amend(origClOrdID="b", price="50002", clOrdID="c")
    stage.cancel(theirs)
    stage.exchange.cancel(1001, ["5d1f0c7e-2b9a-4c61-9a54-0f2d6a7c1e01"], [], "", stage.now)
    stage.place(symbol="ETHUSD", orderQty=3, ordType="Market")
    stage.exchange.fund(stage.exchange.markets["XBTUSD"], stage.now)
    stage.exchange.liquidate(1001, "XBTUSD", stage.now)
    row = stage.exchange.records.announce("Upgrade", "at noon", stage.now)
    stage.world.hub.publish([Change("announcement", "insert", None, None, row)], stage.now)
    stage.pass_ms(5_100)
    stage.pass_ms(60_000)


def test_every_field_of_every_row_has_its_type():
    """No field is sent that the partial did not name, none of another kind, and none is null."""
    stage = Stage()
    ear = stage.ear(*PUBLIC, *PRIVATE, key=MINE)
    frames = [f for f in ear.frames() if "table" in f]
    busy_afternoon(stage)
    frames += ear.tables()
    late = stage.ear(*PUBLIC, *PRIVATE, key=MINE)
    frames += [f for f in late.frames() if "table" in f]
    told = set()
    for frame in frames:
        types = TABLES[frame["table"]].types
        told.add(frame["table"])
        for row in frame["data"]:
            assert set(row) <= set(types), (frame["table"], set(row) - set(types))
            for name, value in row.items():
                if value is None:  # "now unset", which only an update can say (section 10.1)
                    assert frame["action"] == "update", (frame, name)
                else:
                    assert fits(types[name], value), (frame["table"], name, value)
            if frame["action"] != "partial":
                assert set(TABLES[frame["table"]].keys) <= set(row), frame
    assert told == {*PUBLIC, *PRIVATE}


def test_types_are_those_of_the_sheet_and_of_the_real_partials():
    """Types are named as the venue named them: also the untyped ones of execution."""
    (_, partial) = Stage().ear(key=MINE).ask("subscribe", ["order"])
    assert ORDER_TYPES.items() <= partial["types"].items()
    (_, partial) = Stage().ear(key=MINE).ask("subscribe", "execution")
    assert partial["types"]["clOrdID"] == partial["types"]["text"] == ""
    assert partial["types"]["execCost"] == partial["types"]["realisedPnl"] == "long"
    (_, partial) = Stage().ear().ask("subscribe", "funding")
    assert partial["types"] == {
        "timestamp": "timestamp", "symbol": "symbol", "fundingInterval": "timespan",
        "fundingRate": "float", "fundingRateDaily": "float",
    }  # fmt: skip


def test_two_symbols_of_one_table_are_two_images_with_their_filters():
    """Each subscription has its own partial, and each row comes once."""
    stage = Stage()
    ear = stage.ear()
    topics = ["trade:XBTUSD", "trade:ETHUSD", "trade"]
    answers = ear.ask("subscribe", topics)
    assert [f["subscribe"] for f in answers[:3]] == topics  # acks come first (section 11)
    assert [f["filter"] for f in answers[3:]] == [{"symbol": "XBTUSD"}, {"symbol": "ETHUSD"}, {}]
    stage.place(orderQty=100, ordType="Market")
    assert [r["symbol"] for f in ear.tables("trade") for r in f["data"]] == ["XBTUSD"]
    ear.ask("unsubscribe", ["trade", "trade:XBTUSD"])
    stage.place(orderQty=100, ordType="Market")
    stage.place(symbol="ETHUSD", orderQty=1, ordType="Market")
    assert [r["symbol"] for f in ear.tables() for r in f["data"]] == ["ETHUSD"]


def test_acks_come_first_then_small_images_then_books():
    """As recorded: all acknowledgements, then partials of small tables, then the books' (11)."""
    frames = Stage().ear().ask("subscribe", ["orderBookL2", "quote", "orderBookL2_25", "trade"])
    assert [f.get("subscribe", f.get("table")) for f in frames] == [
        "orderBookL2", "quote", "orderBookL2_25", "trade",  # acks, as asked
        "quote", "trade", "orderBookL2", "orderBookL2_25",
    ]  # fmt: skip


@pytest.mark.parametrize("table", ["order", "execution", "position"])
def test_a_symbol_filters_a_private_table(table):
    """`order:ETHUSD` has account and symbol in its filter, and hears ETHUSD alone."""
    stage = Stage()
    ear = stage.ear(key=MINE)
    stage.place(orderQty=100, price="50000")
    (_, partial) = ear.ask("subscribe", f"{table}:ethusd")
    assert partial["filter"] == {"account": 1001, "symbol": "ETHUSD"}
    assert partial["data"] == []
    stage.place(orderQty=100, price="50000")
    stage.place(symbol="ETHUSD", orderQty=1, price="2000")
    assert {r["symbol"] for f in ear.tables(table) for r in f["data"]} == {"ETHUSD"}


@pytest.mark.parametrize("table", ["margin", "wallet"])
def test_a_symbol_after_margin_means_nothing(table):
    """`margin:XBTUSD` is `margin`: some clients put a symbol behind every table."""
    (_, partial) = Stage().ear(key=MINE).ask("subscribe", f"{table}:XBTUSD")
    assert partial["filter"] == {"account": 1001}
    assert {row["currency"] for row in partial["data"]} >= {"XBt", "USDt"}


@pytest.mark.parametrize(
    ("group", "symbols"),
    [
        ("CONTRACTS", {"XBTUSD", "ETHUSD"}),
        ("DERIVATIVES", {"XBTUSD", "ETHUSD"}),
        ("INDICES", {".BXBT", ".BETH"}),
        ("SPOT", {"XBT_USDT"}),
    ],
)
def test_instruments_come_in_groups(group, symbols):
    """`instrument` takes four groups; updates go to the group that an instrument is of."""
    stage = Stage(symbols=("XBTUSD", "ETHUSD", "XBT_USDT"))
    ear = stage.ear()
    (_, partial) = ear.ask("subscribe", f"instrument:{group}")
    symbols = symbols | ({".BXBTT"} if group == "INDICES" else set())
    found = {row["symbol"] for row in partial["data"]}
    assert symbols - {".BXBTT"} <= found <= symbols
    stage.pass_ms(5_100)
    stage.place(orderQty=100, ordType="Market")
    stage.pass_ms(600)
    assert {r["symbol"] for f in ear.tables() for r in f["data"]} <= symbols
    (refused,) = ear.ask("subscribe", f"trade:{group}")
    assert refused["error"] == "Unknown or expired symbol."


def test_accounts_hear_themselves_and_clients_of_one_account_hear_the_same():
    """Two clients of an account get the same frames; another account gets none of them."""
    stage = Stage()
    first, second = stage.ear("order", "execution", key=MINE), stage.ear("order", key=MINE)
    other = stage.ear("order", "execution", "position", "margin", key=THEIRS)
    for ear in (first, second, other):
        ear.frames()
    stage.place(orderQty=100, price="50000", clOrdID="mine")
    heard = first.tables()
    assert [f["table"] for f in heard] == ["order", "execution"]
    assert second.tables() == heard[:1]
    assert other.tables() == []


def test_the_platform_address_serves_the_platforms_tables_alone():
    """On /realtimePlatform a trade table is unknown; /realtime serves both, as the older host."""
    stage = Stage()
    there = stage.ear(key=MINE, platform=True)
    for table in sorted(PLATFORM_TABLES):
        assert there.ask("subscribe", table)[0]["success"] is True
    (refused,) = there.ask("subscribe", "trade:XBTUSD")
    assert refused["error"] == "Unknown table: trade"
    assert stage.ear().ask("subscribe", "announcement")[0]["success"] is True


def test_announcements_and_the_number_of_connections_are_told():
    """An announcement is an insert with its id; who comes or goes changes `connected`."""
    stage = Stage()
    ear = stage.ear("announcement", "connected")
    partials = {f["table"]: f for f in ear.frames() if f.get("action") == "partial"}
    assert partials["announcement"]["data"][0]["title"].startswith("Welcome")
    row = stage.exchange.records.announce("Upgrade", "at noon", stage.now)
    stage.world.hub.publish([Change("announcement", "insert", None, None, row)], stage.now)
    (frame,) = ear.tables()
    assert (frame["action"], frame["data"][0]["title"]) == ("insert", "Upgrade")
    stage.ear()
    stage.pass_ms(20)
    assert ear.tables("connected")[-1]["data"] == [{"users": 0, "bots": 2}]


def test_help_names_the_topics():
    """`help` on the socket is what GET /schema/websocketHelp says."""
    (told,) = Stage().ear().say("help")
    assert told["subscriptionSubjects"] == {
        "authenticationRequired": sorted(PRIVATE), "public": sorted(PUBLIC)
    }  # fmt: skip
    assert Stage().ear().ask("help", None) == [told]


def test_each_row_goes_once_to_whoever_asked_for_it_and_to_nobody_else():
    """Through 600 drawn subscriptions and ends of five clients, each row finds its hearers."""
    draw = random.Random("hearers")
    stage = Stage()
    names = [
        "trade", "trade:XBTUSD", "trade:ETHUSD", "instrument", "instrument:XBTUSD",
        "instrument:CONTRACTS", "instrument:INDICES", "order", "order:ETHUSD", "quote:XBTUSD",
    ]  # fmt: skip
    ears = [stage.ear(key=key) for key in (MINE, MINE, THEIRS, THEIRS, None)]
    heard_as = {
        ("trade", "XBTUSD"): {"trade", "trade:XBTUSD"},
        ("trade", "ETHUSD"): {"trade", "trade:ETHUSD"},
        ("instrument", "XBTUSD"): {"instrument", "instrument:XBTUSD", "instrument:CONTRACTS"},
        ("instrument", ".BXBT"): {"instrument", "instrument:INDICES"},
        ("order", "ETHUSD"): {"order", "order:ETHUSD"},
        ("order", "XBTUSD"): {"order"},
        ("quote", "XBTUSD"): {"quote:XBTUSD"},
    }
    asked = {ear: set() for ear in ears}
    for _ in range(600):
        ear, name = draw.choice(ears), draw.choice(names)
        if draw.random() < 0.02:
            stage.world.hub.leave(ear.session)
            place = ears.index(ear)
            ears[place] = stage.ear(key=(MINE, MINE, THEIRS, THEIRS, None)[place])
            asked[ears[place]] = set()
        elif name in asked[ear]:
            ear.ask("unsubscribe", name)
            asked[ear].remove(name)
        elif ear.ask("subscribe", name)[0].get("success"):
            asked[ear].add(name)
        (table, symbol), topics = draw.choice(sorted(heard_as.items()))
        account = draw.choice((1001, 1002)) if table == "order" else None
        row = {"symbol": symbol, "orderID": "x", "execType": "New"}
        stage.world.hub.publish([Change(table, "update", account, symbol, row)], stage.now)
        for one in ears:
            ours = account is None or one.session.account == account
            expected = 1 if ours and asked[one] & topics else 0
            assert len(one.tables(table)) == expected, (table, symbol, asked[one])
