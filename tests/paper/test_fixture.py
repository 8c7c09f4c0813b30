"""
What other people's tests lean on: the pytest plugin, the exchange's hand, and a service on it.

The plugin is tried as a stranger has it: pytest runs a folder that holds nothing of ours.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import pytest

from reconciler.paper import Key, PaperExchange
from tests.paper.conftest import Client, Stream

pytest_plugins = ["pytester"]

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a test module, and conftest.py if there is one, by themselves."""

    def run_module(module: str, conftest: str = "") -> pytest.RunResult:
        pytester.makepyfile(module)
        if conftest:
            pytester.makeconftest(conftest)
        words = ("-p", "no:cacheprovider", "-p", "no:xdist", "--strict-markers", "-W", "error")
        ours = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # what it names is imported here
        return pytester.runpytest_inprocess(*words, *ours)

    return run_module


# -- the hand -------------------------------------------------------------------------------------


def test_a_test_moves_the_market_and_resting_orders_fill(venue: PaperExchange, client: Client):
    """The book goes where it is told, and stays there; what it crosses is filled at its price."""
    client.order(side="Buy", orderQty=300, price=61200, clOrdID="low")
    told = venue.move("XBTUSD", "61100.5")
    assert (told["bidPrice"], told["askPrice"]) == (Decimal("61100.5"), Decimal("61100.6"))
    assert [(f["clOrdID"], f["lastQty"], f["lastPx"]) for f in venue.fills("XBTUSD")] == [
        ("low", 300, 61200)
    ]
    assert venue.position("XBTUSD") == 300
    assert venue.open_orders() == []


