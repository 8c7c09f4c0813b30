"""
A venue that costs as little as possible, so that what is timed is the contestant.

Raw sockets, one thread, JSON made by formatting text. Each contestant has a `Seat`: a port of its
own, one stream, some connections for requests, and an account with one position and one order. A
seat logs a client in as BitMEX would, answers its look-ups, and notes the moment at which the
whole of a POST was read (`CLOCK_MONOTONIC`, in nanoseconds).
"""

from __future__ import annotations

import base64
import json
import selectors
import socket
import struct
import time
from datetime import UTC, datetime
from email.utils import formatdate
from hashlib import sha1
from typing import Any

SYMBOL = "XBTUSD"
ACCOUNT = 2_468
BID, ASK, MARK = "64000.5", "64001.0", "64000.7"
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEYS = {
    "order": ["orderID"],
    "position": ["account", "symbol"],
    "margin": ["account", "currency"],
    "instrument": ["symbol"],
    "execution": ["execID"],
}


def iso() -> str:
    """Now, as the venue writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def frame(text: str, opcode: int = 1) -> bytes:
    """A websocket frame of a server."""
    said = text.encode()
    if len(said) < 126:
        return struct.pack("!BB", 0x80 | opcode, len(said)) + said
    if len(said) < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, len(said)) + said
    return struct.pack("!BBQ", 0x80 | opcode, 127, len(said)) + said


def table(name: str, action: str, rows: str, more: str = "") -> bytes:
    """A frame of a table."""
    return frame(f'{{"table":"{name}","action":"{action}"{more},"data":[{rows}]}}')


class Peer:
    """One connection: what came and is not whole yet, and whether it became a stream."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.held = b""
        self.stream = False


