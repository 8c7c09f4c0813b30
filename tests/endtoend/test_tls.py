"""The troubles of TLS between the real service and the paper exchange; then they end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endtoend.forked import Forked
from tests.endtoend.house import wait_for
from tests.endtoend.proxy import Proxy
from tests.endtoend.tls_front import TROUBLES, TlsFront
from tests.endtoend.zygote import Zygote

SYMBOL = "XBTUSD"
SETTLED_S = 60
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Secured:
    """A house whose only way to the venue is TLS, and behind it the proxy."""

    def __init__(self, house: Forked, front: TlsFront, proxy: Proxy) -> None:
        self.house = house
        self.front = front
        self.proxy = proxy

    def hold(self, contracts: int) -> None:
        """Set the target, and wait until everybody agrees that it is held."""
        self.house.set_target(SYMBOL, contracts)
        self.wait(contracts)

    def wait(self, contracts: int) -> None:
        """Wait until everybody agrees that *contracts* are held."""
        held = {SYMBOL: contracts}
        wait_for(f"{held} held", lambda: self.house.held(held) or None, SETTLED_S, every_s=0.1)

    def prove(self) -> None:
        """All is true now, after a stop, and again by replay."""
        self.house.check()
        assert self.house.stop() == 0, self.house.tail()
        self.house.check()
        self.house.replay()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One that the service trusts, and one of a stranger, both for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED over TLS: there is no openssl to make a certificate with")
    made = tmp_path_factory.mktemp("trusted"), tmp_path_factory.mktemp("stranger")
    for folder in made:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
             "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """The parent of all processes of this module."""
    with Zygote() as made:
        yield made


@pytest.fixture
def secured(certificates: tuple[Path, Path], zygote: Zygote, tmp_path: Path) -> Iterator[Secured]:
    """The service runs, and holds 300."""
    trusted, stranger = certificates
    authority = trusted / "cert.pem"
    with Forked(tmp_path, zygote, symbols=(SYMBOL,), trusted=authority) as made:
        with Proxy(made.venue_port) as proxy, TlsFront(proxy.port, trusted, stranger) as front:
            made.redirect(front.url)
            made.start()
            wait_for("in sync", lambda: made.service_row().get("in_sync") or None)
            found = Secured(made, front, proxy)
            found.hold(300)
            yield found


@pytest.mark.parametrize("trouble", TROUBLES)
def test_while_nobody_proves_to_be_the_venue_nothing_is_sent(
    trouble: str, secured: Secured
) -> None:
    """No byte of an order leaves before the other side is known; after that the target is held."""
    house, front = secured.house, secured.front
    front.trouble = trouble
    front.cut()
    wait_for("the loss is seen", lambda: not house.service_row().get("in_sync") or None)
    asked = len(house.truth()["requests"])
    house.set_target(SYMBOL, -200)
    wait_for(f"{trouble} is met", lambda: front.met[trouble] >= 3 or None)
    assert not front.carried[trouble], "it speaks to somebody it does not know"
    assert len(house.truth()["requests"]) == asked
    assert house.truth()["positions"][SYMBOL] == 300
    front.trouble = ""
    if trouble == "silent":
        front.cut()
    secured.wait(-200)
    secured.prove()


@pytest.mark.parametrize("fault", ["truncate", "drop-answer", "late"])
def test_an_answer_that_tls_does_not_finish_is_no_answer(fault: str, secured: Secured) -> None:
    """Without its farewell, in or before an answer, the end of TLS is no answer: a doubt."""
    secured.proxy.fault(fault, delay_s=0.8)
    secured.hold(600)
    assert secured.proxy.struck[fault] == 1
    secured.hold(-200)
    secured.prove()


def test_an_order_that_meets_the_end_of_tls_is_neither_doubled_nor_lost(secured: Secured) -> None:
    """All connections are cut while orders are written; each is done once or not at all."""
    for contracts in (-200, 400, -300):
        secured.house.set_target(SYMBOL, contracts)
        secured.front.cut()
    secured.wait(-300)
    secured.prove()
