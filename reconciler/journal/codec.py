"""
Bytes of the journal: canonical JSON of events, decisions and ledgers, and back.

Integers stay integers and decimals become text; there is no float. Equal values give equal bytes,
so bytes can be hashed and compared. What was written stays readable for ever: a row says which
form it has, and the functions of `UPCASTERS` lead from each form to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from reconciler.core.decisions import AnyDecision
from reconciler.core.events import AnyEvent, Event
from reconciler.errors import SchemaError

Shape = TypeVar("Shape")

#: The form that this program writes: of an event and of the decisions stored with it.
FORMAT: Final = 1


class Upcaster(NamedTuple):
    """How a row of one form becomes one of the next. Both work on plain JSON values."""

    event: Callable[[dict[str, Any]], dict[str, Any]]
    decisions: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


#: Form v -> how to get to v + 1. Kept for ever.
UPCASTERS: dict[int, Upcaster] = {}

_encoder = msgspec.json.Encoder(order="deterministic", decimal_format="string")
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_decisions: msgspec.json.Decoder[list[AnyDecision]] = msgspec.json.Decoder(list[AnyDecision])

encode: Final[Callable[[object], bytes]] = _encoder.encode


def kind_of(event: Event) -> str:
    """The word that names an event's type in the journal."""
    return str(event.__struct_config__.tag)


def decode_row(
    version: int,
    event: str | bytes,
    decisions: str | bytes,
    *,
    current: int = FORMAT,
    upcasters: Mapping[int, Upcaster] = UPCASTERS,
) -> tuple[AnyEvent, list[AnyDecision]]:
    """
    Read a row of the journal, of whatever form.

    Raises:
        SchemaError: A newer program wrote it.
        msgspec.MsgspecError: It is not what its version says.
    """
    if version != current:
        event, decisions = _upcast(version, event, decisions, current, upcasters)
    if len(decisions) == 2:  # "[]": most of them
        return _events.decode(event), []
    return _events.decode(event), _decisions.decode(decisions)


def _upcast(
    version: int,
    event: str | bytes,
    decisions: str | bytes,
    current: int,
    upcasters: Mapping[int, Upcaster],
) -> tuple[bytes, bytes]:
    if version > current:
        raise SchemaError(
            f"a journal row has form {version}, this program reads up to {current}",
            found=version,
            known=current,
        )
    plain: dict[str, Any] = msgspec.json.decode(event)
    decided: list[dict[str, Any]] = msgspec.json.decode(decisions)
    for form in range(version, current):
        caster = upcasters[form]
        plain, decided = caster.event(plain), caster.decisions(decided)
    return encode(plain), encode(decided)


def encode_decisions(decisions: Sequence[AnyDecision]) -> bytes:
    """The decisions of one event as a JSON array."""
    return encode(decisions) if decisions else b"[]"


def decode_ledger(raw: bytes, shape: type[Shape]) -> Shape:
    """
    A ledger from its canonical bytes.

    Raises:
        msgspec.MsgspecError: They are not those of this *shape*.
    """
    return msgspec.json.decode(raw, type=shape)


def digest(raw: bytes) -> bytes:
    """SHA-256, to name bytes by."""
    return hashlib.sha256(raw).digest()
