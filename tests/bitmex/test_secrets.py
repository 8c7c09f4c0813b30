"""A planted key and secret turn up nowhere but on the wire."""

from __future__ import annotations

import logging
import socket
import time
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from reconciler.bitmex import BitmexConfig, BitmexGateway, addresses
from reconciler.bitmex.answers import Asked, Kind, Reply
from reconciler.bitmex.net import address
from reconciler.bitmex.outgoing import Job
from reconciler.bitmex.signing import Signer
from reconciler.core.decisions import ArmDeadMan, CancelOrder, ReadPosition
from reconciler.core.events import Answered, StreamLost
from reconciler.errors import ConfigError

from .conftest import Paper
from .loop import Loop
from .made import place
from .rogue import Rogue, answer

KEY, SECRET = "CANARYKEY4711", "CANARYSECRET0815"


def shown(thing: object) -> str:
    return f"{thing!r}\n{thing}"


def assert_clean(*things: object) -> None:
    for thing in things:
        text = shown(thing)
        assert KEY not in text, text
        assert SECRET not in text, text


@pytest.mark.parametrize("api_key", [KEY, "sim-key"])
def test_a_refused_key(
    api_key: str, paper: Paper, loop: Loop, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With a wrong key or a wrong secret all is refused, and no event, repr or log shows them."""
    caplog.set_level(logging.DEBUG)
    config = paper.config(api_key=api_key, api_secret=SECRET)
    gateway = loop.run(config)
    loop.wait_for(StreamLost)
    loop.send(CancelOrder(request_id=1, cl_ord_id="rc-1", symbol="XBTUSD", reason=""))
    loop.send(ArmDeadMan(request_id=2, timeout_ms=1000))
    for request_id in (1, 2):
        answered = loop.wait_for(Answered, request_id=request_id)
        assert answered.outcome == "refused"
        assert answered.code == "unauthorised"
    session = gateway._session
    assert_clean(loop.events, gateway, config, gateway.health(), caplog.text, capfd.readouterr())
    assert_clean(*vars(gateway).values(), Signer(KEY, SECRET), session)


def test_a_venue_that_echoes(loop: Loop) -> None:
    """A proxy that repeats our own headers to us does not put them in the journal."""

    def parrot(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        said = rogue.requests[-1]
        answer(connection, said[said.find(b"api-key") :], "502 Bad Gateway")
        return True

    with Rogue(parrot) as rogue:
        config = BitmexConfig(base_url=rogue.url, api_key=KEY, api_secret=SECRET, symbols=())
        gateway = loop.run(config)
        loop.send(CancelOrder(request_id=1, cl_ord_id="rc-1", symbol="XBTUSD", reason=""))
        answered = loop.wait_for(Answered, request_id=1)
        assert answered.outcome == "in_doubt"
        assert "***" in answered.text
        loop.send(ReadPosition(request_id=2, symbol="XBTUSD", reason=""))
        assert "***" in loop.wait_for(Answered, request_id=2).text
        assert_clean(loop.events, gateway.health())
        signed = [request for request in rogue.requests if b"api-signature" in request]
        assert len(signed) >= 2
        for request in signed:
            signature = request.split(b"api-signature: ")[1][:64].decode()
            assert signature[:16] not in shown(loop.events)


def test_parts_show_nothing() -> None:
    """What jobs, signers, configurations and errors about them show is clean."""
    signer = Signer(KEY, SECRET)
    asked = Asked(kind=Kind.PLACE, request_id=1)
    job = Job(asked=asked, data=f"api-key: {KEY}".encode(), urgent=False)
    assert_clean(signer, job, asked, Reply(status=200, headers={}, body=b""))
    config = BitmexConfig(
        base_url="http://127.0.0.1:1", api_key=KEY, api_secret=SECRET, symbols=("XBTUSD",)
    )
    assert_clean(config)
    assert is_dataclass(config)
    assert {f.name for f in fields(config) if not f.repr} == {"api_key", "api_secret"}


@pytest.mark.parametrize(
    "changes",
    [
        {"api_key": f"{KEY}\r\nx-evil: 1"},
        {"api_secret": f"{SECRET} "},
        {"api_secret": ""},
        {"base_url": "ftp://127.0.0.1"},
        {"base_url": f"http://{KEY}:{SECRET}@127.0.0.1"},
        {"base_url": "http://127.0.0.1:99999"},
        {"base_url": f"https://www.bitmex.com/?api-key={KEY}"},
        {"ws_url": "http://127.0.0.1"},
        {"rest_timeout_s": 0},
        {"symbols": ("XBT\nUSD",)},
    ],
)
def test_wrong_configurations(changes: dict[str, Any]) -> None:
    """What can't be right is refused at once, without showing the key that may be in it."""
    settings: dict[str, Any] = {
        "base_url": "http://127.0.0.1:1",
        "api_key": KEY,
        "api_secret": SECRET,
        "symbols": ("XBTUSD",),
        **changes,
    }
    with pytest.raises(ConfigError) as refused:
        BitmexGateway(BitmexConfig(**settings), Loop())
    assert_clean(refused.value)


def test_addresses() -> None:
    """Live and testnet are known by name; every other address says itself where its stream is."""
    assert addresses("live") == ("https://www.bitmex.com", "wss://ws.bitmex.com/realtime")
    assert addresses("testnet")[0] == "https://testnet.bitmex.com"
    with pytest.raises(ConfigError):
        addresses("mainnet")
    config = BitmexConfig(
        base_url="http://127.0.0.1:8766", api_key=KEY, api_secret=SECRET, symbols=()
    )
    assert config.stream == address("ws://127.0.0.1:8766/realtime", ("ws", "wss"))
    for environment in ("live", "testnet"):
        base, stream = addresses(environment)
        there = BitmexConfig(
            base_url=base, ws_url=stream, api_key=KEY, api_secret=SECRET, symbols=()
        )
        assert there.rest.secure
        assert there.stream.secure


def test_the_environment_is_not_looked_at(
    paper: Paper, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment sees nothing of us, neither the stream nor orders nor look-ups."""
    with Rogue(lambda rogue, connection, body: True) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        loop.run(paper.config())
        from reconciler.core.events import Synced

        loop.wait_for(Synced)
        loop.send(place(request_id=1, expires_us=loop.now_us() + 5_000_000))
        loop.wait_for(Answered, request_id=1)
        time.sleep(0.05)
        assert proxy.connections == []