def test_a_test_fills_an_order_whatever_stands_before_it(venue: PaperExchange, client: Client):
    """Named by row, by the venue's id or by the client's; in parts or whole; and told by socket."""
    stream = Stream(venue.url, "execution", client=client)
    row = client.order(side="Sell", orderQty=500, price=61300, clOrdID="mine").json()
    assert venue.fill("mine", 100)["cumQty"] == 100
    assert venue.fill(row["orderID"], 100)["cumQty"] == 200
    assert venue.fill(row)["ordStatus"] == "Filled"
    rows = [r for r in stream.rows("execution", 4) if r["execType"] == "Trade"]
    assert [r["lastQty"] for r in rows] == [100, 100, 300]
    assert venue.position("XBTUSD") == -500
    stream.close()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda v: v.fill("nobody"), "nobody is no order that rests in a book"),
        (lambda v: v.fill("mine", 50), "Invalid contracts"),
        (lambda v: v.fill("mine", 400), "Invalid contracts"),
        (lambda v: v.fill("mine", -100), "Invalid contracts"),
        (lambda v: v.fill(""), "'order' is a required arg."),
        (lambda v: v.move("XBTUSD", "61100.55"), "Invalid price tickSize"),
        (lambda v: v.move("DOGE", 1), "symbol"),
        (lambda v: v.move("XBTUSD", "dear"), "Invalid price"),
        (lambda v: v.fault("no-such"), "unknown fault 'no-such'"),
        (lambda v: v.fault("lost-answer", 2), "between 0 and 1"),
        (lambda v: v.position("XBTUSD", account=7), "Invalid account"),
        (lambda v: v.do("fly"), "Not Found"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(venue, client, act, words):
    """A typing error in a test is a ValueError that says so, and nothing has changed."""
    client.order(side="Buy", orderQty=300, price=61200, clOrdID="mine")
    before = venue.truth()
    with pytest.raises(ValueError, match=words):
        act(venue)
    assert venue.truth() == before


def test_a_test_switches_faults_and_sees_them_strike(venue: PaperExchange, client: Client):
    """A fault that was told to strike once strikes once; the order behind it is in the truth."""
    assert venue.fault("overload-503", count=1)["count"] == 1
    assert client.order(orderQty=100, price=61000).status_code == 503
    assert client.order(orderQty=100, price=61000).status_code == 200
    assert {f["name"]: f["fired"] for f in venue.faults()}["overload-503"] == 1
    assert [r["status"] for r in venue.requests()] == [503, 200]


def test_a_fault_can_befall_one_symbol_alone(venue: PaperExchange, client: Client):
    """The other symbol's orders go through."""
    venue.fault("overload-503", symbol="ETHUSD")
    assert client.order(orderQty=100, price=61000).status_code == 200
    assert client.order(symbol="ETHUSD", orderQty=1, price=2400).status_code == 503


def test_somebody_else_trades_on_the_account(venue: PaperExchange):
    """By hand, on the account that is named; the others hold what they held."""
    assert venue.trade("XBTUSD", -200, account=1002)["ordStatus"] == "Filled"
    assert venue.position("XBTUSD", account=1002) == -200
    assert venue.position("XBTUSD") == 0
    assert len(venue.orders(account=1002)) == 1


def test_an_exchange_that_ended_says_so():
    """Whoever asks after the end is told, and does not wait."""
    with PaperExchange(symbols=["XBTUSD"], walk=False) as venue:
        pass
    with pytest.raises(RuntimeError, match="does not run"):
        venue.position("XBTUSD")


def test_keys_are_told_and_an_exchange_without_one_is_refused():
    """The first key is at hand by itself."""
    keys = [Key(key="mine", secret="s3", account=7), Key(key="other", secret="s4", account=8)]
    with PaperExchange(keys=keys, walk=False) as venue:
        assert (venue.key, venue.secret, venue.truth()["account"]) == ("mine", "s3", 7)
        assert venue.ws_url == f"ws://127.0.0.1:{venue.port}/realtime"
        assert Client(venue.url, "mine", "s3").order(orderQty=100, price=61000).status_code == 200
    with pytest.raises(ValueError, match="at least one key"):
        PaperExchange(keys=[])


# -- the plugin -----------------------------------------------------------------------------------


def test_each_test_has_an_exchange_of_its_own(run: Run):
    """What one test traded, the next one doesn't hold; the market is still unless moved."""
    result = run("""
        seen = []

        def test_one(paper_exchange):
            paper_exchange.trade("XBTUSD", 300)
            assert paper_exchange.position("XBTUSD") == 300
            seen.append(paper_exchange.move("XBTUSD", 60000)["lastPrice"])

        def test_two(paper_exchange):
            assert paper_exchange.position("XBTUSD") == 0
            assert paper_exchange.fills() == []
            assert paper_exchange.url.startswith("http://127.0.0.1:")
    """)
    result.assert_outcomes(passed=2)


def test_a_marker_gives_options_and_the_nearer_one_wins(run: Run):
    """On a test, a class or a module; the conftest's options are where they begin."""
    result = run(
        """
        import pytest

        pytestmark = pytest.mark.paper_exchange(symbols=["ETHUSD"], faults={"lost-answer": 1.0})

        def on(venue):
            return {f["name"] for f in venue.faults() if f["probability"]}

        def test_of_the_module(paper_exchange):
            assert paper_exchange.symbols == ("ETHUSD",)
            assert on(paper_exchange) == {"lost-answer"}
            assert paper_exchange.key == "of-conftest"

        @pytest.mark.paper_exchange(symbols=["XBTUSD"])
        def test_of_its_own(paper_exchange):
            assert paper_exchange.symbols == ("XBTUSD",)
            assert on(paper_exchange) == {"lost-answer"}
        """,
        conftest="""
        import pytest

        @pytest.fixture(scope="session")
        def paper_exchange_options():
            from reconciler.paper import Key
            return {"keys": [Key(key="of-conftest", secret="s", account=1)]}
        """,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("sedd=3", "paper_exchange has no option sedd; it has port, seed, symbols,"),
        ("'XBTUSD'", "paper_exchange takes named options, as seed=3; not 'XBTUSD'"),
        ("symbols=['DOGE']", "symbols must be of "),
        ("faults={'rain': 1}", "unknown fault 'rain'"),
    ],
)
def test_a_marker_that_makes_no_sense_is_an_error(run: Run, options: str, words: str):
    """Not an exchange that is silently another one than the test asked for."""
    result = run(f"""
        import pytest

        @pytest.mark.paper_exchange({options})
        def test_it(paper_exchange):
            pass
    """)
    result.assert_outcomes(errors=1)
    assert words in result.stdout.str()


