"""Signatures, against the published vectors of the protocol sheet, section 2.1."""

import pytest

from reconciler.paper.auth import Key, KeyRing, expires_ms, sign
from reconciler.paper.errors import Refusal

SECRET = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO"
VECTORS = [
    ("GET", "/api/v1/instrument", "1518064236", b"",
     "c7682d435d0cfe87c16098df34ef2eb5a549d4c5a3c2b1f0f77b8af73423bf00"),
    ("GET", "/api/v1/instrument?filter=%7B%22symbol%22%3A+%22XBTM15%22%7D", "1518064237", b"",
     "e2f422547eecb5b3cb29ade2127e21b858b235b386bfa45e1c1756eb3383919f"),
    ("POST", "/api/v1/order", "1518064238",
     b'{"symbol":"XBTM15","price":219.0,"clOrdID":"mm_bitmex_1a/oemUeQ4CAJZgP3fjHsA","orderQty":98}',
     "1749cd2ccae4aa49048ae09f0b95110cee706e0944e6a14ad0b3a8cb45bd336b"),
    ("GET", "/realtime", "1518064236", b"",
     "6d459dc02866d35a2b965edeecc68063d488e296b77982235fc6eca24b934945"),
    ("DELETE", "/api/v1/order", "1518064239",
     b'{"orderID":"11111111-2222-3333-4444-555555555555"}',
     "cd6a7c2e12a95f879eece63b8175c69d41428d4fd31c460cd21e01f8b0795b6a"),
    ("POST", "/api/v1/order", "1518064240", b"symbol=XBTUSD&orderQty=100&price=50000.5",
     "6f9713d72fda7ef9d77cee7056d2e5abbfd74d72c6883e799238039c5054c595"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "path", "expires", "body", "signature"), VECTORS)
def test_the_published_vectors(verb, path, expires, body, signature):
    """Each published request has its published signature, and is admitted before it expires."""
    assert sign(SECRET, verb, path, expires, body) == signature
    ring = KeyRing((Key(key="k", secret=SECRET, account=5),))
    credentials = {"api-key": "k", "api-expires": expires, "api-signature": signature}
    early = 1_518_064_235_999
    assert ring.verify(credentials, verb, path, body, early).account == 5
    with pytest.raises(Refusal, match=r"^This request has expired - `expires` is in the past\. "):
        ring.verify(credentials, verb, path, body, int(expires) * 1000)
    with pytest.raises(Refusal, match=r"^Signature not valid\.$"):
        ring.verify(credentials, verb, path + "x", body, early)


def test_expires_are_seconds_whatever_was_meant_and_have_no_cap():
    """pybotters sends milliseconds, ccxt pro even *now* in milliseconds: in seconds, far ahead."""
    assert expires_ms("1518064236") == 1_518_064_236_000
    assert expires_ms("1518064236123") == 1_518_064_236_123_000
    assert expires_ms("9" * 20) > 10**15
    with pytest.raises(Refusal, match="Signature not valid"):
        expires_ms("1588000000.123")
