"""
Real processes without the second that imports take: a parent that has them all, and forks.

The parent has one thread and waits on its standard input; every child is a process of its own, in
its own folder, with its own log, and runs one command to its end. What a child inherits is code.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

CHECKOUT = Path(__file__).resolve().parents[2]
LOOK_S = 0.005


class Child:
    """One process; as much of `subprocess.Popen` as a house asks for."""

    def __init__(self, zygote: Zygote, pid: int, gate: int | None) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._zygote = zygote
        self._gate = gate

    def go(self) -> None:
        """Let a child that was held begin."""
        assert self._gate is not None
        os.write(self._gate, b".")
        os.close(self._gate)
        self._gate = None

    def poll(self) -> int | None:
        """Its exit code, below zero for a signal; None while it lives."""
        if self.returncode is None:
            self.returncode = self._zygote.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        until = time.monotonic() + (60 if timeout is None else timeout)
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 60)
            time.sleep(LOOK_S)
        return code

    def send_signal(self, number: int) -> None:
        """Only while it lives: a number may be given to another process."""
        if self.returncode is None:
            self._zygote.ask(kill=self.pid, signal=number)

    def kill(self) -> None:
        """Pull the plug."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """
    The parent, as seen by a test.

    Args:
        careless: What of `careless.GUARDS` its services lack; nothing, unless it is a control.
    """

    def __init__(self, careless: str = "") -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.endtoend.zygote", careless],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            text=True,
            start_new_session=True,  # it ends with its input, and not by a key that is pressed
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def ask(self, **question: Any) -> Any:
        """One question, one answer, each a line."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

    def fork(
        self,
        words: list[str],
        *,
        folder: Path,
        log: Path,
        point: tuple[str, int] | None = None,
        held: bool = False,
        hurry: bool = True,
        generous: bool = False,
        trusted: Path | None = None,
    ) -> Child:
        """
        Run one command of ours in a process of its own.

        Args:
            words: The command.
            folder: Where it runs.
            log: What it prints is appended there.
            point: Where it kills itself, and at which passage.
            held: It waits for `Child.go`.
            hurry: With the bounds of `kill_at.hurry`.
            generous: With the budget of `kill_at.be_generous`.
            trusted: The only certificate authority that it knows.
        """
        gate = str(folder / "gate")
        if held:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(gate)
            os.mkfifo(gate)
        pid = self.ask(
            words=words,
            folder=str(folder),
            log=str(log),
            point=point,
            held=held,
            hurry=hurry,
            generous=generous,
            trusted=None if trusted is None else str(trusted),
        )
        opened = os.open(gate, os.O_WRONLY) if held else None
        return Child(self, pid, opened)


def warm() -> None:
    """Have everything that a child would import, read or build before its own work begins."""
    import gc
    import importlib

    import typer.main

    import reconciler.api.server
    import reconciler.bitmex.gateway
    import reconciler.cli.preflight
    import reconciler.cli.wiring
    import reconciler.config
    import reconciler.journal.care
    import reconciler.paper
    import reconciler.service.service  # noqa: F401
    from reconciler import logs
    from reconciler.cli.app import GROUPS, app

    for name in GROUPS:
        importlib.import_module(f"reconciler.cli.{name}")
    logs.configure(stream=sys.stderr)
    parser = typer.main.get_command(app)
    typer.main.get_command = lambda _: parser
    gc.collect()
    gc.freeze()  # or the first collection of every child copies all of the parent's pages


def serve(careless: str) -> None:
    """The parent: fork, and tell what became of the children. Only it waits for them."""
    warm()
    if careless:
        from tests.endtoend.careless import GUARDS

        GUARDS[careless]()
    ended: dict[int, int | None] = {}  # child -> its exit code, once it has one
    for line in sys.stdin:
        question = json.loads(line)
        if "words" not in question:
            child = question.get("poll") or question["kill"]
            if ended[child] is None:
                pid, status = os.waitpid(child, os.WNOHANG)
                if pid:
                    ended[child] = os.waitstatus_to_exitcode(status)
                elif "kill" in question:
                    os.kill(child, question["signal"])
            answer = ended[child]
        else:
            answer = os.fork()
            if answer == 0:
                os._exit(be(question))
            ended[answer] = None
        print(json.dumps(answer), flush=True)
    for child in (child for child, code in ended.items() if code is None):
        os.kill(child, signal.SIGKILL)  # nobody is left to look at it


def be(question: dict[str, Any]) -> int:
    """The child: become one command."""
    from reconciler.cli import main
    from tests.endtoend import kill_at

    log = os.open(question["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, fileno in enumerate((nothing, log, log)):
        os.dup2(fileno, number)
    os.chdir(question["folder"])
    os.environ["NO_COLOR"] = "1"
    random.seed()  # the parent's would be everybody's
    if question["held"]:
        with open("gate", "rb") as gate:
            gate.read(1)
    if question["hurry"]:
        kill_at.hurry()
    if question["generous"]:
        kill_at.be_generous()
    if question["trusted"] is not None:
        import requests.utils

        requests.utils.DEFAULT_CA_BUNDLE_PATH = question["trusted"]
    if question["point"]:
        kill_at.arm(*question["point"])
    code = 1
    try:
        code = main(question["words"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return code


if __name__ == "__main__":
    serve(sys.argv[1])
