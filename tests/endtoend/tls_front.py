"""
TLS in front of a plain port, with the troubles that TLS has.

A thread with an event loop of its own, since one TLS connection may not be used by two threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import Counter
from pathlib import Path
from typing import Self

#: Name -> what it does to connections that are opened.
TROUBLES = {
    "plain": "A page of a gateway comes in place of the handshake.",
    "silent": "The handshake is never answered.",
    "cut": "The connection ends in the middle of the handshake.",
    "stranger": "The certificate is one that nobody vouches for.",
}


class TlsFront:
    """
    Listens on loopback, ends TLS, and carries the bytes to *upstream*, a port there.

    Args:
        upstream: Where plain bytes go.
        trusted: A folder with ``cert.pem`` and ``key.pem`` that clients trust.
        stranger: The same, and nobody trusts it.

    Attributes:
        trouble: What happens to new connections; empty: nothing.
        met: How many connections met each trouble.
        carried: How many of them were spoken over all the same.
    """

    def __init__(self, upstream: int, trusted: Path, stranger: Path) -> None:
        self._upstream = upstream
        self._contexts = {"": context(trusted), "stranger": context(stranger)}
        self.trouble = ""
        self.met: Counter[str] = Counter()
        self.carried: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._server: asyncio.Server = server
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut(self) -> None:
        """End all connections, without a word of TLS."""
        self._call(self._end_all())

    def _call(self, what):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        await self._end_all()

    async def _end_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._carry(reader, writer)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trouble = self.trouble
        if trouble:
            self.met[trouble] += 1
        if trouble in ("plain", "silent", "cut"):
            await reader.read(100)
            if trouble == "plain":
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nno\n")
                await writer.drain()
            elif trouble == "silent":
                await asyncio.sleep(60)
            return
        await writer.start_tls(self._contexts[trouble])
        if not (begun := await reader.read(65_536)):
            return
        self.carried[trouble] += 1
        venue_reader, venue_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        venue_writer.write(begun)
        back = asyncio.create_task(pump(venue_reader, writer))
        try:
            await pump(reader, venue_writer)
        finally:
            back.cancel()
            venue_writer.transport.abort()


def context(folder: Path) -> ssl.SSLContext:
    """Of a server that shows the certificate in *folder*."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return made


async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    """Carry bytes one way until they end."""
    while piece := await source.read(65_536):
        to.write(piece)
        await to.drain()
    to.transport.abort()  # no farewell: that TLS was ended properly is never promised
