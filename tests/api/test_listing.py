"""HTTP: the past, page by page, in the form that is asked for, and one thing with its causes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reconciler.api.answers import Text
from reconciler.api.listing import LISTS, _in_form
from reconciler.errors import NotFound, UsageError
from reconciler.journal import History
from reconciler.journal.history import NOW, VIEWS, Rows
from reconciler.remote import Client
from tests.api.test_api import TOKEN, Api
from tests.journal.test_chain_of_reasons import tell

BASE = "/api/v1"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A server over a journal where a good deal has happened."""
    teller = tell(tmp_path / "journal.db")
    served = Api(tmp_path)
    served.teller = teller  # type: ignore[attr-defined]
    served.server.start()
    yield served
    served.server.stop()


def page_by_page(history: History, view: str, limit: int) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        rows, cursor = history.page(view, limit=limit, cursor=cursor)
        assert len(rows.values) <= limit or view in NOW
        found += rows.dicts()
        if not cursor:
            return found


def test_pages_hold_every_row_once(api: Api) -> None:
    """However short they are, and however many rows share a moment."""
    with History.open(api.database) as history:
        for view in VIEWS:
            whole = history.rows(view, limit=0).dicts()
            for limit in (1, 2, 3, 1_000):
                assert page_by_page(history, view, limit) == whole, view


def test_a_listing_is_given_page_by_page(api: Api) -> None:
    """`next` leads on until there is no more; the same rows as a page that holds them all."""
    whole = api.ask("GET", f"{BASE}/transitions?symbol=XBTUSD&limit=1000").json
    assert whole["next"] is None
    rows, cursor = [], ""
    while cursor is not None:
        more = f"&cursor={cursor}" if cursor else ""
        page = api.ask("GET", f"{BASE}/transitions?symbol=XBTUSD&limit=3{more}").json
        rows, cursor = rows + page["rows"], page["next"]
    assert rows == whole["rows"]
    for wrong in ("x", "W10", "Ww", "e30", "WyJhIiwgLTFd", "%C3%A9", "A" * 9_000):
        said = api.ask("GET", f"{BASE}/orders?cursor={wrong}")
        assert (said.status, said.json["code"]) == (400, "bad_request"), wrong


def test_every_listing_has_three_forms(api: Api) -> None:
    """JSON, CSV and lines of JSON hold the same rows, prices as text."""
    for kind in (*LISTS, "targets?history=1"):
        is_in_three_forms(api, kind)


def lasting(row: dict[str, Any]) -> dict[str, Any]:
    """What of a row is the same a second later."""
    return {name: value for name, value in row.items() if name != "age_s"}


def is_in_three_forms(api: Api, kind: str) -> None:
    rows = [lasting(row) for row in api.ask("GET", f"{BASE}/{kind}").json["rows"]]
    lines = api.ask("GET", f"{BASE}/{kind}", Accept="application/x-ndjson")
    assert lines.headers["content-type"].startswith("application/x-ndjson")
    assert [lasting(json.loads(line)) for line in lines.text.splitlines()] == rows
    table = api.ask("GET", f"{BASE}/{kind}", Accept="text/csv, */*;q=0.1")
    assert table.headers["content-type"].startswith("text/csv")
    read = list(csv.DictReader(io.StringIO(table.text)))
    assert len(read) == len(rows)
    for there, row in zip(read, rows, strict=True):
        assert list(lasting(there)) == list(row)
        for name, value in row.items():
            text = "" if value is None else str(value)
            assert there[name] in (text, f"'{text}"), name


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("text/csv;q=0", "json"), ("*/*", "json"), ("", "json"), ("text/html", "json"),
        ("application/json, text/csv;q=0.9", "json"), ("application/json;q=0.5, text/csv", "csv"),
        ("TEXT/*", "csv"), ("text/*;q=0.2, application/x-ndjson; q=0.3", "x-ndjson"),
        ("text/csv;q=0.1, */*;q=0.2", "json"), ("text/csv;q=0.1;q=0", "csv"), (";q=9,/,*", "json"),
    ],
)  # fmt: skip
def test_the_form_that_is_wanted_most_is_given(accept: str, form: str) -> None:
    """As RFC 9110 weighs it: what has the weight 0 is not wanted, what is named more nearly is."""
    answer = _in_form(Rows(("a",), [(1,)]), "", accept)
    kind = answer.body.kind if isinstance(answer.body, Text) else "application/json"
    assert kind.endswith(form)


