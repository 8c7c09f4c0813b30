"""The order path against servers that misbehave: one request is written once, whatever happens."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.bitmex import connection as connection_module
from reconciler.bitmex import net
from reconciler.bitmex.answers import Asked, Failure, Kind, Reply, events_of
from reconciler.bitmex.net import address
from reconciler.bitmex.outgoing import IDS_KEPT, Job, Outgoing
from reconciler.bitmex.signing import Signer
from reconciler.bitmex.wire import MOST, WARM, Wire
from reconciler.core.decisions import CancelOrder
from reconciler.core.events import Answered, Outcome

from .made import order, place
from .rogue import Rogue, answer, drip, hang_up

TIMEOUT_S = 1.0


class Clock:
    """As much of a host as a wire needs."""

    def now_us(self) -> int:
        return time.time_ns() // 1000


class Sent:
    """A wire to one server, and what became of each job."""

    def __init__(self, rogue: Rogue, context: ssl.SSLContext | None) -> None:
        to = address(rogue.url, ("http", "https"))
        self.rogue = rogue
        self.results: list[tuple[Job, Reply | Failure]] = []
        self.crashes: list[BaseException] = []
        self._changed = threading.Condition()
        self.wire = Wire(to, context, Clock(), self._settle, self.crashes.append, TIMEOUT_S)  # type: ignore[arg-type]
        self.outgoing = Outgoing(to, Signer("key", "secret"))

    def _settle(self, job: Job, result: Reply | Failure) -> None:
        with self._changed:
            self.results.append((job, result))
            self._changed.notify_all()

    def warm(self, count: int = WARM) -> None:
        until = time.monotonic() + 5
        while self.wire.warm() < count:
            assert time.monotonic() < until, "it does not get warm"
            time.sleep(0.005)

    def place(self, name: str = "rc-17", deadline_us: int = 0) -> Job:
        """Write an order; what is known at once counts as its result."""
        job = self.outgoing.job(place(cl_ord_id=name, deadline_us=deadline_us), 0)
        return self.write(job)

    def cancel(self, name: str) -> Job:
        decision = CancelOrder(request_id=2, cl_ord_id=name, symbol="XBTUSD", reason="")
        return self.write(self.outgoing.job(decision, 2_000_000_000))

    def write(self, job: Job) -> Job:
        failure = self.wire.write(job)
        if failure is not None:
            self._settle(job, failure)
        return job

    def result(self, job: Job, within_s: float = 6) -> Reply | Failure:
        """What became of *job*; it must be one thing only."""
        with self._changed:
            self._changed.wait_for(lambda: any(j is job for j, _ in self.results), within_s)
        time.sleep(0.02)
        (result,) = [result for j, result in self.results if j is job]
        return result

    def failure(self, job: Job) -> Failure:
        result = self.result(job)
        assert isinstance(result, Failure), result
        return result


@contextmanager
def sending(
    conduct: Callable[[Rogue, socket.socket, bytes], bool],
    server: ssl.SSLContext | None = None,
    client: ssl.SSLContext | None = None,
) -> Iterator[Sent]:
    with Rogue(conduct, server) as rogue:
        sent = Sent(rogue, client)
        sent.wire.start()
        try:
            sent.warm()
            yield sent
        finally:
            sent.wire.close(time.monotonic() + 0.2)
        assert sent.crashes == []
        alive = [t.name for t in threading.enumerate() if t.name.startswith("bitmex-")]
        assert alive == []


def accept(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    answer(connection, order(clOrdID=json.loads(body)["clOrdID"]))
    return True


def test_an_order_and_its_answer() -> None:
    """A request goes out whole, on a warm connection that then serves the next one."""
    with sending(accept) as sent:
        for number in range(20):
            result = sent.result(sent.place(f"rc-{number}"))
            assert isinstance(result, Reply)
            assert json.loads(result.body)["clOrdID"] == f"rc-{number}"
        assert len(sent.rogue.connections) == WARM
        head, _, body = sent.rogue.requests[0].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "POST /api/v1/order HTTP/1.1"
        fields = dict(line.split(": ", 1) for line in lines[1:])
        assert fields["Host"] == f"127.0.0.1:{sent.rogue.port}"
        assert fields["api-key"] == "key"
        assert fields["api-expires"] == "1779274812"
        signer = Signer("key", "secret")
        assert fields["api-signature"] == signer.sign("POST", "/api/v1/order", 1779274812, body)
        assert json.loads(body)["clOrdID"] == "rc-0"


def closes(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    return False


def resets(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    return True


def cuts_the_body(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    answer(connection, order(), cut=40)
    return False


def cuts_the_head(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-le")
    return False


def names_no_length(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(order()).encode())
    return False


def cuts_a_chunk(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{}")
    return False


def is_silent(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    return True


def drips(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    drip(connection, b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + b" " * 9999, 0.05)
    return True


def speaks_no_http(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    connection.sendall(b"220 mail ready\r\n")
    return False


def is_endless(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")
    for _ in range(99999999 // 65536):
        connection.sendall(b" " * 65_536)
    return False


@pytest.mark.parametrize(
    ("conduct", "codes"),
    [
        (closes, {"no_answer"}),
        (resets, {"reset"}),
        (cuts_the_body, {"cut_off"}),
        (cuts_the_head, {"cut_off"}),
        (names_no_length, {"cut_off"}),
        (cuts_a_chunk, {"cut_off"}),
        (is_silent, {"timeout"}),
        (drips, {"timeout"}),
        (speaks_no_http, {"not_http"}),
        (is_endless, {"not_http"}),
    ],
)
def test_a_lost_answer_is_in_doubt_and_nothing_is_repeated(
    conduct: Callable[[Rogue, socket.socket, bytes], bool], codes: set[str]
) -> None:
    """However an answer is lost, POST and DELETE are written once, and one failure is told."""
    with sending(conduct) as sent:
        for job in (sent.place("rc-1"), sent.cancel("rc-2")):
            failure = sent.failure(job)
            assert failure.code in codes
            assert not failure.unsent
        time.sleep(0.1)
        assert len(sent.rogue.requests) == 2


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(status: str) -> None:
    """A redirect is an answer like another: nothing goes to the place that it names."""

    def elsewhere(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        answer(connection, b"", status, f"location: {other.url}/api/v1/order\r\n")
        return True

    with Rogue(accept) as other, sending(elsewhere) as sent:
        result = sent.result(sent.place())
        assert isinstance(result, Reply)
        assert result.status == int(status[:3])
        assert len(sent.rogue.requests) == 1
        assert other.connections == []


@pytest.mark.parametrize(("status", "understood"), [("100 Continue", True), ("103 Hints", False)])
def test_an_answer_before_the_answer(status: str, understood: bool) -> None:
    """A 100 is passed over; any other 1xx proves nothing, and what follows it is not mixed up."""

    def hints(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        connection.sendall(f"HTTP/1.1 {status}\r\n\r\n".encode())
        return accept(rogue, connection, body)

    with sending(hints) as sent:
        for name in ("rc-1", "rc-2", "rc-3"):
            job = sent.place(name)
            result = sent.result(job)
            assert isinstance(result, Reply)
            *_, answered = events_of(job.asked, result, 5)
            assert isinstance(answered, Answered)
            assert answered.outcome is (Outcome.DONE if understood else Outcome.IN_DOUBT)
        assert len(sent.rogue.requests) == 3


def test_a_connection_closed_while_idle_is_not_used() -> None:
    """The venue closes idle connections; the next order takes a fresh one and is not in doubt."""
    with sending(accept) as sent:
        for round_ in range(3):
            sent.warm()
            for connection in list(sent.rogue.connections):
                hang_up(connection)
            result = sent.result(sent.place(f"rc-{round_}"))
            assert isinstance(result, Reply) or result.unsent
        names = [json.loads(r.partition(b"\r\n\r\n")[2])["clOrdID"] for r in sent.rogue.requests]
        assert len(names) == len(set(names))


def test_close_after_the_answer_is_obeyed() -> None:
    """An answer with `connection: close` ends its connection, and the pool is filled again."""

    def once(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        answer(connection, order(), head="connection: close\r\n")
        return False

    with sending(once) as sent:
        for number in range(4):
            sent.warm(1)
            assert isinstance(sent.result(sent.place(f"rc-{number}")), Reply)
        assert len(sent.rogue.requests) == 4


def test_an_answer_too_many_ends_the_connection() -> None:
    """What comes unasked is never taken for the answer to the next request."""

    def twice(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        one = json.dumps(order(clOrdID=json.loads(body)["clOrdID"])).encode()
        said = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(one), one)
        connection.sendall(said + said)
        return True

    with sending(twice) as sent:
        for number in range(4):
            sent.warm(1)
            result = sent.result(sent.place(f"rc-{number}"))
            assert isinstance(result, Reply)
            assert json.loads(result.body)["clOrdID"] == f"rc-{number}"


def test_nobody_there_is_proven_unsent() -> None:
    """If no connection can be opened, not one byte left."""
    with sending(accept) as sent:
        sent.rogue.__exit__()
        until = time.monotonic() + 5
        while sent.wire.warm():
            assert time.monotonic() < until
            time.sleep(0.005)
        failure = sent.failure(sent.place())
        assert failure.unsent
        assert failure.code == "unreachable"


def test_a_deadline_that_passed_is_not_sent() -> None:
    """An order decided too long ago is not written, with or without a warm connection."""
    past = time.time_ns() // 1000 - 1
    with sending(accept) as sent:
        failure = sent.failure(sent.place(deadline_us=past))
        assert (failure.code, failure.unsent) == ("deadline", True)
        time.sleep(0.05)
        assert sent.rogue.requests == []
        assert sent.wire.warm() == WARM


def test_many_at_once() -> None:
    """More requests than connections wait their turn; none is lost, none is written twice."""

    def slow(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        time.sleep(0.05)
        return accept(rogue, connection, body)

    with sending(slow) as sent:
        jobs = [sent.place(f"rc-{number}") for number in range(30)]
        assert all(isinstance(sent.result(job), Reply) for job in jobs)
        names = [json.loads(r.partition(b"\r\n\r\n")[2])["clOrdID"] for r in sent.rogue.requests]
        assert sorted(names) == sorted(f"rc-{number}" for number in range(30))
        assert len(sent.rogue.connections) <= MOST


def test_cancels_go_before_orders() -> None:
    """While all connections are busy, a cancel overtakes the orders that wait: it is the next."""
    gate = threading.Semaphore(0)

    def gated(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        gate.acquire(timeout=5)
        return accept(rogue, connection, body)

    with sending(gated) as sent:
        jobs = [sent.place(f"rc-{number}") for number in range(MOST)]
        sent.rogue.wait(lambda: len(sent.rogue.requests) == MOST)
        waiting = [sent.place(f"wait-{number}") for number in range(4)]
        cancel = sent.cancel("rc-0")
        gate.release()  # one connection is free
        sent.rogue.wait(lambda: len(sent.rogue.requests) > MOST)
        assert sent.rogue.requests[MOST].startswith(b"DELETE")
        gate.release(2 * MOST)
        assert all(isinstance(sent.result(job), Reply) for job in [*jobs, *waiting, cancel])


def test_an_order_that_waits_past_its_deadline_is_not_sent() -> None:
    """The deadline is looked at again just before the first byte, not only when it was queued."""

    def slow(rogue: Rogue, connection: socket.socket, body: bytes) -> bool:
        time.sleep(0.4)
        return accept(rogue, connection, body)

    with sending(slow) as sent:
        for number in range(MOST):
            sent.place(f"rc-{number}")
        sent.rogue.wait(lambda: len(sent.rogue.requests) == MOST)
        job = sent.place("late", deadline_us=time.time_ns() // 1000 + 50_000)
        failure = sent.failure(job)
        assert (failure.code, failure.unsent) == ("deadline", True)
        assert not any(b"late" in request for request in sent.rogue.requests)


def test_warm_connections_are_kept() -> None:
    """When connections go, others are opened before they are needed."""
    with sending(accept) as sent:
        sent.rogue.wait(lambda: len(sent.rogue.connections) >= WARM)  # or it hangs up on fewer
        for connection in list(sent.rogue.connections):
            hang_up(connection)
        sent.rogue.wait(lambda: len(sent.rogue.connections) >= 2 * WARM)
        sent.warm()
        assert isinstance(sent.result(sent.place("rc-1")), Reply)


def test_idle_connections_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is replaced before it gets old, and orders go out all the while."""
    monkeypatch.setattr(connection_module, "IDLE_S", (0.05, 0.1))
    monkeypatch.setattr(connection_module, "POLL_S", 0.02)
    with sending(accept) as sent:
        for number in range(20):
            assert isinstance(sent.result(sent.place(f"rc-{number}")), Reply)
            time.sleep(0.03)
        assert len(sent.rogue.connections) > 2 * WARM


