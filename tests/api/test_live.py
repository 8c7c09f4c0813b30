"""HTTP: what happens, as it happens, over breaks; and no stream keeps a service from its end."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from reconciler import remote
from reconciler.api import live
from reconciler.api.answers import Problem
from reconciler.api.reading import Request
from reconciler.api.server import ApiServer, bind
from reconciler.client import HttpDoor
from reconciler.errors import Refused, Unauthorized, UsageError
from reconciler.journal import news
from reconciler.remote import Client
from reconciler.service.door import ModeRequest, TargetRequest
from reconciler.service.servicefile import ServiceFile
from tests.api.test_api import TOKEN, Api
from tests.journal.test_chain_of_reasons import tell

EVERY = tuple(news.KINDS)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    served = Api(tmp_path)
    served.door.set_target(TargetRequest(symbol="XBTUSD", contracts=100))
    served.server.start()
    yield served
    served.server.stop()


def test_every_row_is_news_once_in_the_order_of_its_event(tmp_path: Path) -> None:
    """In however many looks: the same rows as the views hold."""
    path = tmp_path / "journal.db"
    tell(path)
    whole = news.look(path, EVERY, 0)
    assert {one.kind for one in whole.told} == set(EVERY)
    assert whole.told == sorted(whole.told, key=lambda one: one.seq)
    assert [one.row["exec_id"] for one in whole.told if one.kind == "fill"].count("r1-x") == 1
    after, found = 0, []
    while after < whole.after:
        part = news.look(path, EVERY, after)
        found, after = found + part.told, max(part.after, after + 1)
    assert found == whole.told
    assert news.look(path, EVERY, whole.after).told == []
    assert news.look(path, EVERY, None) == news.News([], whole.after)


def test_what_happens_reaches_who_looks_on_and_goes_on_after_a_break(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what happened while the connection was broken: by the number of the last event."""
    monkeypatch.setattr(remote, "AGAIN_S", 0.05)
    with closing(Client(api.server.url, TOKEN)) as rc:
        seen = rc.stream(("target", "mode"), symbol="XBTUSD", after=api.events())
        said: list[tuple[str, object]] = []
        got = threading.Semaphore(0)

        def look_on() -> None:
            for row in itertools.islice(seen, 3):
                said.append((row["kind"], row.get("contracts", row.get("mode"))))
                got.release()

        watcher = threading.Thread(target=look_on, daemon=True)
        watcher.start()
        api.door.set_target(TargetRequest(symbol="XBTUSD", contracts=200))
        api.door.set_target(TargetRequest(symbol="ETHUSD", contracts=5))  # nobody asked for that
        assert got.acquire(timeout=10)
        port = api.server.port
        api.server.stop()
        api.door.set_mode(ModeRequest(mode="pause", by="ann", symbols=("XBTUSD",)))
        api.server = ApiServer(api.door, api.database, bind("127.0.0.1", port), TOKEN)
        api.server.start()
        assert got.acquire(timeout=10)
        api.door.set_target(TargetRequest(symbol="XBTUSD", contracts=300))
        assert got.acquire(timeout=10)
        watcher.join(10)
        assert said == [("target", 200), ("mode", "pause"), ("target", 300)]


