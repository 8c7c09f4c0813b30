"""Questions about the past: filters, order, and nothing but reading."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from reconciler.core import events as e
from reconciler.errors import ConfigError, NotFound, Refused, Unreachable, UsageError
from reconciler.journal import History, readers
from tests.journal.making import T0, Books, opened, stepped, story, target


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "journal.db"
    with opened(path) as journal:
        journal.record(stepped(Books(), story(30, 400)))
    return path


def test_rows_are_chosen_by_symbol_time_and_number(path: Path) -> None:
    """Filters agree with a plain walk over all rows, in both directions."""
    since, until = T0 + 10_000_000, T0 + 60_000_000
    with History.open(path) as history:
        every = history.rows("v_fills", limit=0, newest_first=False).dicts()
        assert len(every) > 100
        wanted = [
            row
            for row in every
            if row["symbol"] in {"XBTUSD", "SOLUSD"}
            and since // 1000 <= row["at_ms"] < until // 1000
        ]
        found = history.rows(
            "v_fills", symbol=["XBTUSD", "SOLUSD"], since_us=since, until_us=until, limit=0,
            newest_first=False,
        )  # fmt: skip
        assert found.dicts() == wanted
        newest = history.rows("v_fills", symbol=["XBTUSD", "SOLUSD"], limit=5).dicts()
        assert newest == [r for r in every if r["symbol"] != "ETHUSD"][-1:-6:-1]


def test_times_as_text_are_compared_as_times(path: Path) -> None:
    """Views whose times are ISO text cut at the same moment as those with numbers."""
    middle = T0 + 50_000_000
    with History.open(path) as history:
        later = history.rows("v_targets", since_us=middle, limit=0).dicts()
        earlier = history.rows("v_targets", until_us=middle, limit=0).dicts()
        every = history.rows("v_targets", limit=0).dicts()
        assert later + earlier == every
        assert later
        assert earlier
        assert min(row["set_at"] for row in later) >= "2026-11-18T11:07:30.000Z"
        (day,) = {row["day"] for row in history.rows("v_daily", since_us=T0).dicts()}
        assert day == "2026-11-18"
        assert history.rows("v_daily", until_us=T0 - 86_400_000_000).values == []


def test_the_present_and_its_symbols(path: Path) -> None:
    """Status has one row a symbol, in their order."""
    with History.open(path) as history:
        assert history.symbols() == ["ETHUSD", "SOLUSD", "XBTUSD"]
        assert [row["symbol"] for row in history.status().dicts()] == history.symbols()
        assert history.last_seq() == 400
        assert history.meta()["account"] == "main"


def test_an_order_with_everything_around_it(path: Path) -> None:
    """An order comes with its intent, its requests and its transitions."""
    with History.open(path) as history:
        name = history.rows("v_orders").dicts()[-1]["cl_ord_id"]
        found = history.order(name)
        assert found["intents"].dicts()[0]["reason"] == "gap"
        assert found["requests"].dicts()[0]["kind"] == "placeorder"
        assert found["v_transitions"].dicts()[0]["trigger"] == "place"
        with pytest.raises(NotFound):
            history.order("rc-nobody")


def test_a_new_order_is_asked_for_once_answered_or_not(tmp_path: Path) -> None:
    """Its request is its intent until the answer comes, and one row with the answer afterwards."""
    path, at_us = tmp_path / "journal.db", T0 + 1_000
    answered = e.Answered(at_us=at_us, request_id=1, outcome=e.Outcome.DONE, status=200)
    with opened(path) as journal:
        journal.record(stepped(Books(), [target("XBTUSD", 300, 1)]))
        journal.tell()
        with History.open(path) as history:
            (before,) = history.order("rc-k3f9-1-1")["requests"].dicts()
            journal.record([(answered, [], [])])
            (after,) = history.order("rc-k3f9-1-1")["requests"].dicts()
    assert (before["request_id"], before["kind"], before["outcome"]) == (1, "placeorder", None)
    answer = {"outcome": "done", "status": 200, "answered_us": at_us}
    assert {**after, "code": None, "text": None, "venue_order_id": None} == before | answer


def test_positions_are_told_once(path: Path) -> None:
    """Fills say where the position went: beside them stands only where it began."""
    with History.open(path) as history:
        found = history.query("SELECT symbol, anchor, count(*) FROM positions GROUP BY 1, 2")
    assert found.values == [(symbol, 0, 1) for symbol in ("ETHUSD", "SOLUSD", "XBTUSD")]


def test_events_come_page_by_page(path: Path) -> None:
    """All events, in order, without a gap."""
    with History.open(path) as history:
        assert [row[0] for row in history] == list(range(1, 401))
        assert history.events(after=398).columns[:2] == ("seq", "at_us")
        assert len(history.events(after=398).values) == 2


def test_what_does_not_exist_is_named(path: Path, tmp_path: Path) -> None:
    """A wrong view, a view without symbols, a missing file and a stranger's file are refused."""
    with History.open(path) as history:
        with pytest.raises(NotFound, match="v_nothing"):
            history.rows("v_nothing")
        with pytest.raises(NotFound, match="no symbols"):
            history.rows("v_runs", symbol=["XBTUSD"])
    with pytest.raises(Unreachable, match="reconciler run"):
        History.open(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("symbol,contracts\n" * 100)
    with pytest.raises(ConfigError, match="not a database"):
        History.open(tmp_path / "text.db")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO meta VALUES ('a', 'b')",
        "DELETE FROM targets",
        "DROP VIEW v_fills",
        "ATTACH 'other.db' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO 'copy.db'",
        "SELECT load_extension('x')",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "SELECT count(*) FROM journal a, journal b, journal c, journal d",
        "SELECT printf('%.*c', 900000000, 'x')",
        "SELECT PrintF('%.*c', 900000000, 'x')",
        "SELECT zeroblob(900000000)",
        "SELECT group_concat(a.event, b.event) FROM journal a, journal b",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    ],
)
def test_a_query_only_reads_and_not_for_long(path: Path, tmp_path: Path, sql: str) -> None:
    """Whatever a query tries, it is refused within a second, and leaves no file and no change."""
    before = path.read_bytes()
    os.chdir(tmp_path)
    started = time.monotonic()
    with History.open(path) as history:
        with pytest.raises(Refused):
            history.query(sql, limit=1_000)
        assert history.query("SELECT count(*) FROM journal").values == [(400,)]
    assert time.monotonic() - started < 2
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_nonsense_is_a_mistake_of_usage(path: Path) -> None:
    """A query that SQLite does not understand, or two at once, says so."""
    with History.open(path) as history:
        for sql in ("SELEKT 1", "SELECT 1; SELECT 2", "SELECT nothing FROM v_fills", "SELECT ?"):
            with pytest.raises(UsageError):
                history.query(sql)


