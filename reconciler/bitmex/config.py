"""Where the venue is, and who we are there."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from reconciler.errors import ConfigError

from .net import Address, address

ENVIRONMENTS = {
    "live": ("https://www.bitmex.com", "wss://ws.bitmex.com/realtime"),
    "testnet": ("https://testnet.bitmex.com", "wss://ws.testnet.bitmex.com/realtime"),
}

_SIGNATURE = re.compile("[0-9a-fA-F]{64}")
_SIGNATURE_BYTES = re.compile(b"[0-9a-fA-F]{64}")


def addresses(environment: str) -> tuple[str, str]:
    """
    Base and websocket URL of one of BitMEX's own venues.

    Args:
        environment: "live" or "testnet".

    Raises:
        ConfigError: It is neither.
    """
    try:
        return ENVIRONMENTS[environment]
    except KeyError:
        raise ConfigError("the environment is live or testnet", environment=environment) from None


def stream_address(base_url: str, ws_url: str = "") -> Address:
    """Where the websocket is: at *ws_url*, or on the host of *base_url*."""
    if ws_url:
        return address(ws_url, ("ws", "wss"))
    at = address(base_url, ("http", "https"))
    return Address(at.secure, at.host, at.port, f"{at.path}/realtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class BitmexConfig:
    """
    All that a gateway needs to know.

    Neither key nor secret is in its repr. An empty ``ws_url`` is the host of ``base_url``, path
    /realtime; an empty ``ca_file`` means the usual certificate authorities.
    """

    base_url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    symbols: tuple[str, ...]
    ws_url: str = ""
    rest_timeout_s: float = 7.0
    account: str = "main"
    ca_file: str = ""

    def __post_init__(self) -> None:
        for name, value in (("key", self.api_key), ("secret", self.api_secret)):
            if not value or not value.isascii() or not value.isprintable() or " " in value:
                raise ConfigError(f"the API {name} must be plain text without blanks")
        if not 0 < self.rest_timeout_s <= 60:
            raise ConfigError("rest_timeout_s must be above 0 and at most 60")
        for symbol in self.symbols:
            if not symbol or not symbol.isascii() or not symbol.isprintable():
                raise ConfigError("a symbol must be plain text", symbol=symbol)

    @property
    def rest(self) -> Address:
        """Where requests go."""
        return address(self.base_url, ("http", "https"))

    @property
    def stream(self) -> Address:
        """Where the websocket is."""
        return stream_address(self.base_url, self.ws_url)

    def redacted(self, said: str) -> str:
        """*said* by others, without our key, secret, or anything like a signature."""
        for hidden in (self.api_secret, self.api_key):
            said = said.replace(hidden, "***")
        return _SIGNATURE.sub("***", said)

    def redacted_bytes(self, said: bytes) -> bytes:
        """The same for a body, before anything of it is cut."""
        for hidden in (self.api_secret, self.api_key):
            said = said.replace(hidden.encode(), b"***")
        return _SIGNATURE_BYTES.sub(b"***", said)
