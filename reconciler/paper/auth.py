"""
Who is asking: API keys, signatures and expiry (protocol sheet, section 2).

The signature is checked over the request target as it arrived, byte for byte: clients encode
queries differently, and a verifier that re-encodes refuses honest requests.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from . import errors

FIRST_ACCOUNT = 1001
PERMISSIONS = ("order", "orderCancel", "withdraw")  # section 2.3; without one a key may read


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key."""

    key: str
    secret: str
    account: int
    permissions: tuple[str, ...] = ("order",)  # "order", "orderCancel", or none to read only
    enabled: bool = True
    cidrs: tuple[str, ...] = ()  # addresses that may use it; none named: all

    @classmethod
    def parse(cls, text: str) -> Key:
        """
        A key of ``ID:SECRET[:ACCOUNT[:PERMISSIONS]]``, as it is written on a command line.

        Permissions are joined by ``+``; none after the last colon leaves a key that only reads.

        Raises:
            ValueError: it is not written so, or BitMEX has no such key.
        """
        key, secret, account, permissions = (*text.split(":"), "", "", "")[:4]
        held = tuple(p for p in permissions.split("+") if p)
        if text.count(":") < 3:
            held = ("order",)
        if not (key and secret) or text.count(":") > 3 or not (account or "1").isdecimal():
            raise ValueError(f"{text!r} is no key: write ID:SECRET[:ACCOUNT[:PERMISSIONS]]")
        if wrong := [p for p in held if p not in PERMISSIONS]:
            raise ValueError(f"{wrong[0]!r} is no permission of a key: {', '.join(PERMISSIONS)}")
        if "order" in held and "orderCancel" in held:
            raise ValueError(f"{text!r}: order and orderCancel are not had together")
        number = int(account) if account else FIRST_ACCOUNT
        if not number:
            raise ValueError(f"{text!r}: account 0 is the house's")
        return cls(key=key, secret=secret, account=number, permissions=held)

    def admits(self, address: str) -> bool:
        """Whether the key may be used from an address."""
        if not self.cidrs:
            return True
        try:
            asking = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(asking in ipaddress.ip_network(cidr, strict=False) for cidr in self.cidrs)

    def may_order(self) -> bool:
        return "order" in self.permissions

    def may_cancel(self) -> bool:
        return "order" in self.permissions or "orderCancel" in self.permissions


DEFAULT_KEYS: tuple[Key, ...] = (
    Key(key="sim-key", secret="sim-secret", account=FIRST_ACCOUNT),
    Key(key="sim-key-2", secret="sim-secret-2", account=1002),
)


def sign(secret: str, verb: str, path: str, expires: str, body: bytes = b"") -> str:
    """Hex HMAC-SHA256 of verb, path with query, expires and body, as in section 2.1."""
    signing = _keyed(secret).copy()
    signing.update((verb + path + expires).encode() + body)
    return signing.hexdigest()


@lru_cache(maxsize=1_024)
def _keyed(secret: str) -> hmac.HMAC:
    """An HMAC that has the key already: to set it up takes as long as to sign an order."""
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


class KeyRing:
    """The keys that the venue knows."""

    def __init__(self, keys: tuple[Key, ...] = DEFAULT_KEYS) -> None:
        self._keys: dict[str, Key] = {key.key: key for key in keys}

    def accounts(self) -> list[int]:
        return sorted({key.account for key in self._keys.values()})

    def of_account(self, account: int) -> list[Key]:
        return [key for key in self._keys.values() if key.account == account]

    def verify(
        self, credentials: Mapping[str, str], verb: str, target: str, body: bytes, now_ms: int
    ) -> Key:
        """
        Check a signed request.

        Args:
            credentials: ``api-key``, ``api-expires`` and ``api-signature`` as received.
            verb: Upper-case HTTP verb.
            target: Path and query exactly as received.
            body: Raw bytes of the body.
            now_ms: Venue time in milliseconds since the epoch.

        Raises:
            Refusal: 401, in BitMEX's words.
        """
        name = credentials.get("api-key", "")
        expires = credentials.get("api-expires", "")
        signature = credentials.get("api-signature", "")
        if not name or not signature or not expires:
            raise errors.unauthorized()
        key = self._keys.get(name)
        if key is None:
            raise errors.bad_key()
        if not key.enabled:
            raise errors.disabled_key()
        expected = sign(key.secret, verb, target, expires, body)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise errors.bad_signature()
        if expires_ms(expires) <= now_ms:
            raise errors.expired(now_ms // 1000)
        return key


def expires_ms(text: str) -> int:
    """
    `api-expires` in milliseconds; what is sent are seconds.

    Some clients send milliseconds, and ccxt pro sends *now* in milliseconds. BitMEX took them for
    seconds like all others, asked only whether they are in the future, and let those clients in.
    """
    if not (text.isascii() and text.isdigit()):
        raise errors.bad_signature()  # what official clients met when they sent decimals
    return int(text[:30]) * 1000