def test_over_tls(certificate: Path) -> None:
    """The same over TLS: session tickets while idle are no answer, and closing is seen."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    client = net.tls(str(certificate / "cert.pem"))
    with sending(accept, server, client) as sent:
        for number in range(10):
            assert isinstance(sent.result(sent.place(f"rc-{number}")), Reply)
        assert len(sent.rogue.connections) == WARM
        for connection in list(sent.rogue.connections):
            hang_up(connection)
        sent.rogue.wait(lambda: len(sent.rogue.connections) >= 2 * WARM)
        sent.warm()
        assert isinstance(sent.result(sent.place("rc-last")), Reply)


def test_a_stranger_is_not_spoken_to(certificate: Path) -> None:
    """A server whose certificate nobody vouches for gets not one byte of a request."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    from reconciler.bitmex.rest import authorities

    with Rogue(accept, server) as rogue:
        sent = Sent(rogue, net.tls(authorities()))
        sent.wire.start()
        try:
            failure = sent.failure(sent.place())
            assert (failure.code, failure.unsent) == ("unreachable", True)
            assert rogue.requests == []
        finally:
            sent.wire.close(time.monotonic() + 0.2)


def test_a_job_shows_no_signature() -> None:
    """What a job shows of itself has neither key nor signature in it."""
    outgoing = Outgoing(address("http://127.0.0.1:1", ("http", "https")), Signer("thekey", "s"))
    job = outgoing.job(place(), 0)
    assert b"thekey" in job.data
    assert "thekey" not in repr(job)
    assert isinstance(job.asked, Asked)
    assert job.asked.kind is Kind.PLACE


def test_no_order_is_made_into_a_request_twice() -> None:
    """Not by any decision, as long as the process lives; a cancel may be repeated."""
    outgoing = Outgoing(address("http://127.0.0.1:1", ("http", "https")), Signer("key", "s"))
    outgoing.job(place(), 0)
    for request_id in (1, 2):
        with pytest.raises(AssertionError, match="before"):
            outgoing.job(place(request_id=request_id), 0)
    for request_id in (3, 4):
        cancel = CancelOrder(request_id=request_id, cl_ord_id="rc-17", symbol="XBTUSD", reason="")
        outgoing.job(cancel, 2_000_000_000)
    for number in range(IDS_KEPT + 50):
        outgoing.job(place(cl_ord_id=f"rc-x-{number}"), 0)
    assert len(outgoing._placed) == IDS_KEPT
