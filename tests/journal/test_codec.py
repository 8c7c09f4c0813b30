"""Bytes of the journal: canonical, exact, and readable for ever."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from reconciler.core import events as e
from reconciler.errors import SchemaError
from reconciler.journal import codec
from reconciler.journal.present import exact, pack, unpack
from tests.journal.making import Books, place, stepped, story, target


def test_events_and_decisions_come_back_as_they_were() -> None:
    """Encoding and decoding changes nothing, whatever the kind."""
    for event, decisions, _ in stepped(Books(), story(20, 200)):
        raw, decided = codec.encode(event), codec.encode_decisions(decisions)
        assert codec.decode_row(codec.FORMAT, raw, decided) == (event, decisions)
        assert codec.encode(msgspec.json.decode(raw, type=type(event))) == raw


def test_prices_are_text_and_keep_every_digit() -> None:
    """A price is not a double on its way to the disk."""
    wish = target("XBTUSD", 1, 1)
    raw = codec.encode(place(1, "rc-1", "XBTUSD", 1, wish, "64231.50000000000000000001"))
    assert b'"price":"64231.50000000000000000001"' in raw
    assert b'"0.1"' in codec.encode(Decimal("0.1"))


def test_equal_ledgers_have_equal_bytes() -> None:
    """The order in which keys and members were added leaves no trace."""
    one = Books(positions={"A": 1, "B": 2}, seen={"x", "y", "z"})
    two = Books(positions={"B": 2, "A": 1}, seen={"z", "y", "x"})
    assert codec.encode(one) == codec.encode(two)


def test_old_forms_are_led_to_the_newest_step_by_step() -> None:
    """A row of form 1 passes every upcaster in turn; one of the newest form passes none."""

    def rename(event: dict[str, Any]) -> dict[str, Any]:
        event["reason"] = event.pop("because")
        return event

    def explain(event: dict[str, Any]) -> dict[str, Any]:
        return event | {"reason": event["reason"] + "!"}

    steps = {
        1: codec.Upcaster(rename, lambda decisions: decisions),
        2: codec.Upcaster(explain, lambda decisions: decisions[:1]),
    }
    old = b'{"kind":"streamlost","at_us":1,"because":"silence"}'
    resync = b'{"kind":"resync","request_id":1,"reason":"r"}'
    event, decisions = codec.decode_row(
        1, old, b"[" + resync + b"," + resync + b"]", current=3, upcasters=steps
    )
    assert event == e.StreamLost(at_us=1, reason="silence!")
    assert len(decisions) == 1
    assert set(codec.UPCASTERS) == set(range(1, codec.FORMAT))


def test_a_row_of_a_newer_program_is_refused() -> None:
    """A form that we do not know is never guessed at."""
    with pytest.raises(SchemaError, match="form 99"):
        codec.decode_row(99, b"{}", b"[]")


@pytest.mark.parametrize(
    ("venue_id", "size"),
    [
        ("a0c4e7d2-61b8-4a7c-8d12-93f5b0e6c102", 16),
        ("A0C4E7D2-61B8-4A7C-8D12-93F5B0E6C102", 36),
        ("a0c4e7d2-61b8-4a7c-8d12-93f5b0e6c10-", 36),
        ("a0c4e7d2-61b8-4a7c-8d12-93f5b0e6 102", 36),
        ("order-1", 7),
        ("", 0),
    ],
)
def test_ids_of_a_venue_are_stored_short_and_read_as_they_were(venue_id: str, size: int) -> None:
    """A UUID in the usual spelling takes 16 bytes; whatever else stays as it is."""
    stored = pack(venue_id)
    assert len(stored) == size
    assert unpack(stored) == venue_id


def test_prices_are_stored_without_an_exponent() -> None:
    """A price reads as a decimal whatever form it was computed in."""
    assert exact(Decimal("6.42E+4")) == "64200"
    assert exact(Decimal("1E-8")) == "0.00000001"
    assert exact(Decimal("64231.50")) == "64231.50"
    assert exact(None) is None