def test_the_exchange_of_a_session_stays(run: Run):
    """It costs its start once; the price is that tests find what others left."""
    result = run("""
        def test_one(paper_exchange_session):
            paper_exchange_session.trade("XBTUSD", 300)

        def test_two(paper_exchange_session, paper_exchange):
            assert paper_exchange_session.position("XBTUSD") == 300
            assert paper_exchange.position("XBTUSD") == 0
            assert paper_exchange.port != paper_exchange_session.port
    """)
    result.assert_outcomes(passed=2)


def test_two_runs_with_a_seed_see_the_same_market(run: Run):
    """A walking market is the same one for the same seed, and another for another."""
    result = run("""
        import json
        import urllib.request
        import pytest

        books = {}

        @pytest.mark.parametrize("again", [1, 2])
        @pytest.mark.paper_exchange(seed=3)
        def test_three(paper_exchange, again):
            assert books.setdefault(3, book(paper_exchange)) == book(paper_exchange)

        @pytest.mark.paper_exchange(seed=4)
        def test_four(paper_exchange):
            assert book(paper_exchange) != books[3]

        def book(venue):
            url = f"{venue.url}/api/v1/orderBook/L2?symbol=XBTUSD&depth=0"
            with urllib.request.urlopen(url) as answer:
                rows = json.load(answer)
            return [(r["side"], r["price"], r["size"]) for r in rows]
    """)
    result.assert_outcomes(passed=3)


def test_a_strategy_is_tested_on_a_service_of_its_own(run: Run):
    """
    Targets are held by a real service on a real exchange, and what is refused is told as ever.
    (That it survives its death is told in docs/paper-exchange.md, and tried by test_page.py.)
    """
    result = run("""
        import pytest
        from reconciler.errors import NotALot, NotFound, Unreachable, WaitTimeout

        @pytest.mark.paper_exchange(symbols=["XBTUSD"], seed=3)
        def test_it(reconciler_sim):
            assert reconciler_sim.set_target("XBTUSD", 500, reason="trend").version == 1
            reconciler_sim.wait_on_target("XBTUSD")
            assert reconciler_sim.exchange.position("XBTUSD") == 500
            assert reconciler_sim.position("XBTUSD") == 500
            assert reconciler_sim.door.rows("targets")[0]["reason"] == "trend"
            with pytest.raises(NotALot):
                reconciler_sim.set_target("XBTUSD", 550)
            with pytest.raises(NotFound):
                reconciler_sim.wait_on_target("ETHUSD")

            reconciler_sim.exchange.do("market", symbol="XBTUSD", state="Closed")
            reconciler_sim.set_target("XBTUSD", 700)
            with pytest.raises(WaitTimeout, match="XBTUSD is still idle: target 700"):
                reconciler_sim.wait_on_target("XBTUSD", timeout_s=0.3)
            assert reconciler_sim.stop() == 0
            with pytest.raises(Unreachable):
                reconciler_sim.set_target("XBTUSD", 100)
    """)
    result.assert_outcomes(passed=1)


def test_the_plugin_imports_nothing_before_a_test_asks():
    """Every run of pytest loads it wherever the package is installed: that has to be free."""
    looked = (
        "import pytest, sys; before = set(sys.modules); import reconciler.testing;"
        "print(*sorted(set(sys.modules) - before))"
    )
    told = subprocess.run(
        [sys.executable, "-c", looked], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == ["reconciler", "reconciler.testing"]


def test_the_exchange_needs_no_pytest():
    """The plugin is an offer: nothing else of the package imports pytest."""
    looked = "import sys, reconciler.paper, reconciler.embedded; print('pytest' in sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", looked], capture_output=True, text=True, check=True
    )
    assert told.stdout == "False\n"
