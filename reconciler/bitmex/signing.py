"""
Signatures: proof that a request comes from the holder of a key, without sending the secret.

A signature is the lower-case hex HMAC-SHA256 of verb + path + expiry + body, keyed with the
secret. The path is what is sent after the host, query string included, byte for byte; the expiry
is the decimal text of the header `api-expires`, whole seconds.

Source: https://www.bitmex.com/app/apiKeysUsage, whose vectors are the tests of this module.
"""

from __future__ import annotations

import hashlib
import hmac

STREAM_PATH = "/realtime"  # signed for the stream, whatever its host and query


class Signer:
    """Signs for one key. Holds the secret only as a keyed hash, and shows neither."""

    def __init__(self, api_key: str, api_secret: str) -> None:
        self.api_key = api_key
        self._keyed = hmac.new(api_secret.encode(), digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return "Signer()"

    def sign(self, verb: str, path: str, expires: int, body: bytes = b"") -> str:
        """
        The header `api-signature` of a request.

        Args:
            verb: In upper case.
            path: From the first slash after the host on, as sent.
            expires: The venue's time in whole seconds after which the request is void.
            body: As sent; empty when there is none.
        """
        keyed = self._keyed.copy()
        keyed.update(f"{verb}{path}{expires}".encode() + body)
        return keyed.hexdigest()

    def stream_login(self, expires: int) -> dict[str, object]:
        """The command that authenticates a stream. It carries the signature: never log it."""
        signature = self.sign("GET", STREAM_PATH, expires)
        return {"op": "authKeyExpires", "args": [self.api_key, expires, signature]}
