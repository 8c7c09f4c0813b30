"""A tape holds all that was said, and no secret; an exchange that is told it says the same."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import websocket

from reconciler.paper import PaperExchange
from reconciler.paper.auth import Key
from reconciler.paper.market import BUY, SELL
from reconciler.paper.recording import BadRecording, Recording
from reconciler.paper.rerun import Difference, rerun
from reconciler.paper.tape import BadTape
from tests.paper.conftest import Client, Stream
from tests.paper.memory import Memory

STORM = {
    "late-fill": 0.3, "position-lag": 0.3, "slow-queue": 0.06, "pending-cancel": 0.4,
    "repeat-execution": 0.3, "many-rows": 0.2, "drop-and-fill": 0.1, "stream-lag": 0.05,
    "mark-spike": 0.2, "person-trade": 0.2, "late-partial": 0.3, "duplicate-frame": 0.2,
    "auth-lost": 0.2, "rate-limit-429": 0.1, "fill-in-pieces": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    """A tape of a short hostile session over real sockets, with wrong signatures and rubbish."""
    path = tmp_path_factory.mktemp("tape") / "session.tape"
    options = {"seed": 5, "symbols": ("XBTUSD", "ETHUSD"), "faults": STORM, "quotes": 50}
    with PaperExchange(record=path, **options) as venue:
        client = Client(venue.url)
        stream = Stream(venue.url, client=client)
        stream.ask("subscribe", ["order", "execution", "position", "trade:XBTUSD"])
        stream.socket.send("rubbish")
        ether = Stream(venue.url, query="?subscribe=trade:ETHUSD")
        for number in range(12):
            side = "Sell" if number % 2 else "Buy"
            client.order(orderQty=200, side=side, price=61_250, clOrdID=f"n{number}")
            client.call("DELETE", "/api/v1/order", {"clOrdID": f"n{number - 1}"})
        client.call("GET", "/api/v1/position?count=5")
        client.call("GET", "/api/v1/user", expires="1")
        Client(venue.url, secret="guessed").order(orderQty=100, price=1)
        client.paper("price", symbol="XBTUSD", price=60_000)
        ether.rows("trade", 6)  # some time passes
        ether.close()
    return path


def entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_rerun_says_the_same(tape):
    """Every answer and every frame again, byte for byte, ids and times too."""
    assert list(rerun(tape)) == []
    assert sum("frame" in entry for entry in entries(tape)) > 100
    assert sum("answer" in entry for entry in entries(tape)) >= 28


def test_a_rerun_is_the_same_in_another_process(tape):
    """Whatever Python's hash seed: the command says so with its exit code."""
    for seed in ("0", "12345"):
        done = subprocess.run(
            [sys.executable, "-m", "reconciler.paper", "--rerun", str(tape)],
            cwd=Path(__file__).parents[2], env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("the re-run says the same\n")


def test_what_was_said_otherwise_is_shown(tape, tmp_path):
    """A tape on which one order is larger: the re-run differs, from there and not before."""
    changed = tmp_path / "changed.tape"
    lines = tape.read_text().splitlines(keepends=True)
    place = next(i for i, line in enumerate(lines) if '"request"' in line and '\\"n3\\"' in line)
    lines[place] = lines[place].replace('\\"orderQty\\": 200', '\\"orderQty\\": 300')
    # The signature is of the body that was sent: it is made anew.
    changed.write_text("".join(lines))
    first = next(rerun(changed))
    assert first.after["act"] == json.loads(lines[place])["request"]
    assert first.before != first.now
    assert str(first).count("\n") == 2


@pytest.mark.parametrize("broken", ['{"tick":17', "[1]", "\u00ff", ""])
def test_a_line_that_is_broken_is_told_with_its_place_and_the_rule(tape, tmp_path, broken):
    """Somebody edited it: the file, the line, what a line must be, and what still works."""
    bad = tmp_path / "bad.tape"
    head = tape.read_text().splitlines(keepends=True)[0]
    bad.write_text(f"{head}{broken}\n")
    with pytest.raises(BadTape) as told:
        list(rerun(bad))
    rule = "each line of a tape is one JSON object, and this is none ("
    assert str(told.value).startswith(f"{bad}, line 2: {rule}")
    assert str(told.value).endswith("); a tape that ends before it can be told again")


def test_a_difference_is_shown_where_it_is():
    """Of two books that differ in one size: which frame it was, and that size, in a few words."""
    rows = [{"symbol": "XBTUSD", "id": 8_700_000_000 + n, "size": 100} for n in range(400)]
    before = {"to": 3, "frame": json.dumps({"table": "orderBookL2", "data": rows})}
    rows[250]["size"] = 777
    now = {"to": 3, "frame": json.dumps({"table": "orderBookL2", "data": rows})}
    told = str(Difference({"tick": 17}, before, now)).splitlines()
    assert max(map(len, told)) < 400
    for line, size in zip(told[1:], ("100", "777"), strict=True):
        assert "orderBookL2" in line
        assert f'8700000250, \\"size\\": {size}}}, {{' in line
    lost = str(Difference({"tick": 17}, before, None)).splitlines()
    assert max(map(len, lost)) < 400
    assert lost[2] == "  re-run nothing"
    assert "orderBookL2" in lost[1]


def test_no_secret_is_on_a_tape(tape):
    """No signature and no secret; of each signature only whether it was right."""
    text = tape.read_text()
    assert not re.search(r"\b[0-9a-fA-F]{64}\b", text)
    assert "sim-secret" not in text
    assert "guessed" not in text
    assert text.count("[right signature]") > 20
    assert text.count("[wrong signature]") >= 1


def test_a_tape_is_a_market(tape):
    """Its public frames can be served again: the same trades at the same prices, in order."""
    said = [
        (row["side"], row["size"], row["price"])
        for entry in entries(tape)
        if entry.get("to") == 1 and "frame" in entry
        and (frame := json.loads(entry["frame"])).get("table") == "trade"
        and frame["action"] == "insert"
        for row in frame["data"]
        if row["symbol"] == "ETHUSD"
    ]  # fmt: skip
    desk = Memory(symbols=("XBTUSD", "ETHUSD"), recording=Recording.load(tape))
    desk.advance(6_000)
    market = desk.exchange.markets["ETHUSD"]
    again = [(t["side"], t["size"], float(t["price"])) for t in market.trades]
    assert again[: len(said)] == said
    assert len(said) >= 6
    assert market.book.best(BUY) < market.book.best(SELL)


def test_a_tape_without_faults_holds_what_everybody_was_told(tmp_path):
    """No fault is in the way of any frame: the trade stands on the tape for each who heard it."""
    path = tmp_path / "calm.tape"
    with PaperExchange(record=path, walk=False, rate_limits=False) as venue:
        client = Client(venue.url)
        stream = Stream(venue.url, client=client)
        stream.ask("subscribe", ["trade:XBTUSD", "order"])
        client.order(orderQty=100, side="Buy", ordType="Market", clOrdID="calm")
        stream.rows("trade", 1)
    said = [json.loads(entry["frame"]) for entry in entries(path) if entry.get("frame")]
    told = [frame for frame in said if frame.get("action") == "insert"]
    assert sum(frame["table"] == "trade" for frame in told) == 2, "the stream's, and the tape's own"
    assert sum(frame["table"] == "order" for frame in told) == 1
    assert list(rerun(path)) == []


def test_a_tape_goes_on_when_all_sockets_are_closed(tmp_path):
    """The tape's own subscription is renewed: what is traded afterwards is on it, too."""
    path = tmp_path / "closed.tape"
    with PaperExchange(record=path, quotes=50, symbols=("XBTUSD",)) as venue:
        stream = Stream(venue.url)
        assert venue.disconnect() == 2
        assert stream.socket.recv() == ""
        Stream(venue.url, "trade").rows("trade", 2)
    assert sum("own" in entry for entry in entries(path)) >= 2
    assert Recording.load(path).frames[-1].at_ms > 0
    assert list(rerun(path)) == []


def test_a_broken_tape_is_told(tape, tmp_path):
    """What is no tape is refused; a last line that a killed process left is passed over."""
    bad = tmp_path / "bad.tape"
    bad.write_text('{"something": 1}\n')
    with pytest.raises(BadTape, match="line 1"):
        list(rerun(bad))
    bad.write_text("")
    with pytest.raises(BadTape, match="empty"):
        list(rerun(bad))
    head = tape.read_text().splitlines(keepends=True)[0]
    bad.write_text(head + '{"begin":true}\nrubbish\n')
    rule = "line 3: each line of a tape is one JSON object, and this is none"
    with pytest.raises(BadTape, match=f"bad.tape, {rule}"):
        list(rerun(bad))
    with pytest.raises(BadRecording, match="line 3"):
        Recording.load(bad)
    whole = tape.read_text()
    bad.write_text(whole[: len(whole) * 2 // 3])
    cut = {str(difference.after) for difference in rerun(bad)}
    assert len(cut) <= 1  # what followed from the last input is not all there


def test_secrets_of_other_keys_are_needed_to_sign_again(tmp_path):
    """A tape of an exchange with keys of its own re-runs with these keys."""
    path = tmp_path / "own.tape"
    key = Key(key="mine", secret="only-here", account=77)
    with PaperExchange(record=path, keys=[key], walk=False) as venue:
        client = Client(venue.url, key="mine", secret="only-here")
        assert client.order(orderQty=100, price=50_000).status_code == 200
    assert "only-here" not in path.read_text()
    assert list(rerun(path, [key])) == []


def test_a_tape_knows_what_its_exchange_was_made_of(tmp_path):
    """Scenario, paths, recorded frames, speed and deposits are on it: it needs no other file."""
    path, prices = tmp_path / "made.tape", tmp_path / "prices.csv"
    prices.write_text("time,price\n0,61000\n1m,60500.5\n")
    frames = tmp_path / "frames.jsonl"
    book = [
        {"symbol": "ETHUSD", "id": n, "side": side, "size": 50, "price": price}
        for n, (side, price) in enumerate([("Buy", 2_400), ("Sell", 2_401.5)])
    ]
    frame = {"table": "orderBookL2", "action": "partial", "data": book}
    frames.write_text(json.dumps({"received_at": 1.5, "frame": frame}) + "\n")
    step = {"at": 0.2, "do": "rules", "symbol": "XBTUSDT", "lotSize": 1000, "takerFee": 0.00075}
    with PaperExchange(
        record=path, prices={"XBTUSD": prices}, replay=frames, scenario=[step], speed=20.0,
        legacy=True, balances={"XBt": 12_345_678}, faults={"order-late:XBTUSDx2": 0.5},
    ) as venue:  # fmt: skip
        client = Client(venue.url)
        stream = Stream(venue.url, "order", "margin", client=client)
        client.order(orderQty=100, ordType="Market")
        stream.rows("margin", 1)
        many = websocket.create_connection(venue.ws_url + "md", timeout=8)
        expires = int(time.time()) + 60
        signed = client.signed("GET", "/realtimemd", b"", str(expires))
        ask = {"op": "authKeyExpires", "args": [client.key, expires, signed["api-signature"]]}
        many.send(json.dumps([1, "one", "account", ""]))
        many.send(json.dumps([0, "one", "account", ask]))
        while '"success":true' not in many.recv():
            pass
        assert venue.do("fault", name="late-fill", probability=0)["symbol"] is None
    for file in (prices, frames):
        file.unlink()
    assert list(rerun(path)) == []
