"""
The raw prototype: the least that does the same durably. One file, one thread, no library but
msgspec.

A websocket read from a raw socket, frames decoded by msgspec into typed structs, state in a dict,
the trivial decision, a signature, and a POST written to a raw socket. What is read at once is
committed at once, with plain sqlite3, WAL and the same synchronous setting as the contestant that
it is compared with: for each event a row with its hash in a chain, for each fill and each
transition a row, for each order an intent. Only then is a byte sent. It checks nothing, remembers
nothing that it does not need for the next line, and survives no surprise.

What an order costs it, in one synced transaction: a row of the journal with the event, the body
of the POST and the hash, a row of transitions, an intent; five pages, of which two are the keys.
A price is state and no event to it: we write one. It has no index but its keys, no trigger, no
foreign key, and no rows of orders, requests or the present of a symbol: we have.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import select
import socket
import sqlite3
import struct
import sys
import time
from typing import Any

import msgspec

SECRET = b"bench-secret"
SYMBOL = "XBTUSD"
TOPICS = [f"quote:{SYMBOL}", f"instrument:{SYMBOL}", "margin", "order", "execution", "position"]

SCHEMA = """
CREATE TABLE journal (seq INTEGER PRIMARY KEY, at_us INTEGER, kind TEXT, event TEXT,
                      decisions TEXT, hash BLOB);
CREATE TABLE transitions (seq INTEGER, n INTEGER, at_us INTEGER, symbol TEXT, trigger TEXT,
                          from_state TEXT, to_state TEXT, cl_ord_id TEXT, PRIMARY KEY (seq, n));
CREATE TABLE intents (cl_ord_id TEXT PRIMARY KEY, seq INTEGER, at_us INTEGER, symbol TEXT,
                      contracts INTEGER, price TEXT, expires_us INTEGER);
CREATE TABLE fills (exec_id TEXT PRIMARY KEY, seq INTEGER, cl_ord_id TEXT, contracts INTEGER,
                    price TEXT, fee INTEGER);
