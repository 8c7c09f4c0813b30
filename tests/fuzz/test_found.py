"""What the fuzzer found, each kept as the smallest input that shows it."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from reconciler.bitmex import messages
from reconciler.bitmex.answers import retry_after_us
from reconciler.bitmex.rows import exact, order_seen
from reconciler.cli import parse
from reconciler.config import load
from reconciler.core.events import Source
from reconciler.errors import ConfigError, ProtocolError
from tests.fuzz.frames import Frames
from tests.fuzz.material import DEEP, DEEPER

FRAMES = {
    "too deep, in a filter": b'{"table":"order","action":"partial","filter":{"a":' + DEEP + b"}}",
    "too deep, where nobody looks": b'{"table":"order","x":' + DEEPER + b',"data":[]}',
    "a key that is a list": b'{"table":"order","action":"insert","data":[{"orderID":[1]}]}',
    "a status that is a list": b'{"table":"order","action":"insert","data":[{"orderID":"a",'
    b'"symbol":"XBTUSD","ordStatus":[]}]}',
    "a time without a zone": b'{"table":"execution","action":"insert","data":[{"execID":"a",'
    b'"timestamp":"2026-05-20T11:00:07"}]}',
    "a price that is a huge zero": b'{"table":"order","action":"insert","data":[{"orderID":"a",'
    b'"symbol":"XBTUSD","side":"Buy","orderQty":1,"price":0e999999}]}',
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_cannot_be_read_loses_the_connection(name: str, tmp_path: Path) -> None:
    """The gateway ends the connection, says so, and its thread goes on."""
    subject = Frames(Random(1), tmp_path)
    subject.connect()
    events = subject.give(FRAMES[name])
    assert subject.gateway._session is None
    assert [type(event).__name__ for event in events] == ["StreamLost"]
    subject.close()


def test_a_key_column_stays_when_an_update_unsets_it(tmp_path: Path) -> None:
    """An update that means a row by a part of its key, and has null for the rest, keeps the key."""
    subject = Frames(Random(1), tmp_path)
    subject.connect()
    subject.give(
        b'{"table":"position","action":"update","data":[{"account":1001,"symbol":"XBTUSD",'
        b'"strategy":null,"currentQty":7}]}'
    )
    table = subject.gateway._accounts.tables["position"]
    assert all(table._key(row) == key for key, row in table.rows.items())
    subject.close()


@pytest.mark.parametrize("said", ["1e999999", "-1e999999", "9e99999999999", "1e-999999"])
def test_no_retry_after_is_too_large_to_read(said: str) -> None:
    """A header that names a time beyond arithmetic is cut to what we believe."""
    assert 0 <= retry_after_us({"retry-after": said}, 0) <= 300_000_000


def test_numbers_that_fit_no_column_are_refused() -> None:
    """Two quantities may not add up to one that the journal refuses."""
    row = {"symbol": "XBTUSD", "orderID": "a", "side": "Buy", "cumQty": 2**62, "leavesQty": 2**62}
    with pytest.raises(ProtocolError):
        order_seen(row, Source.READ, 1)


def test_a_price_with_more_digits_than_arithmetic_keeps_is_refused() -> None:
    """What would be rounded later is not taken in."""
    (row,) = messages.rows(b'[{"price":61250.500000000000000000000000000001}]')
    with pytest.raises(ProtocolError):
        exact(row["price"], "price")


def test_a_moment_long_before_the_venue_existed_is_the_beginning() -> None:
    """What a listing is asked to begin with fits the column that it is compared with."""
    assert parse.moment_us("999999999w") == 0


@pytest.mark.parametrize(
    "text",
    ["limits = " + "9" * 5_000, "symbols = " + "[" * 5_000 + "]" * 5_000, "[log]\nlevel = 1e99999"],
)
def test_a_file_that_no_parser_can_hold_is_refused(text: str, tmp_path: Path) -> None:
    """Numbers and lists without end are the file's fault, and said so."""
    file = tmp_path / "reconciler.toml"
    file.write_text(text)
    with pytest.raises(ConfigError):
        load([file], environ={})


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    """A table where a section was meant is not shown: what stands in it may be the key."""
    file = tmp_path / "reconciler.toml"
    file.write_text('[[api]]\napi_secret = "canary-5f1c0a"\n')
    with pytest.raises(ConfigError) as told:
        load([file], environ={})
    assert "canary" not in str(told.value)
