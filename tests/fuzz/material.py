"""
Hostile text made from honest text: JSON whose values, names, order and bytes are changed.

A tree is plain Python: dict, list and scalars. Writing it down is where it is damaged, so that
names can be there twice, numbers can be spelt in any way, and bytes need not be UTF-8.
"""

from __future__ import annotations

import json
import random
from typing import Any

DEEP = b"[" * 3_000 + b"]" * 3_000
DEEPER = b'{"a":' * 20_000 + b"1" + b"}" * 20_000

#: What may stand where another value was meant.
VALUES: tuple[bytes, ...] = (
    *(b"null true false 0 1 -1 -0 -0.0 5.0 100 -300 1e2 6.12505E+4 0.1 1e-400 1e400".split()),
    *(b"0e999999 0e-999999 1e999999999999999999999 61250.5 61250.50000000000000000".split()),
    *(b"4503599627370497 9007199254740993 -9007199254740992 4611686018427387904".split()),
    *(b"9223372036854775807 9223372036854775808 18446744073709551616".split()),
    *(b'NaN Infinity -Infinity [] {} [1] [[]] {"a":1} [null] [{}] "" "5" "5.0" "true"'.split()),
    *(b'"Buy" "Sell" "buy" "Filled" "Canceled" "New" "Rejected" "Trade" "Funding"'.split()),
    *(b'"Settlement" "Replaced" "Nonsense" "XBTUSD" "ETHUSD" "xbtusd" "rc-17" "rc-18"'.split()),
    *(b'"partial" "insert" "update" "delete" "order" "execution" "position" "quote"'.split()),
    *(b'"2026-05-20T11:00:07" "2026-05-20" "2026-05-20T11:00:07.004Z" "20260520"'.split()),
    *(b'"0001-01-01T00:00:00Z" "9999-12-31T23:59:59.999999Z" "2026-02-30T00:00:00Z"'.split()),
    *(b'"2026-05-20T24:00:00Z" "2026-05-20T11:00:07.004+23:59" "\\u0000" "\\ud800"'.split()),
    b"9" * 40,
    b"9" * 5_000,
    b"0." + b"3" * 4_000,
    b"1." + b"0" * 40 + b"1",
    b'"' + b"x" * 3_000 + b'"',
    b'"<b>\\u001b[31m\\u2028</b>"',
    b'"\xff\xfe"',
    b'"\xd0\x91TCUSD"',
    DEEP,
    DEEPER,
)
NAMES: tuple[bytes, ...] = tuple(
    b'"table" "action" "data" "keys" "filter" "error" "status" "symbol" "orderID" "clOrdID" "side"'
    b' "orderQty" "cumQty" "leavesQty" "price" "ordStatus" "execID" "lastQty" "lastPx" "account"'
    b' "currentQty" "timestamp" "contracts" "by" "" "a" "_over" "__class__" "\\u0000"'.split()
)
BITS = (
    b"\x00",
    b"\xff",
    b"\xc3",
    b"}",
    b"]",
    b'"',
    b",",
    b"[",
    b"\\",
    b"\n",
    b"e",
    b"-",
    b"\xef\xbb\xbf",
)


class Writer:
    """Writes trees down; *rate* of the values, and of the names, are something else."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self._rng = rng
        self._rate = rate

    def write(self, tree: Any) -> bytes:
        """The tree as JSON, or as something that was to be JSON."""
        parts: list[bytes] = []
        self._value(tree, parts)
        return b"".join(parts)

    def _value(self, value: Any, parts: list[bytes]) -> None:
        rng = self._rng
        if self._rate and rng.random() < self._rate:
            parts.append(rng.choice(VALUES))
        elif isinstance(value, dict):
            self._object(value, parts)
        elif isinstance(value, list):
            parts.append(b"[")
            for number, one in enumerate(value):
                if number:
                    parts.append(b",")
                self._value(one, parts)
            parts.append(b"]")
        elif isinstance(value, bytes):
            parts.append(value)  # a number in a spelling of its own
        else:
            parts.append(json.dumps(value).encode())

    def _object(self, value: dict[str, Any], parts: list[bytes]) -> None:
        rng, rate = self._rng, self._rate / 2
        parts.append(b"{")
        first = True
        for name, one in value.items():
            drawn = rng.random() if rate else 1.0
            if drawn < rate / 2:
                continue  # missing
            if not first:
                parts.append(b",")
            first = False
            if drawn < rate:
                parts.append(rng.choice(NAMES) + b":")
            else:
                parts.append(json.dumps(name).encode() + b":")
            self._value(one, parts)
            if drawn > 1 - rate:  # and once more
                parts.append(b"," + json.dumps(name).encode() + b":" + rng.choice(VALUES))
        parts.append(b"}")


def damaged(rng: random.Random, said: bytes) -> bytes:
    """The bytes with a piece cut off, changed, put in, repeated or moved."""
    if not said:
        return rng.choice(BITS)
    at = rng.randrange(len(said))
    end = min(len(said), at + rng.randrange(1, 12))
    what = rng.randrange(5)
    if what == 0:
        return said[:at]
    if what == 1:
        return said[:at] + rng.choice(BITS) + said[at + 1 :]
    if what == 2:
        return said[:at] + rng.choice(BITS) + said[at:]
    if what == 3:
        return said[:end] + said[at:]
    return said[end:] + said[:at]


def hostile(rng: random.Random, tree: Any) -> bytes:
    """A tree written down with some damage, or with none."""
    rate = rng.choice((0.0, 0.01, 0.03, 0.1, 0.3))
    said = Writer(rng, rate).write(tree)
    if len(said) < 20_000 and rng.random() < 0.15:
        said = damaged(rng, said)
    return said


def number(rng: random.Random) -> bytes:
    """A number that is right, in one of its spellings."""
    whole, places = rng.randrange(1, 10**7), rng.randrange(0, 6)
    text = f"{whole}" if not places else f"{whole / 10**places:.{places}f}"
    if rng.random() < 0.3:
        digits = text.replace(".", "").lstrip("0") or "0"
        text = f"{digits}{rng.choice('eE')}{-places:+d}"
    return text.encode()
