"""
Before a start: does the venue accept the key?

Asked once, before a row is written, so that a wrong key is one clear sentence and no service that
knocks for ever. A venue that does not answer is no reason not to start: the service waits for it.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import TYPE_CHECKING

from reconciler.errors import ConfigError

if TYPE_CHECKING:
    from reconciler.bitmex.config import BitmexConfig
    from reconciler.config import AppConfig

TIMEOUT_S = 5.0
EXPIRES_S = 60
QUESTION = "/api/v1/position?count=1"
WHO = "/api/v1/user/margin?currency=XBt"
NO_ANSWER = 8  # the exit code of what cannot be reached


def check_key(config: AppConfig, bitmex: BitmexConfig) -> bool:
    """
    Ask the venue a harmless signed question.

    Returns:
        Whether it answered at all.

    Raises:
        ConfigError: It knows no such key, or the signature is wrong, or our clock is.
    """
    status, body = _ask(bitmex, QUESTION)
    if status not in {401, 403}:
        return status != 0
    said = bitmex.redacted(_message(body))
    origin = config.origins().get("exchange.api_key", "default")
    if "expired" in said:
        raise ConfigError(
            f"{bitmex.base_url} says that our request has expired: {said!r}",
            next_step="Set the clock of this machine right.",
            status=status,
        )
    raise ConfigError(
        f"{bitmex.base_url} does not accept the key of exchange.api_key ({origin}): {said!r}",
        next_step="Set api_key and api_secret of this environment, and see that both are of it.",
        status=status,
        setting="exchange.api_key",
    )


def venue_account(bitmex: BitmexConfig) -> int:
    """The number of the venue's account that the key is of; 0 if the venue doesn't say."""
    status, body = _ask(bitmex, WHO)
    try:
        found = json.loads(body)["account"] if status == 200 else 0
    except (ValueError, KeyError, TypeError):
        return 0
    return found if type(found) is int else 0


def _ask(bitmex: BitmexConfig, question: str) -> tuple[int, bytes]:
    """Status and body of the answer; 0 if there was none."""
    from reconciler.bitmex.signing import Signer

    to = bitmex.rest
    path = to.path + question
    expires = int(time.time()) + EXPIRES_S
    headers = {
        "Accept": "application/json",
        "api-key": bitmex.api_key,
        "api-expires": str(expires),
        "api-signature": Signer(bitmex.api_key, bitmex.api_secret).sign("GET", path, expires),
    }
    connection: http.client.HTTPConnection
    if to.secure:
        from reconciler.bitmex import net, rest

        context = net.tls(bitmex.ca_file or rest.authorities())
        connection = http.client.HTTPSConnection(
            to.host, to.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(to.host, to.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(10_000)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _message(body: bytes) -> str:
    """What the venue said, cut short."""
    try:
        return str(json.loads(body)["error"]["message"])[:200].rstrip(".")
    except (ValueError, KeyError, TypeError):
        return "no reason given"
