"""
The server: routes over starlette, served by uvicorn in a thread of its own.

The port is bound before anything else begins, so that a port in use stops a start before a row is
written.
"""

from __future__ import annotations

import errno
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request as WebRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from reconciler.api.answers import NO_STORE, Answer, Live, Problem, encoded, problem
from reconciler.api.guard import Guard
from reconciler.api.reading import Handler, Request
from reconciler.api.routes import Routes
from reconciler.errors import ConfigError, ReconcilerError
from reconciler.service.door import Door

log = logging.getLogger("reconciler.api")

STOP_WITHIN_S = 2.0


def bind(host: str, port: int, setting: str = "api.listen") -> socket.socket:
    """
    A socket that listens; port 0 takes a free one.

    Raises:
        ConfigError: The port is in use, or not ours to use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio only switches Nagle's algorithm off for sockets that say that they are TCP; without
    # that an answer's body waits 40 ms for the acknowledgement of its head.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(64)
    except OSError as error:
        bound.close()
        in_use = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"port {port} on {host} is in use"
            if in_use
            else f"port {port} on {host} cannot be used: {error.strerror}",
            next_step=f"Set {setting} to a free one, or end the program that has it.",
            port=port,
            setting=setting,
        ) from None
    return bound


class ApiServer:
    """
    One door, served.

    Args:
        door: What answers.
        database: The journal that listings are read from.
        bound: A socket of `bind`.
        token: That every question has to carry.
    """

    def __init__(self, door: Door, database: Path, bound: socket.socket, token: str) -> None:
        host, port = bound.getsockname()[:2]
        self.port: int = port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._socket = bound
        routes = [
            Route(path, _endpoint(handler), methods=[method])
            for method, path, handler in Routes(door, database).table()
        ]
        application = Starlette(
            routes=_merged(routes),
            exception_handlers={HTTPException: _of_http, Exception: _unforeseen},
        )
        config = uvicorn.Config(
            Guard(application, token=token, port=port),
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            ws="none",
            limit_concurrency=100,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serve in a thread of its own; returns when questions are taken."""

        def serve() -> None:
            self._uvicorn.run(sockets=[self._socket])

        self._thread = threading.Thread(target=serve, name="api", daemon=True)
        self._thread.start()
        while not self._uvicorn.started and self._thread.is_alive():
            time.sleep(0.002)

    def stop(self) -> None:
        """No more questions; those that are being answered get a moment."""
        self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_WITHIN_S)
        self._socket.close()


def _endpoint(handler: Handler) -> Callable[[WebRequest], Awaitable[Response]]:
    """A handler as starlette calls it: in a thread, because doors and disks block."""

    async def endpoint(request: WebRequest) -> Response:
        query = dict(request.query_params)
        if len(query) != len(request.query_params.multi_items()):
            return _response(problem(Problem(400, "bad_request", "A parameter is there twice.")))
        asked = Request(request.path_params, query, request.headers, await request.body())
        try:
            return _response(await run_in_threadpool(handler, asked))
        except (Problem, ReconcilerError) as error:
            return _response(problem(error))

    return endpoint


def _merged(routes: list[Route]) -> list[Route]:
    """Routes with the same path under one, so that a wrong method is told as one."""
    paths: dict[str, dict[str, Route]] = {}
    for route in routes:
        for method in route.methods or ():
            paths.setdefault(route.path, {})[method] = route
    return [_one(path, methods) for path, methods in paths.items()]


def _one(path: str, methods: dict[str, Route]) -> Route:
    async def endpoint(request: WebRequest) -> Response:
        found: Response = await methods[request.method].endpoint(request)
        return found

    return Route(path, endpoint, methods=list(methods))


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, Live):
        lines = answer.body.lines(run_in_threadpool)
        return StreamingResponse(lines, media_type="text/event-stream", headers=dict(NO_STORE))
    body, headers = encoded(answer)
    return Response(body, answer.status, headers)


async def _of_http(request: WebRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "bad_request"
    said = {404: "There is no such page.", 405: "That method is not allowed here."}
    detail = said.get(error.status_code, str(error.detail))
    return _response(problem(Problem(error.status_code, code, detail, error.headers)))


async def _unforeseen(request: WebRequest, error: Exception) -> Response:
    # The text of an error that nobody foresaw may hold anything; only its kind is told.
    log.error("a request failed: %s", type(error).__name__, exc_info=error)
    return _response(
        problem(Problem(500, "failed", f"{type(error).__name__}, which was not foreseen."))
    )