"""
JOURNAL = "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)"
TRANSITION = "INSERT INTO transitions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
INTENT = "INSERT INTO intents VALUES (?, ?, ?, ?, ?, ?, ?)"
FILL = "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?)"


class Frame(msgspec.Struct):
    table: str = ""
    action: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")


class Execution(msgspec.Struct):
    execID: str
    execType: str
    clOrdID: str
    side: str
    cumQty: int
    lastQty: int | None = None
    lastPx: msgspec.Raw = msgspec.Raw(b"")
    execComm: int | None = None


class Order(msgspec.Struct):
    orderID: str
    ordStatus: str
    clOrdID: str = ""
    cumQty: int = 0


class Position(msgspec.Struct):
    currentQty: int = 0


class Quote(msgspec.Struct):
    bidPrice: msgspec.Raw = msgspec.Raw(b"")


decode_frame = msgspec.json.Decoder(Frame).decode
decode_executions = msgspec.json.Decoder(list[Execution]).decode
decode_orders = msgspec.json.Decoder(list[Order]).decode
decode_positions = msgspec.json.Decoder(list[Position]).decode
decode_quotes = msgspec.json.Decoder(list[Quote]).decode


def main(port: int, path: str, synchronous: str, target: int, slice_: int) -> None:
    db = sqlite3.connect(path, isolation_level=None, cached_statements=32)
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.executescript(SCHEMA)
    stream = connect(port)
    stream.sendall(
        f"GET /realtime HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    held = b""
    while b"\r\n\r\n" not in held:
        held += stream.recv(65_536)
    held = held.partition(b"\r\n\r\n")[2]
    expires = int(time.time()) + 60
    say(stream, {"op": "authKeyExpires", "args": ["bench", expires, sign(b"", expires)]})
    say(stream, {"op": "subscribe", "args": TOPICS})
    rest = connect(port)
    head = (
        f"POST /api/v1/order HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: raw\r\n"
        "Accept: application/json\r\nContent-Type: application/json\r\napi-key: bench\r\n"
        "api-expires: "
    ).encode()

    state: dict[str, Any] = {"state": "idle", "order": "", "position": 0, "bid": b"", "held": None}
    seq, number, link = 0, 0, bytes(32)
    execute, many = db.execute, db.executemany
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    poll.register(rest, select.POLLIN)
    reading = stream.fileno()
    while True:
        ready = poll.poll(200)
        if not ready:
            execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            poll.poll()
            continue
        if ready[0][0] != reading:
            if not rest.recv(65_536):
                return
            continue
        got = stream.recv(65_536)
        if not got:
            return
        held += got
        at, size_of_held = 0, len(held)
        at_us = time.time_ns() // 1000
        journal, transitions, fills, intents, out = [], [], [], [], []
        while size_of_held - at >= 2:
            size, start = held[at + 1], at + 2
            if size == 126:
                if size_of_held - at < 4:
                    break
                size, start = struct.unpack_from("!H", held, at + 2)[0], at + 4
            if size_of_held - start < size:
                break
            frame = decode_frame(held[start : start + size])
            at = start + size
            table = frame.table
            decided = b"[]"
            if table == "execution":
                for row in decode_executions(frame.data):
                    if row.execType != "Trade" or row.lastQty is None:
                        continue
                    contracts = row.lastQty if row.side == "Buy" else -row.lastQty
                    state["position"] += contracts
                    before, state["state"] = state["state"], "working"
                    price = bytes(row.lastPx).decode()
                    fills.append((row.execID, seq + 1, row.clOrdID, contracts, price, row.execComm))
                    transitions.append(
                        (seq + 1, 1, at_us, SYMBOL, "part_fill", before, "working", row.clOrdID)
                    )
            elif table == "order":
                for change in decode_orders(frame.data):
                    state["filled"] = change.cumQty
                    if change.ordStatus == "Filled":
                        state["state"] = "filled"
            elif table == "position":
                for held_now in decode_positions(frame.data):
                    state["held"] = held_now.currentQty
            elif table == "quote":
                state["bid"] = bytes(decode_quotes(frame.data)[-1].bidPrice)
                continue
            else:
                continue
            if (
                state["state"] in ("idle", "filled")
                and state["held"] == state["position"] != target
                and state["bid"]
            ):
                number += 1
                name = f"raw-{number:08d}"
                contracts = min(slice_, target - state["position"])
                expires = at_us // 1_000_000 + 5
                body = (
                    b'{"symbol":"XBTUSD","side":"Buy","orderQty":%d,"price":%b,"clOrdID":"%b",'
                    b'"ordType":"Limit","timeInForce":"GoodTillCancel",'
                    b'"execInst":"ParticipateDoNotInitiate"}'
                    % (contracts, state["bid"], name.encode())
                )
                signature = sign(body, expires)
                out.append(
                    b"%b%d\r\napi-signature: %b\r\nContent-Length: %d\r\n\r\n%b"
                    % (head, expires, signature.encode(), len(body), body)
                )
                decided = body
                transitions.append(
                    (seq + 1, 1, at_us, SYMBOL, "place", state["state"], "placing", name)
                )
                intents.append(
                    (
                        *(name, seq + 1, at_us, SYMBOL, contracts, state["bid"].decode()),
                        expires * 1_000_000,
                    )
                )
                state["state"], state["order"] = "placing", name
            seq += 1
            event = bytes(frame.data)
            link = hashlib.sha256(b"%b%d %d %b" % (link, seq, at_us, event) + decided).digest()
            journal.append((seq, at_us, table, event.decode(), decided.decode(), link))
        held = held[at:]
        if journal:
            execute("BEGIN IMMEDIATE")
            many(JOURNAL, journal)
            if fills:
                many(FILL, fills)
            if transitions:
                many(TRANSITION, transitions)
            if intents:
                many(INTENT, intents)
            execute("COMMIT")
        for request in out:
            rest.sendall(request)


keyed = hmac.new(SECRET, digestmod=hashlib.sha256)


def sign(body: bytes, expires: int) -> str:
    mac = keyed.copy()
    mac.update(b"POST/api/v1/order%d%b" % (expires, body))
    return mac.hexdigest()


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def say(stream: socket.socket, command: object) -> None:
    said = msgspec.json.encode(command)
    mask = os.urandom(4)
    head = struct.pack("!BBH", 0x81, 0x80 | 126, len(said)) + mask
    stream.sendall(head + bytes(b ^ mask[i % 4] for i, b in enumerate(said)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
