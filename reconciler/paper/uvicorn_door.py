"""
The one door to uvicorn: what the server is built from, and leans on beyond ASGI.

Its protocol classes are no public interface. What is overridden is in `wire_http` and `sockets`;
a new release of uvicorn is looked at here first.
"""

from __future__ import annotations

from httptools import parse_url as parse_url
from uvicorn import Config as Config
from uvicorn import Server as Server
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT as HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE as STATUS_LINE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpToolsProtocol
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected as ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import (
    WebSocketsSansIOProtocol as WebSocketsSansIOProtocol,
)
from websockets.protocol import State as State