class Seat:
    """One contestant's side of the venue."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._stream: Peer | None = None
        self._topics: set[str] = set()
        self.position = 0
        self.order: dict[str, Any] = {}  # body of the newest POST
        self.order_id = ""
        self.posts = 0
        self.post_ns = 0  # when the newest POST was whole
        self._asker: Peer | None = None  # who waits for the answer to it
        self._rests = False
        self._executions = 0

    # -- what the conductor does

    @property
    def live(self) -> bool:
        """Whether the contestant has everything that it needs to trade."""
        return self.posts > 0

    def say(self, *frames: bytes) -> int:
        """Send frames in one piece; the moment before."""
        assert self._stream is not None
        said = b"".join(frames)
        at_ns = time.monotonic_ns()
        if len(said) < 65_536:
            self._stream.sock.sendall(said)
            return at_ns
        self._stream.sock.setblocking(True)
        self._stream.sock.sendall(said)
        self._stream.sock.setblocking(False)
        return at_ns

    def accept(self) -> None:
        """Answer the POST: the order rests. Then the stream says so."""
        assert self._asker is not None
        self.order_id = f"{self.posts:08x}-1111-4222-8333-{self.port:012x}"
        self._reply(self._asker, self._order_row("New", 0))
        self._asker, self._rests = None, True
        self.say(
            table("execution", "insert", self._execution_row("New", 0, 0)),
            table("order", "insert", self._order_row("New", 0)),
        )

    def fill(self) -> None:
        """The order is filled at once: its execution, and its end."""
        quantity = int(self.order["orderQty"])
        self._move(quantity)
        self.say(
            table("execution", "insert", self._execution_row("Trade", quantity, quantity)),
            table("order", "update", self._order_change("Filled", quantity)),
        )

    def settle(self) -> int:
        """The position row after a fill; with it the next order may come. The moment before."""
        return self.say(self._position())

    def fill_in_pieces(self) -> tuple[list[bytes], int]:
        """The frames that fill the order contract by contract, and how many events they are."""
        quantity = int(self.order["orderQty"])
        frames = []
        for filled in range(1, quantity + 1):
            status = "Filled" if filled == quantity else "PartiallyFilled"
            frames.append(table("execution", "insert", self._execution_row("Trade", 1, filled)))
            frames.append(table("order", "update", self._order_change(status, filled)))
        self._move(quantity)
        frames.append(self._position())
        return frames, len(frames)

    def fill_and_settle(self) -> int:
        """Fill, end and position in one piece: everything between them is in the time."""
        quantity = int(self.order["orderQty"])
        self._move(quantity)
        return self.say(
            table("execution", "insert", self._execution_row("Trade", quantity, quantity)),
            table("order", "update", self._order_change("Filled", quantity)),
            self._position(),
        )

    def quote(self) -> None:
        """The market, as it was."""
        self.say(table("quote", "insert", self._quote_row()))

    # -- rows

    def _move(self, quantity: int) -> None:
        self._rests = False
        self.position += quantity if self.order["side"] == "Buy" else -quantity

    def _order_row(self, status: str, filled: int) -> str:
        order = self.order
        left = int(order["orderQty"]) - filled
        return (
            f'{{"orderID":"{self.order_id}","clOrdID":"{order["clOrdID"]}","clOrdLinkID":"",'
            f'"account":{ACCOUNT},"symbol":"{SYMBOL}","side":"{order["side"]}",'
            f'"orderQty":{order["orderQty"]},"price":{order["price"]},"displayQty":null,'
            '"stopPx":null,"pegOffsetValue":null,"pegPriceType":"","currency":"USD",'
            '"settlCurrency":"XBt","ordType":"Limit","timeInForce":"GoodTillCancel",'
            f'"execInst":"{order.get("execInst", "")}","contingencyType":"",'
            f'"ordStatus":"{status}","triggered":"","workingIndicator":true,"ordRejReason":"",'
            f'"leavesQty":{left},"cumQty":{filled},"avgPx":null,"text":"Submitted via API.",'
            f'"transactTime":"{iso()}","timestamp":"{iso()}"}}'
        )

    def _order_change(self, status: str, filled: int) -> str:
        left = int(self.order["orderQty"]) - filled
        return (
            f'{{"orderID":"{self.order_id}","clOrdID":"{self.order["clOrdID"]}",'
            f'"account":{ACCOUNT},"symbol":"{SYMBOL}","ordStatus":"{status}",'
            f'"workingIndicator":{"true" if left else "false"},"leavesQty":{left},'
            f'"cumQty":{filled},"avgPx":{BID},"timestamp":"{iso()}"}}'
        )

    def _execution_row(self, kind: str, quantity: int, filled: int) -> str:
        order = self.order
        self._executions += 1
        left = int(order["orderQty"]) - filled
        traded = (
            f'"lastQty":{quantity},"lastPx":{order["price"]},"lastLiquidityInd":"AddedLiquidity",'
            f'"commission":-0.0001,"execCost":{-quantity * 1562},"execComm":{-quantity},'
            f'"tradePublishIndicator":"PublishTrade",'
            if kind == "Trade"
            else '"lastQty":null,"lastPx":null,"lastLiquidityInd":"","commission":null,'
            '"execCost":null,"execComm":null,"tradePublishIndicator":"",'
        )
        status = "New" if kind == "New" else "PartiallyFilled" if left else "Filled"
        return (
            f'{{"execID":"{self._executions:08x}-5555-4666-8777-{self.port:012x}",'
            f'"orderID":"{self.order_id}","clOrdID":"{order["clOrdID"]}","clOrdLinkID":"",'
            f'"account":{ACCOUNT},"symbol":"{SYMBOL}","side":"{order["side"]}",{traded}'
            f'"orderQty":{order["orderQty"]},"price":{order["price"]},"displayQty":null,'
            '"stopPx":null,"pegOffsetValue":null,"pegPriceType":"","currency":"USD",'
            f'"settlCurrency":"XBt","execType":"{kind}","ordType":"Limit",'
            f'"timeInForce":"GoodTillCancel","execInst":"{order.get("execInst", "")}",'
            f'"contingencyType":"","ordStatus":"{status}","triggered":"",'
            f'"workingIndicator":{"true" if left else "false"},"ordRejReason":"",'
            f'"leavesQty":{left},"cumQty":{filled},"avgPx":{BID},"text":"Submitted via API.",'
            '"trdMatchID":"00000000-0000-0000-0000-000000000000","homeNotional":0.0015,'
            f'"foreignNotional":{-quantity},"transactTime":"{iso()}","timestamp":"{iso()}"}}'
        )

    def _position_row(self) -> str:
        return (
            f'{{"account":{ACCOUNT},"symbol":"{SYMBOL}","currency":"XBt",'
            f'"currentQty":{self.position},"currentCost":{-self.position * 1562},'
            f'"currentComm":{-self.position},"unrealisedCost":{-self.position * 1562},'
            f'"grossExecCost":{self.position * 1562},'
            f'"isOpen":{"true" if self.position else "false"},'
            f'"markPrice":{MARK},"markValue":{-self.position * 1561},'
            f'"riskValue":{self.position * 1561},"homeNotional":{self.position * 0.0000156:.8f},'
            f'"foreignNotional":{-self.position},"posCost":{-self.position * 1562},'
            f'"posInit":{self.position * 16},"posMargin":{self.position * 18},'
            f'"maintMargin":{self.position * 17},"unrealisedPnl":{self.position},'
            f'"avgCostPrice":{BID},"avgEntryPrice":{BID},"breakEvenPrice":64000,'
            f'"liquidationPrice":42000.5,"timestamp":"{iso()}"}}'
        )

    def _position(self) -> bytes:
        return table("position", "update", self._position_row())

    def _quote_row(self) -> str:
        return (
            f'{{"timestamp":"{iso()}","symbol":"{SYMBOL}","bidSize":12300,"bidPrice":{BID},'
            f'"askPrice":{ASK},"askSize":45600}}'
        )

    def _instrument_row(self) -> str:
        return (
            f'{{"symbol":"{SYMBOL}","rootSymbol":"XBT","state":"Open","typ":"FFWCSX",'
            '"quoteCurrency":"USD","settlCurrency":"XBt","lotSize":1,"tickSize":0.5,'
            '"maxOrderQty":10000000,"maxPrice":1000000,"multiplier":-100000000,"isInverse":true,'
            f'"isQuanto":false,"makerFee":-0.0001,"takerFee":0.00075,"markPrice":{MARK},'
            f'"bidPrice":{BID},"askPrice":{ASK},"timestamp":"{iso()}"}}'
        )

    def _margin_row(self) -> str:
        return (
            f'{{"account":{ACCOUNT},"currency":"XBt","walletBalance":100000000000,'
            '"marginBalance":100000000000,"availableMargin":100000000000,"unrealisedPnl":0,'
            f'"timestamp":"{iso()}"}}'
        )

    # -- sockets

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        peer = Peer(sock)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._read(peer))

    def _read(self, peer: Peer) -> None:
        try:
            got = peer.sock.recv(65_536)
        except OSError:
            got = b""
        read_ns = time.monotonic_ns()
        if not got:
            self._selector.unregister(peer.sock)
            peer.sock.close()
            return
        peer.held += got
        if peer.stream:
            self._listen(peer)
            return
        while b"\r\n\r\n" in peer.held:
            head, _, rest = peer.held.partition(b"\r\n\r\n")
            words = head.decode().split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (w.partition(":") for w in words[1:])}
            size = int(headers.get("content-length", 0))
            if len(rest) < size:
                return
            body, peer.held = rest[:size], rest[size:]
            self._request(peer, words[0], headers, body, read_ns)

    def _request(
        self, peer: Peer, line: str, headers: dict[str, str], body: bytes, read_ns: int
    ) -> None:
        verb, path, _ = line.split(" ", 2)
        route = path.partition("?")[0]
        if route == "/realtime":
            peer.stream = True
            self._stream = peer
            accepted = base64.b64encode(
                sha1(headers["sec-websocket-key"].encode() + MAGIC).digest()
            ).decode()
            peer.sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accepted.encode() + b"\r\n\r\n"
            )
            self.say(
                frame(f'{{"info":"Welcome to the venue.","version":"2","timestamp":"{iso()}"}}')
            )
        elif verb == "POST" and route == "/api/v1/order":
            self.post_ns = read_ns
            self.posts += 1
            self.order = json.loads(body)
            self._asker = peer
        elif route == "/api/v1/order":
            self._reply(peer, f"[{self._found(path)}]")
        elif route == "/api/v1/position":
            self._reply(peer, f"[{self._position_row()}]")
        elif route == "/api/v1/instrument":
            self._reply(peer, f"[{self._instrument_row()}]")
        else:
            self._reply(peer, "[]")

    def _found(self, path: str) -> str:
        """The newest order, if a look-up means it."""
        if self._rests:
            return self._order_row("New", 0)
        if self.order and self.order_id and self.order["clOrdID"] in path:
            return self._order_row("Filled", int(self.order["orderQty"]))
        return ""

    def _reply(self, peer: Peer, body: str) -> None:
        peer.sock.sendall(
            f"HTTP/1.1 200 OK\r\nDate: {formatdate(usegmt=True)}\r\n"
            "Content-Type: application/json\r\nx-ratelimit-limit: 999999\r\n"
            "x-ratelimit-remaining: 999999\r\nx-ratelimit-limit-1s: 999999\r\n"
            "x-ratelimit-remaining-1s: 999999\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def _listen(self, peer: Peer) -> None:
        """Frames of a client are masked; ours are commands and pings."""
        while len(peer.held) >= 6:
            size, at = peer.held[1] & 127, 2
            if size == 126:
                size, at = struct.unpack("!H", peer.held[2:4])[0], 4
            if len(peer.held) < at + 4 + size:
                return
            mask = peer.held[at : at + 4]
            said = bytes(b ^ mask[i % 4] for i, b in enumerate(peer.held[at + 4 : at + 4 + size]))
            peer.held = peer.held[at + 4 + size :]
            if said == b"ping":
                self.say(frame("pong"))
            elif said.startswith(b"{"):
                self._command(json.loads(said))

    def _command(self, command: dict[str, Any]) -> None:
        request = json.dumps(command)
        if command["op"] == "authKeyExpires":
            self.say(frame(f'{{"success":true,"request":{request}}}'))
            return
        for topic in command["args"]:
            self.say(frame(f'{{"success":true,"subscribe":"{topic}","request":{request}}}'))
            self.say(self._image(topic))

    def _image(self, topic: str) -> bytes:
        name = topic.partition(":")[0]
        rows = {
            "position": self._position_row,
            "margin": self._margin_row,
            "instrument": self._instrument_row,
            "quote": self._quote_row,
        }
        keys = json.dumps(KEYS.get(name, []))
        of = {"symbol": SYMBOL} if ":" in topic else {"account": ACCOUNT}
        more = f',"keys":{keys},"filter":{json.dumps(of)}'
        return table(name, "partial", rows[name]() if name in rows else "", more)


class Venue:
    """Every seat, in one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.seats: list[Seat] = []

    def seat(self) -> Seat:
        """One more contestant."""
        seat = Seat(self._selector)
        self.seats.append(seat)
        return seat

    def serve(self, for_s: float) -> None:
        """Serve whoever says something, for a while."""
        until = time.monotonic() + for_s
        while (left := until - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                key.data()

    def serve_until_post(self, seat: Seat, within_s: float = 10) -> None:
        """Serve until *seat* has read one more POST."""
        posts, until = seat.posts, time.monotonic() + within_s
        while seat.posts == posts:
            left = until - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no order came to port {seat.port} within {within_s:g} s")
            for key, _ in self._selector.select(left):
                key.data()
