"""A paper exchange that stands still, and a gateway in a small loop."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.bitmex import BitmexConfig
from reconciler.paper import PaperExchange

from .loop import Loop


class Paper:
    """The paper exchange and its own door."""

    def __init__(self, venue: PaperExchange) -> None:
        self.url = venue.url

    def config(self, **changes: Any) -> BitmexConfig:
        return BitmexConfig(
            **{
                "base_url": self.url,
                "api_key": "sim-key",
                "api_secret": "sim-secret",
                "symbols": ("XBTUSD",),
                "rest_timeout_s": 2.0,
                **changes,
            }
        )

    def tell(self, path: str, **fields: Any) -> Any:
        """POST to the door, or GET without fields."""
        body = json.dumps(fields).encode() if fields or path == "disconnect" else None
        request = urllib.request.Request(
            f"{self.url}/paper/{path}", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def fault(self, name: str, count: int | None = 1, probability: float = 1.0) -> None:
        fields = {"name": name, "probability": probability}
        self.tell("fault", **fields, **({} if count is None else {"count": count}))

    def trade(self, contracts: int) -> None:
        """A person trades on our account."""
        side = "Buy" if contracts > 0 else "Sell"
        self.tell("trade", symbol="XBTUSD", side=side, orderQty=abs(contracts))

    def truth(self) -> Any:
        return self.tell("truth")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that vouches for itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED over TLS: there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def paper() -> Iterator[Paper]:
    """A paper exchange with a still market."""
    with PaperExchange(port=0, seed=7, symbols=("XBTUSD", "ETHUSD"), walk=False) as venue:
        yield Paper(venue)


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop; the gateway in it is closed at the end, and no thread of it is left."""
    with Loop() as made:
        yield made
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith("bitmex-")]
    assert left == []


@pytest.fixture
def in_sync(paper: Paper, loop: Loop) -> Callable[..., Loop]:
    """Starts a gateway and waits until it is in sync."""
    from reconciler.core.events import Synced

    def start(**changes: Any) -> Loop:
        loop.run(paper.config(**changes))
        loop.wait_for(Synced)
        return loop

    return start