def test_a_stream_goes_on_at_a_new_start_that_has_another_token(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one listens before it has written its token down: a no of that moment is none."""
    monkeypatch.setattr(remote, "AGAIN_S", 0.1)
    file = ServiceFile(api.database)
    file.write(api.server.url, TOKEN)
    with closing(Client(database=api.database)) as rc:
        seen = rc.stream(("target",), after=api.events())
        api.door.set_target(TargetRequest(symbol="XBTUSD", contracts=200))
        assert next(seen)["contracts"] == 200
        port = api.server.port
        api.server.stop()
        api.server = ApiServer(api.door, api.database, bind("127.0.0.1", port), "another")
        api.server.start()
        later = threading.Timer(0.05, file.write, (api.server.url, "another"))
        later.start()
        api.door.set_target(TargetRequest(symbol="XBTUSD", contracts=300))
        assert next(seen)["contracts"] == 300
        later.join()
    with closing(Client(api.server.url, TOKEN)) as rc, pytest.raises(Refused):
        next(rc.stream(("target",)))  # it knows of no file that says which


def test_a_client_finds_the_service_that_was_started_again(api: Api) -> None:
    """Another port and another token: whatever it is asked next, it asks the one of now."""
    file = ServiceFile(api.database)
    file.write(api.server.url, TOKEN)
    asked: list[tuple[Callable[[Client], object], object]] = [
        (lambda rc: rc.symbol("XBTUSD")["symbol"], "XBTUSD"),
        (lambda rc: rc.target("XBTUSD", source="t").set(300).contracts, 300),
        (lambda rc: rc.set_many({"XBTUSD": 400}, source="t")[0].contracts, 400),
        (lambda rc: rc.plan({"XBTUSD": 500}).changed, 1),
        (lambda rc: rc.rows("targets")[0]["contracts"], 400),
        (lambda rc: rc.targets(limit=1)[0]["contracts"], 400),
        (lambda rc: rc.pause("XBTUSD", reason="r").did, "paused"),
        (lambda rc: rc.resume("XBTUSD", reason="r").did, "resumed"),
        (lambda rc: rc.halt("XBTUSD", reason="r").did, "halted"),
        (lambda rc: rc.forget("XBTUSD").contracts, 400),
        (lambda rc: rc.why("XBTUSD")["status"]["symbol"], "XBTUSD"),
    ]
    with closing(Client(database=api.database)) as rc:
        before = rc.door
        assert rc.status()["symbols"]
        api.server.stop()
        api.server = ApiServer(api.door, api.database, bind("127.0.0.1", 0), "new")
        file.write(api.server.url, "new")
        api.server.start()
        for ask, answer in asked:
            rc.door = before
            assert ask(rc) == answer
        rc.door = HttpDoor(api.server.url, "old")
        assert rc.status()["symbols"]
        file.remove()
        rc.door = HttpDoor(api.server.url, "old")
        with pytest.raises(Unauthorized, match="token is missing or wrong") as error:
            rc.status()  # nothing says where to find another
        assert (error.value.code, error.value.exit_code) == ("unauthorized", 5)


def test_rows_that_the_tables_lack_are_no_news_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that is sent before its tables are written is told when they are there."""
    path = tmp_path / "journal.db"
    tell(path)
    whole = news.look(path, EVERY, 0)
    monkeypatch.setattr(news.chain, "behind", lambda _: 10)
    first = news.look(path, EVERY, 0)
    assert (first.after, news.look(path, EVERY, None).after) == (9, 9)
    assert first.told == [one for one in whole.told if one.seq < 10]
    monkeypatch.undo()
    assert first.told + news.look(path, EVERY, first.after).told == whole.told


def test_a_stream_says_at_once_where_it_begins(api: Api) -> None:
    """A break before the first row loses none of what came meanwhile."""
    with closing(Client(api.server.url, TOKEN)) as rc:
        began = time.monotonic()
        assert next(rc.door.events(("fill",))) == (api.events(), "", {})
        assert time.monotonic() - began < live.SILENT_S / 2


def test_a_stream_that_cannot_be_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name; and there are not more of them than the service has room for."""
    with closing(Client(api.server.url, TOKEN)) as rc:
        with pytest.raises(UsageError, match="'weather' is no kind of news"):
            next(rc.stream(("weather",)))
    assert api.ask("GET", "/api/v1/stream?kind=fill").status == 400
    assert api.ask("GET", "/api/v1/stream", Last_Event_ID="-1").status == 400
    nobody = api.ask("GET", "/api/v1/stream?symbol=NOPE")
    assert (nobody.status, nobody.json["fields"]) == (404, {"symbol": "NOPE"})
    assert api.ask("GET", "/api/v1/stream", Authorization="").status == 401
    monkeypatch.setattr(live, "MOST_AT_ONCE", 0)
    assert api.ask("GET", "/api/v1/stream").status == 429


def test_those_who_ask_in_one_moment_find_no_more_places_than_there_are(api: Api) -> None:
    """A place is taken with the question, not with the first line; who goes before leaves it."""
    stream = live.Stream(api.door, api.database)
    asked = Request({}, {}, {}, b"")
    answers = [stream.stream(asked) for _ in range(live.MOST_AT_ONCE)]
    with pytest.raises(Problem, match="8 streams are open"):
        stream.stream(asked)
    del answers[0]
    assert stream.stream(asked).status == 200


def test_of_rows_of_one_event_only_the_last_bears_its_number() -> None:
    """Whoever breaks off between two of them gets both again, and loses none."""
    rows = [news.Told(seq, "transition", {"symbol": "X"}) for seq in (7, 7, 9)]
    text = live._events(news.News(rows, 12), "")
    assert [line for line in text.splitlines() if line.startswith("id")] == [
        "id: 6", "id: 7", "id: 9",
    ]  # fmt: skip
