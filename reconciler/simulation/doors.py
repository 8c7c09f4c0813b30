"""
The venue's two doors: HTTP requests in, answers out; and one `Feed` for each websocket.

Requests come as the bytes that the gateway would have written to a socket. The door checks
``api-expires``, refuses, sheds load; what it admits waits in the engine's queue for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import msgspec

from reconciler.bitmex.answers import OVERLOADED, Reply
from reconciler.simulation.agenda import SECOND, Agenda
from reconciler.simulation.draws import Draws
from reconciler.simulation.exchange import Exchange
from reconciler.simulation.listings import ACCOUNT, row_of
from reconciler.simulation.weather import Weather
from reconciler.simulation.wording import Row, encode, error, frame, http_date, image, iso

_decode = msgspec.json.Decoder(dict[str, object], float_hook=str).decode
Answer = Callable[[Reply], None]
BACKLOG_US = 15 * SECOND  # a reader that is behind by more is disconnected
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"


class Door:
    """HTTP: admission, the queue in front of the engine, and reads."""

    def __init__(self, agenda: Agenda, draws: Draws, weather: Weather, exchange: Exchange) -> None:
        self._agenda = agenda
        self._draws = draws
        self.weather = weather
        self.exchange = exchange
        self._engine_free_us = 0
        self._minute = 120.0
        self._second = 10.0
        self._refilled_us = agenda.now_us

    def command(self, data: bytes, answer: Answer) -> None:
        """A request that may change something has arrived."""
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        verb, path, _ = lines[0].split(" ")
        headers = dict(line.split(": ", 1) for line in lines[1:])
        self._spend(order=not path.endswith("cancelAllAfter"))
        expires_us = int(headers["api-expires"]) * SECOND
        if self.exchange.clock.now_us() > expires_us:
            answer(self._reply(400, error("This request has expired - `expires` is in the past.")))
            return
        refusal = self._refusal(verb, path)
        if refusal is not None:
            answer(refusal)
            return
        asked: Row = _decode(body)
        weather = self.weather
        hold_us = self._draws.ms("hold", 1, 10)
        if self._draws.strikes("hold", weather.hold):
            # In order, however long; or in any order, but not longer than the bound.
            most = 25_000 if weather.in_order else weather.hold_most_us // 1000
            hold_us = self._draws.ms("hold", 500, most)
        if weather.in_order:
            self._engine_free_us = max(self._engine_free_us, self._agenda.now_us + hold_us)
            hold_us = self._engine_free_us - self._agenda.now_us

        def act() -> None:
            status, said = self._engine(verb, path, asked)
            body = error(said) if isinstance(said, str) else encode(said)
            answer(self._reply(status, body))

        self._agenda.later(hold_us, act)

    def _engine(self, verb: str, path: str, asked: Row) -> tuple[int, object]:
        exchange = self.exchange
        if path.endswith("cancelAllAfter"):
            return exchange.cancel_all_after(int(str(asked["timeout"])))
        if verb == "POST":
            return exchange.place(asked)
        if verb == "PUT":
            return exchange.amend(asked)
        return exchange.cancel(str(asked.get("clOrdID", "")), str(asked.get("orderID", "")))

    def _refusal(self, verb: str, path: str) -> Reply | None:
        """Load shedding, limits, and pages of proxies. Cancels are not shed."""
        strikes, weather = self._draws.strikes, self.weather
        if strikes("rate_limited", weather.rate_limited) or self._minute <= 0:
            wait = self._draws.one("retry after", ("1", "2", "5", "0.5", "-3", "x", ""))
            return self._reply(429, error("Rate limit exceeded, retry in 1 seconds."), wait)
        if verb != "DELETE" and strikes("overloaded", weather.overloaded):
            return self._reply(503, error(OVERLOADED))
        return None

    def late_refusal(self) -> Reply | None:
        """Instead of an answer that was on its way: what a proxy says."""
        if self._draws.strikes("other_503", self.weather.other_503):
            return Reply(status=503, headers={}, body=error("Service unavailable."))
        if self._draws.strikes("bad_gateway", self.weather.bad_gateway):
            return Reply(status=502, headers={}, body=HTML)
        return None

    def read(self, target: str, answer: Answer) -> None:
        """A look-up has arrived."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        self._spend(order=False)
        refusal = self._refusal("GET", parts.path)
        if refusal is not None:
            answer(refusal)
            return
        then_us = self._agenda.now_us
        if self._draws.strikes("read_lag", self.weather.read_lag):
            then_us -= self._draws.ms("read_lag", 0, self.weather.lag_most_us // 1000)
        answer(self._reply(200, encode(self._found(parts.path, query, then_us))))

    def _found(self, path: str, query: dict[str, str], then_us: int) -> list[Row]:
        exchange = self.exchange
        asked: dict[str, object] = msgspec.json.decode(query.get("filter", "{}"))
        name = str(asked.get("clOrdID", ""))
        if path.endswith("/order"):
            found = exchange.orders_at(then_us, name)
        elif path.endswith("/execution"):
            found = exchange.executions_at(then_us, name, query.get("startTime", ""))
        elif path.endswith("/position"):
            found = [
                exchange.position_row(
                    symbol, exchange.position_at(symbol, then_us), self._agenda.now_us - then_us
                )
                for symbol in exchange.symbols
                if asked.get("symbol", symbol) == symbol
            ]
        else:
            found = [
                exchange.instrument_row(symbol)
                for symbol in exchange.symbols
                if symbol in asked.get("symbol", symbol)  # type: ignore[operator]
            ]
        start = int(query.get("start", "0"))
        return found[start : start + int(query.get("count", "100"))]

    def _spend(self, *, order: bool) -> None:
        now_us = self._agenda.now_us
        passed = (now_us - self._refilled_us) / SECOND
        self._refilled_us = now_us
        self._minute = max(min(120.0, self._minute + passed * 2) - 1, 0.0)
        self._second = min(10.0, self._second + passed * 10)
        if order:
            self._second = max(self._second - 1, 0.0)

    def _reply(self, status: int, body: bytes, wait: str = "") -> Reply:
        headers = {
            "date": http_date(self.exchange.clock.now_us() // SECOND),
            "x-ratelimit-limit": "120",
            "x-ratelimit-remaining": str(int(self._minute)),
            "x-ratelimit-remaining-1s": str(int(self._second)),
        }
        if wait:
            headers["retry-after"] = wait
        return Reply(status=status, headers=headers, body=body)


class Feed:
    """One websocket at the venue's side. Tables are in order, each by itself."""

    def __init__(
        self,
        agenda: Agenda,
        draws: Draws,
        weather: Weather,
        exchange: Exchange,
        arrive: Callable[[bytes], None],
    ) -> None:
        self._agenda = agenda
        self._draws = draws
        self.weather = weather
        self._exchange = exchange
        self._arrive = arrive
        self._due_us: dict[str, int] = {}
        self._tables: set[str] = set()  # that had their image
        self._told: set[str] = set()  # symbols whose position row the client has
        self._read_us = 0  # when a slow reader will have read all that was said
        self.ended: Callable[[], None] = lambda: None  # the venue hangs up
        self.open = True
        self.silent = False  # half open: nothing gets through, nobody notices
        self.muted = False  # alive, but its tables are not told

    def welcome(self) -> None:
        """The first frame."""
        self._say("", encode({"info": "Welcome to the BitMEX Realtime API.", "version": "2.0.0",
                              "timestamp": iso(self._exchange.clock.now_us())}))  # fmt: skip

    def said(self, text: str) -> None:
        """The client said something."""
        if not self.open or self.silent:
            return
        if text == "ping":
            self._say("", b"pong")
            return
        command: dict[str, object] = msgspec.json.decode(text)
        op, args = command["op"], command["args"]
        assert isinstance(args, list)
        if op == "authKeyExpires":
            if int(str(args[1])) * SECOND < self._exchange.clock.now_us():
                why = "This request has expired - `expires` is in the past."
                refused: Row = {"status": 401, "error": why, "request": {"op": op, "args": args}}
                self._say("", encode(refused))
                return
            self._say("", encode({"success": True, "request": {"op": op, "args": args}}))
            return
        for topic in args:
            request = {"op": op, "args": args}
            self._say("", encode({"success": True, op: topic, "request": request}))
        for topic in args:
            table, _, symbol = topic.partition(":")
            if op == "subscribe":
                self.image(table, symbol)
            else:
                self._tables.discard(table)

    def image(self, table: str, symbol: str = "") -> None:
        """A partial: everything of a table, or of one symbol's slice of it."""
        exchange = self._exchange
        filter: Row = {"symbol": symbol} if symbol else {"account": ACCOUNT}
        data: list[Row] = []
        if table == "order":
            data = [row_of(order) for order in exchange.alive.values()]
        elif table == "execution":
            recent = self._draws.one("recent", (0, 0, 3, 20))
            data = [row for _, row in exchange.executions[-recent:]] if recent else []
        elif table == "position":
            data = [exchange.position_row(s, n) for s, n in exchange.position.items() if n]
            self._told = {s for s, n in exchange.position.items() if n}
        elif table == "margin":
            data = [self.margin_row()]
        elif table == "instrument":
            data = [exchange.instrument_row(symbol)]
        elif table == "quote":
            data = [self.quote_row(symbol)]
        elif table == "trade":
            data = [self.trade_row(symbol)]
        self._say(table, image(table, filter, data))
        self._tables.add(table)

    def row(self, table: str, action: str, row: Row) -> None:
        """Something changed."""
        private = table in ("order", "execution", "position")
        told_once = private or "state" in row  # nothing repeats it, if it is lost
        if table not in self._tables or (self.muted and told_once):
            return
        if table == "position":
            symbol = str(row["symbol"])
            if symbol not in self._told:
                self._told.add(symbol)
                action = "insert"
        strikes, weather = self._draws.strikes, self.weather
        if told_once and strikes("lose_row", weather.lose_row):
            return
        said = frame(table, action, [row])
        for _ in range(2 if private and strikes("repeat_row", weather.repeat_row) else 1):
            self._say(table, said)
        if strikes("strange_frame", weather.strange_frame):
            self._say(table, self._strange(table, action, row))

    def _strange(self, table: str, action: str, row: Row) -> bytes:
        """Frames that a careless client stumbles over."""
        kind = self._draws.one("strange", ("empty", "unknown row", "unknown field", "noise"))
        if kind == "empty":
            return frame(table, action, [])
        if kind == "unknown row" and table == "order":
            return frame(table, "update", [{**row, "orderID": "ffff", "clOrdID": "", "cumQty": 1}])
        if kind == "noise":
            symbol = self._exchange.symbols[0]
            return frame("instrument", "update", [{"symbol": symbol, "novelty": {"a": [1]}}])
        return frame(table, action, [{**row, "shadowBan": None, "colour": "mauve"}])

    def margin_row(self) -> Row:
        """What the account has: half of what it holds is put up for it."""
        exchange = self._exchange
        balance = 1_000_000_000 + sum(exchange.result(symbol) for symbol in exchange.symbols)
        held = sum(abs(n) * 10**8 / exchange.marks[s] for s, n in exchange.position.items())
        available = balance - int(held) // 2
        exchange.margins.add((balance, available))
        return {
            "account": ACCOUNT,
            "currency": "XBt",
            "walletBalance": balance,
            "marginBalance": balance,
            "availableMargin": available,
            "timestamp": iso(self._exchange.clock.now_us()),
        }

    def quote_row(self, symbol: str) -> Row:
        """Best bid and ask."""
        mark = self._exchange.marks[symbol]
        shown = (1_000, 1_000)
        if self.weather.thin:  # as the mark has it: nobody's chance is taken for it
            shown = (int(mark * 74) % 29 * 50, int(mark * 106) % 31 * 50)
        return {
            "symbol": symbol,
            "bidSize": shown[0],
            "bidPrice": mark - mark % 1,
            "askPrice": mark - mark % 1 + 1,
            "askSize": shown[1],
            "timestamp": iso(self._exchange.clock.now_us()),
        }

    def trade_row(self, symbol: str) -> Row:
        """Somebody has traded, at one of the two best prices."""
        quote = self.quote_row(symbol)
        side = self._draws.one("trade", ("Buy", "Sell"))
        return {
            "symbol": symbol,
            "side": side,
            "size": 10,
            "price": quote["askPrice" if side == "Buy" else "bidPrice"],
            "timestamp": quote["timestamp"],
        }

    def _say(self, table: str, said: bytes) -> None:
        """A frame sets out; it arrives behind those of its table."""
        if self.silent or not self.open:
            return
        delay_us = self._draws.ms("stream", 2, 30)
        if table in ("order", "execution", "position"):
            if self._draws.strikes("late_row", self.weather.late_row):
                delay_us = self._draws.ms("late_row", 100, 4_000)
            if table == "position":
                if self._draws.strikes("late_position", self.weather.late_position):
                    delay_us += self._draws.ms("late_position", 500, 3_000)
        due_us = max(self._agenda.now_us + delay_us, self._due_us.get(table, 0))
        self._due_us[table] = due_us
        if self.weather.slow_reader_us and not self._draws.calm:
            # One after another: the reader is slow, and what waits for it grows.
            self._read_us = max(self._read_us, due_us) + self.weather.slow_reader_us
            due_us = self._read_us
            if due_us - self._agenda.now_us > BACKLOG_US:
                self.ended()
                return

        def arrive() -> None:
            if self.open and not self.silent:
                self._arrive(said)

        self._agenda.later(due_us - self._agenda.now_us, arrive)
