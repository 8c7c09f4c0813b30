"""HTTP: who may ask, what is answered, and that a refusal changes nothing."""

from __future__ import annotations

import http.client
import json
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reconciler.api.server import ApiServer, bind
from reconciler.client import ERRORS, HttpDoor
from reconciler.config import load
from reconciler.errors import (
    ConfigError,
    InDoubt,
    KeyReused,
    LimitExceeded,
    NotALot,
    ReconcilerError,
    Refused,
    StaleVersion,
    UnknownSymbol,
    Unreachable,
    UsageError,
)
from reconciler.journal import History
from reconciler.service.door import TargetRequest
from reconciler.service.offline import OfflineDoor
from reconciler.service.options import Options

TOKEN = "canary-token-4711"
TARGET = "/api/v1/targets/XBTUSD"
GETS = [
    "/api/v1/status", "/api/v1/symbols/XBTUSD", "/api/v1/targets", TARGET, "/api/v1/orders",
    "/api/v1/fills", "/api/v1/transitions", "/api/v1/executions", "/api/v1/targets?history=1",
]  # fmt: skip


class Said(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Api:
    """A server over a journal, and raw requests to it."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "journal.db"
        settings = load(environ={}).core_settings()
        self.door = OfflineDoor(
            Options(database=self.database, settings=settings, durability="process")
        )
        self.server = ApiServer(self.door, self.database, bind("127.0.0.1", 0), TOKEN)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in sent.items() if value != ""}
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            said = Said(answer.status, found, answer.read().decode())
        finally:
            connection.close()
        assert TOKEN not in said.text + str(said.headers)
        return said

    def put(self, body: Any, **headers: str) -> Said:
        return self.ask("PUT", TARGET, body, **headers)

    def targets(self) -> list[tuple[int, int]]:
        """Every target that there was, by version and contracts."""
        rows = self.ask("GET", "/api/v1/targets?history=1").json["rows"]
        return [(row["version"], row["contracts"]) for row in rows]

    def refusals(self) -> list[tuple[object, ...]]:
        """Every refusal that was recorded: who asked for how much, and which rule said no."""
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute(
                "SELECT source, contracts, code FROM refusals ORDER BY seq"
            ).fetchall()

    def events(self) -> int:
        if not self.database.exists():
            return 0
        with History.open(self.database) as history:
            return history.last_seq()


@pytest.fixture
def api(tmp_path):
    served = Api(tmp_path)
    served.server.start()
    yield served
    served.server.stop()


@pytest.fixture
def client(api):
    door = HttpDoor(api.server.url, TOKEN)
    yield door
    door.close()


def test_an_answer_does_not_wait_for_an_acknowledgement(client):
    """With Nagle's algorithm each answer after a connection's first takes 40 ms, at its best."""
    assert client.is_alive()
    took = []
    for _ in range(10):
        began = time.monotonic()
        assert client.is_alive()  # an answer that takes no time itself, however busy the disk
        took.append(time.monotonic() - began)
    assert min(took) < 0.03


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "127.0.0.1.evil.example"}, 400),
        ({"Host": "127.0.0.1"}, 400),  # without the port: another address
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, 401),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
    ],
)
def test_a_stranger_changes_nothing(api, headers, status):
    """A page of another site, a rebound name, a wrong token, a simple form: refused, unheard."""
    for method, path in (("PUT", TARGET), ("POST", "/api/v1/halt"), ("POST", "/api/v1/backup")):
        said = api.ask(method, path, {"contracts": 300}, **headers)
        assert said.status == status
        assert said.headers["content-type"] == "application/problem+json"
        assert set(said.json) == {"type", "title", "status", "code", "detail", "fields"}
    assert api.events() == 0


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Host": "evil.example"},
                                     {"Origin": "http://evil.example"}])  # fmt: skip
def test_a_stranger_reads_nothing(api, headers):
    """Every page but the two that say whether it lives asks for the token; all ask for the host."""
    for path in GETS:
        assert api.ask("GET", path, **headers).status in {400, 401, 403}
    alive = api.ask("GET", "/healthz", **headers).status
    assert alive == (200 if "Authorization" in headers else alive)
    assert alive in {200, 400, 403}


def test_a_token_in_the_address_is_none(api):
    """Addresses end up in logs: a token there opens nothing."""
    said = api.ask("GET", f"/api/v1/status?token={TOKEN}", Authorization="")
    assert said.status == 401


def test_a_target_is_new_then_the_same_then_another(api):
    """201 with its version as entity tag, 200 for the same again, 201 for another."""
    first, same, other = (api.put({"contracts": n}) for n in (300, 300, -400))
    assert [said.status for said in (first, same, other)] == [201, 200, 201]
    assert [said.headers["etag"] for said in (first, same, other)] == ['"1"', '"1"', '"2"']
    assert (other.json["contracts"], other.json["previous"]) == (-400, 300)
    assert api.ask("GET", TARGET).headers["etag"] == '"2"'
    assert [row["contracts"] for row in api.ask("GET", "/api/v1/targets").json["rows"]] == [-400]
    every = api.ask("GET", "/api/v1/targets?history=1").json["rows"]
    assert [row["contracts"] for row in every] == [-400, 300]


def test_a_key_makes_a_repeat_harmless_and_stands_for_one_request(api):
    """The same key again is the same answer; for another number it is a conflict."""
    first = api.put({"contracts": 300}, Idempotency_Key="k1")
    before = api.events()
    again = api.put({"contracts": 300}, Idempotency_Key="k1")
    assert api.events() == before
    other = api.put({"contracts": 400}, Idempotency_Key="k1")
    assert [said.status for said in (first, again, other)] == [201, 200, 409]
    assert other.json["code"] == "key_reused"
    assert api.targets() == [(1, 300)]
    assert api.refusals() == [("http", 400, "key_reused")]


def test_a_stale_version_is_a_failed_precondition(api):
    """If-Match names the version that is replaced; an older one changes nothing."""
    api.put({"contracts": 300})
    assert api.put({"contracts": 400}, If_Match='"1"').status == 201
    stale = api.put({"contracts": 500}, If_Match='"1"')
    assert (stale.status, stale.json["code"], stale.json["fields"]["version"]) == (
        412, "stale_version", 2,
    )  # fmt: skip
    assert api.targets() == [(2, 400), (1, 300)]
    assert api.refusals() == [("http", 500, "stale_version")]
    before = api.events()
    assert api.put({"contracts": 500}, If_Match="1").status == 400
    assert api.put({"contracts": 500}, If_Match="*").status == 400
    assert api.events() == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"contracts": 20_000}, 422, "limit_exceeded"),
        ({"contracts": 10**300}, 422, "limit_exceeded"),
        ({"contracts": 300, "policy": "yolo"}, 422, "refused"),
        ({"contracts": 300, "by": 5}, 400, "bad_request"),
        ({}, 400, "bad_request"),
        ({"contracts": 300, "contract": 5}, 400, "bad_request"),
        ({"contracts": "300"}, 400, "bad_request"),
        ({"contracts": True}, 400, "bad_request"),
        (b'{"contracts": 300.0}', 400, "bad_request"),
        (b'{"contracts": 3e2}', 400, "bad_request"),
        (b'{"contracts": NaN}', 400, "bad_request"),
        (b'{"contracts": -Infinity}', 400, "bad_request"),
        (b'{"contracts": 300, "contracts": 400}', 400, "bad_request"),
        (b'{"contracts": ' + b"9" * 5000 + b"}", 400, "bad_request"),
        (b"[" * 20_000, 400, "bad_request"),
        (b"\xff\xfe", 400, "bad_request"),
        (b"", 400, "bad_request"),
        (b"null", 400, "bad_request"),
        (b'{"reason": "' + b"x" * 1_000_000 + b'"}', 413, "bad_request"),
    ],
)
def test_a_body_that_cannot_be_is_refused(api, body, status, code):
    """Types are strict, names are known, sizes bounded; only what a rule refused is recorded."""
    said = api.put(body)
    assert (said.status, said.json["code"]) == (status, code)
    if status == 422:
        assert api.targets() == []
        assert [row[2] for row in api.refusals()] == [code]
    else:
        assert api.events() == 0


def test_a_body_without_a_length_is_bounded_too(api):
    """What comes in chunks is counted as it comes."""
    with socket.create_connection(("127.0.0.1", api.server.port), timeout=10) as raw:
        head = (
            f"PUT {TARGET} HTTP/1.1\r\nHost: 127.0.0.1:{api.server.port}\r\n"
            f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        raw.sendall(head.encode())
        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        for _ in range(62):
            raw.sendall(chunk)
        assert b" 413 " in raw.recv(4096).split(b"\r\n")[0] + b" "
    assert api.events() == 0


def test_what_only_reads_changes_nothing(api):
    """Any number of GETs leaves the journal as it was."""
    api.put({"contracts": 300})
    before = api.events()
    for path in [*GETS, "/healthz", "/readyz"]:
        said = api.ask("GET", path)
        assert said.status in {200, 503}, path
        assert said.headers["cache-control"] == "no-store"
    assert api.events() == before


def test_readyz_says_what_is_missing(api):
    """Alive is not ready: without the exchange it is 503, with the reason."""
    api.put({"contracts": 300})
    said = api.ask("GET", "/readyz", Authorization="")
    assert said.status == 503
    assert said.json == {"ready": False, "reasons": ["not in sync with the exchange"]}
    assert api.ask("GET", "/healthz", Authorization="").json == {"ok": True}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/symbols/NOPE", 404),
        ("GET", "/api/v1/targets/ETHUSD", 404),
        ("GET", "/docs", 404),
        ("GET", "/api/v1/fills?symbol=NOPE", 404),
        ("GET", "/api/v1/targets?history=1&symbol=NOPE", 404),
        ("PATCH", TARGET, 405),
        ("GET", "/api/v1/halt", 405),
        ("GET", "/api/v1/fills?limit=1001", 400),
        ("GET", "/api/v1/fills?limit=0", 400),
        ("GET", "/api/v1/fills?since=yesterday", 400),
        ("GET", "/api/v1/fills?sybmol=XBTUSD", 400),
        ("GET", "/api/v1/fills?limit=1&limit=2", 400),
        ("PUT", "/api/v1/targets/NOPE", 422),
    ],
)
def test_what_is_not_there_is_told_as_a_problem(api, method, path, status):
    """Every error has the same shape, and names its code."""
    api.put({"contracts": 300})
    said = api.ask(method, path, {"contracts": 1} if method == "PUT" else None)
    assert (said.status, said.json["status"]) == (status, status)
    assert said.json["code"]


def test_a_method_that_is_not_there_is_told_as_one(api):
    """Nothing is asked of its body: a DELETE has none."""
    said = api.ask("DELETE", "/api/v1/targets", Content_Type="")
    assert (said.status, said.json["status"]) == (405, 405)


def test_a_listing_of_a_symbol_without_rows_is_empty(api):
    """It is one of the configured ones, and nothing has happened to it."""
    api.put({"contracts": 300})
    said = api.ask("GET", "/api/v1/fills?symbol=ETHUSD")
    assert (said.status, said.json["rows"]) == (200, [])


def test_the_client_raises_what_the_service_raised(api, client):
    """One meaning, many doors: over HTTP the same errors with the same values."""

    def set_target(**given) -> TargetRequest:
        return client.set_target(TargetRequest(**{"symbol": "XBTUSD", "contracts": 300} | given))

    done = set_target(reason="trend", ttl_s=60, key="k1")
    assert (done.version, done.changed, done.symbol) == (1, True, "XBTUSD")
    for given, kind in [
        ({"if_version": 7}, StaleVersion), ({"symbol": "NOPE"}, UnknownSymbol),
        ({"symbol": "A/../B?x#y"}, UnknownSymbol), ({"contracts": 20_000}, LimitExceeded),
        ({"contracts": 400, "key": "k1"}, KeyReused), ({"contracts": None}, UsageError),
        ({"key": "ключ"}, UsageError), ({"policy": "yolo"}, Refused),
    ]:  # fmt: skip
        with pytest.raises(kind) as here:
            set_target(**given)
        assert TOKEN not in str(here.value)
    with pytest.raises(LimitExceeded) as limit:
        set_target(contracts=20_000)
    assert limit.value.fields["limit"] == 10_000
    assert str(limit.value).count("Lower the target") == 1


def test_the_client_halts_resumes_and_looks(api, client):
    """All that a door can do goes over HTTP."""
    client.set_target(TargetRequest(symbol="XBTUSD", contracts=300))
    assert client.halt(by="test", reason="odd").did == "halted"
    assert client.status()["service"]["halted"]
    assert client.resume(by="test", reason="fine").did == "resumed"
    assert Path(client.backup()).is_file()
    assert [row["contracts"] for row in client.rows("targets")] == [300]
    assert client.rows("fills", symbol="XBTUSD", limit=5) == []


def test_a_wrong_token_is_a_refusal_and_no_service_is_unreachable(api):
    """What went wrong decides what to do next."""
    with pytest.raises(Refused):
        HttpDoor(api.server.url, "wrong").status()
    api.server.stop()
    with pytest.raises(Unreachable):
        HttpDoor(api.server.url, TOKEN).status()
    assert not HttpDoor(api.server.url, TOKEN).is_alive()


def test_an_answer_that_does_not_come_is_a_doubt():
    """A service that takes a target and falls silent may have recorded it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        door = HttpDoor(f"http://127.0.0.1:{silent.getsockname()[1]}", TOKEN, timeout_s=0.3)
        with pytest.raises(InDoubt):
            door.set_target(TargetRequest(symbol="XBTUSD", contracts=300))
        with pytest.raises(Unreachable):
            door.status()


def test_every_code_has_its_error():
    """Whatever code a service tells, the client knows its error and so its exit code."""
    assert ERRORS["not_a_lot"] is NotALot
    assert all(issubclass(kind, ReconcilerError) for kind in ERRORS.values())


def test_a_defect_is_told_by_its_kind_only(api, monkeypatch):
    """The text of an error that nobody foresaw stays inside."""

    def broken() -> None:
        raise RuntimeError("secret-canary")

    monkeypatch.setattr(api.door, "status", broken)
    said = api.ask("GET", "/api/v1/status")
    assert said.status == 500
    assert "canary" not in said.text
    assert "RuntimeError" in said.json["detail"]


def test_a_port_in_use_is_known_before_anything_starts(api):
    """The port is taken first: the error names it and the setting."""
    with pytest.raises(ConfigError, match=rf"port {api.server.port} on 127\.0\.0\.1 is in use"):
        bind("127.0.0.1", api.server.port)


def test_the_server_stops_in_time(api):
    """Also with a connection open that says nothing."""
    with socket.create_connection(("127.0.0.1", api.server.port)):
        began = time.monotonic()
        api.server.stop()
        assert time.monotonic() - began < 2.5
