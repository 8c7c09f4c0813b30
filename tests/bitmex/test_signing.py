"""Signatures against the vectors that BitMEX published, and some of our own."""

from __future__ import annotations

import pytest

from reconciler.bitmex.signing import Signer

KEY = "LAqUlngMIQkIUjXMUreyu3qn"
SECRET = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO"


@pytest.mark.parametrize(
    ("verb", "path", "expires", "body", "signature"),
    [
        (
            "GET",
            "/api/v1/instrument",
            1518064236,
            b"",
            "c7682d435d0cfe87c16098df34ef2eb5a549d4c5a3c2b1f0f77b8af73423bf00",
        ),
        (
            "GET",
            "/api/v1/instrument?filter=%7B%22symbol%22%3A+%22XBTM15%22%7D",
            1518064237,
            b"",
            "e2f422547eecb5b3cb29ade2127e21b858b235b386bfa45e1c1756eb3383919f",
        ),
        (
            "POST",
            "/api/v1/order",
            1518064238,
            (
                b'{"symbol":"XBTM15","price":219.0,'
                b'"clOrdID":"mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA","orderQty":98}'
            ),
            "1749cd2ccae4aa49048ae09f0b95110cee706e0944e6a14ad0b3a8cb45bd336b",
        ),
        (
            "GET",
            "/realtime",
            1518064236,
            b"",
            "6d459dc02866d35a2b965edeecc68063d488e296b77982235fc6eca24b934945",
        ),
        (
            "DELETE",
            "/api/v1/order",
            1518064239,
            b'{"orderID":"11111111-2222-3333-4444-555555555555"}',
            "cd6a7c2e12a95f879eece63b8175c69d41428d4fd31c460cd21e01f8b0795b6a",
        ),
        (
            "POST",
            "/api/v1/order",
            1518064240,
            b"symbol=XBTUSD&orderQty=100&price=50000.5",
            "6f9713d72fda7ef9d77cee7056d2e5abbfd74d72c6883e799238039c5054c595",
        ),
    ],
)
def test_known_signatures(verb: str, path: str, expires: int, body: bytes, signature: str) -> None:
    """Each published request has its published signature, and signing twice gives it twice."""
    signer = Signer(KEY, SECRET)
    assert signer.sign(verb, path, expires, body) == signature
    assert signer.sign(verb, path, expires, body) == signature


def test_stream_login() -> None:
    """The login of a stream signs the bare path with whole seconds."""
    assert Signer(KEY, SECRET).stream_login(1518064236) == {
        "op": "authKeyExpires",
        "args": [
            KEY,
            1518064236,
            "6d459dc02866d35a2b965edeecc68063d488e296b77982235fc6eca24b934945",
        ],
    }
