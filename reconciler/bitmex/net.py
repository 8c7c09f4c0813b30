"""
Opening sockets: one address, pinned; no proxy, no environment, no redirect.

What has a deadline keeps it, however slowly the other side drips.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from reconciler.errors import ConfigError

CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a venue listens."""

    secure: bool
    host: str
    port: int
    path: str  # without a slash at its end

    @property
    def authority(self) -> str:
        """Host and port as in the header `Host`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = 443 if self.secure else 80
        return host if self.port == usual else f"{host}:{self.port}"


def address(url: str, schemes: tuple[str, str]) -> Address:
    """
    Take *url* apart.

    Args:
        url: Of the venue.
        schemes: The plain and the secure one, ("http", "https").

    Raises:
        ConfigError: It is no such URL, or it carries a login, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("exchange.url is not a URL") from None
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise ConfigError(f"exchange.url must begin with {schemes[0]}:// or {schemes[1]}://")
    if parts.query or parts.fragment:
        raise ConfigError("exchange.url must have no query and no fragment")
    secure = parts.scheme == schemes[1]
    return Address(secure, parts.hostname, port or (443 if secure else 80), parts.path.rstrip("/"))


def tls(ca_file: str) -> ssl.SSLContext:
    """The context for secure addresses: whom the authorities in *ca_file* vouch for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=ca_file)
    return context


def connect(
    to: Address, context: ssl.SSLContext | None, timeout_s: float = CONNECT_S
) -> socket.socket:
    """
    Open a socket, TLS included. Small writes leave at once.

    Raises:
        OSError: It could not be opened in time.
    """
    until = time.monotonic() + timeout_s
    plain = socket.create_connection((to.host, to.port), timeout=timeout_s)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not to.secure:
            return plain
        if context is None:
            raise ConfigError("a secure address needs a TLS context")
        plain.settimeout(max(until - time.monotonic(), 0.01))
        return context.wrap_socket(plain, server_hostname=to.host)
    except BaseException:
        plain.close()
        raise


class TimedReader(io.RawIOBase):
    """Reads one answer from a socket: until a moment, and up to a size, in whatever pieces."""

    def __init__(self, sock: socket.socket, until_s: float, most: int) -> None:
        self._sock = sock
        self._until_s = until_s  # by the monotonic clock
        self._most = most
        self.ended = False  # read no more: what is in the buffer is all

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.ended:
            return 0
        left = self._until_s - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not whole in time")
        self._sock.settimeout(left)
        size = self._sock.recv_into(buffer)
        self._most -= size
        if self._most < 0:
            raise ValueError("the answer is too long")
        return size