def test_a_page_of_csv_names_the_next_one(api: Api) -> None:
    said = api.ask("GET", f"{BASE}/transitions?limit=1", Accept="text/csv")
    following = said.headers["x-next-cursor"]
    after = api.ask("GET", f"{BASE}/transitions?limit=1&cursor={following}", Accept="text/csv")
    assert said.text.splitlines()[1] != after.text.splitlines()[1]
    assert "x-next-cursor" not in api.ask("GET", f"{BASE}/transitions?limit=1000").headers


def test_an_order_is_told_with_its_life_and_its_causes(api: Api) -> None:
    """As `describe` and `why` tell it on the command line."""
    name = api.teller.order("r1").cl_ord_id  # type: ignore[attr-defined]
    life = api.ask("GET", f"{BASE}/orders/{name}").json
    assert life["order"]["cl_ord_id"] == name
    assert life["transitions"][0]["trigger"] == "place"
    assert [row["contracts"] for row in life["fills"]] == [40]
    why = api.ask("GET", f"{BASE}/why/{name}").json
    assert (why["target"]["version"], why["target"]["contracts"]) == (1, 40)
    assert [share["strategy"] for share in why["shares"]] == ["A", "B"]
    assert api.ask("GET", f"{BASE}/why/r1-x").json["fill"]["price"] == "100.0"
    now = api.ask("GET", f"{BASE}/why/XBTUSD").json
    assert now["status"]["position"] == 40
    then = api.ask("GET", f"{BASE}/why/XBTUSD?at=2100-01-01T00:00:00Z").json
    assert (then["status"]["position"], then["target"]["version"]) == (40, 3)
    for path in ("orders/none", "why/none", "why/XBTUSD?at=1999-01-01", "diagram?symbol=DOGE"):
        assert api.ask("GET", f"{BASE}/{path}").status == 404, path
    assert api.ask("GET", f"{BASE}/why/XBTUSD?at=soon").status == 400


def test_the_diagram_counts_what_happened(api: Api) -> None:
    """The edges are the table's; the counts are the journal's."""
    found = api.ask("GET", f"{BASE}/diagram?symbol=XBTUSD").json
    rows = api.ask("GET", f"{BASE}/transitions?limit=1000").json["rows"]
    assert sum(edge["count"] for edge in found["edges"]) == len(rows)
    assert (found["current"], found["states"][0]) == ("idle", "idle")
    assert api.ask("GET", f"{BASE}/diagram").json["current"] is None
    assert api.ask("GET", f"{BASE}/diagram?symbol=ETHUSD").json["current"] == "idle"


def test_a_program_reads_as_many_rows_as_it_wants(api: Api, tmp_path: Path) -> None:
    """Over the most that one answer holds, page after page; and writes them to a file."""
    with closing(Client(api.server.url, TOKEN)) as rc:
        whole = rc.transitions(limit=0)
        assert len(whole) > 5
        assert rc.transitions(limit=5) == whole[:5]
        assert rc.rows("transitions", limit=0, page=2) == whole
        assert rc.fills(symbol="XBTUSD")[0]["symbol"] == "XBTUSD"
        assert {row["version"] for row in rc.targets(history=1)} == {1, 2, 3}
        assert [row["version"] for row in rc.rows("targets")] == [3]
        assert rc.rows("schedules")[0]["name"] == "day"
        rc.fills().to_csv(tmp_path / "fills.csv")
        with (tmp_path / "fills.csv").open() as file:
            assert [row["exec_id"] for row in csv.DictReader(file)] == [
                row["exec_id"] for row in rc.fills()
            ]
        assert [len(rows) > 0 for rows in (rc.executions(), rc.orders(), rc.daily())] == [True] * 3
        assert rc.why(api.teller.order("r1").cl_ord_id)["target"]["version"] == 1  # type: ignore[attr-defined]
        with pytest.raises(NotFound):
            rc.why("nobody")
        with pytest.raises(UsageError, match="pandas is not installed"):
            rc.fills().to_pandas()