def test_a_reader_does_not_disturb_or_tidy_up(tmp_path: Path) -> None:
    """A reader that is the last to close leaves the database and its log as they are."""
    path = tmp_path / "journal.db"
    journal = opened(path)
    journal.record(stepped(Books(), story(31, 50)))
    with History.open(path) as history:
        assert history.last_seq() == 50
        journal.record([(e.Tick(at_us=number), [], []) for number in range(5)])
        assert history.last_seq() == 55
    journal._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    log, database = path.with_name("journal.db-wal").read_bytes(), path.read_bytes()
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / "journal.db").write_bytes(database)
    (crashed / "journal.db-wal").write_bytes(log)
    with History.open(crashed / "journal.db") as history:
        assert history.last_seq() == 55
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            history._db.execute("DELETE FROM targets")
    assert (crashed / "journal.db").read_bytes() == database
    assert (crashed / "journal.db-wal").read_bytes() == log
    journal.close()


def test_a_folder_that_may_not_be_written_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite cannot make its own files and no log is there, the file is read as it is."""
    tried = []
    real = sqlite3.connect

    def refuse(address: str, **more: object) -> sqlite3.Connection:
        tried.append(address)
        if "immutable" not in address:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return real(address, **more)  # type: ignore[call-overload,no-any-return]

    path.with_name("journal.db-wal").unlink(missing_ok=True)
    monkeypatch.setattr(sqlite3, "connect", refuse)
    with readers.connect(path) as db:
        assert db.execute("SELECT count(*) FROM journal").fetchone() == (400,)
    assert len(tried) == 2
    path.with_name("journal.db-wal").touch()
    with pytest.raises(Unreachable):
        readers.connect(path)
    path.with_name("journal.db-wal").unlink()
