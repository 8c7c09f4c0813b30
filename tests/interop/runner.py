"""Runs a program's round trip: a venue for it alone, its environment, its output."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.endtoend.tls_front import TlsFront

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = CHECKOUT / ".interop"
PATIENCE_S = 100


@dataclass(frozen=True)
class Program:
    """A program that is not ours."""

    name: str
    package: str  # its environment, and its lock file in scripts/lock/interop/
    module: str
    tls: bool = False  # it speaks to BitMEX by https only

    @property
    def python(self) -> Path:
        return ENVIRONMENTS / self.package / "bin" / "python"


PROGRAMS = {
    program.name: program
    for program in (
        Program("bitmex-ws", "bitmex-ws", "tests.interop.with_bitmex_ws"),
        Program("ccxt", "ccxt", "tests.interop.with_ccxt"),
        Program("ccxt-pro", "ccxt", "tests.interop.with_ccxt_pro"),
        Program("pybotters", "pybotters", "tests.interop.with_pybotters", tls=True),
    )
}


@contextmanager
def venue() -> Iterator[str]:
    """The address of a paper exchange in a process of its own."""
    served = subprocess.Popen(
        [sys.executable, "-m", "tests.interop.venue"], cwd=CHECKOUT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert served.stdin is not None
    assert served.stdout is not None
    try:
        url = served.stdout.readline().strip()
        assert url, "the paper exchange did not start"
        yield url
    finally:
        served.stdin.close()
        served.wait(20)
        served.stdout.close()


@contextmanager
def secured(url: str) -> Iterator[tuple[str, str]]:
    """TLS before a venue, under BitMEX's name: its address, and the certificate to trust."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=www.bitmex.com", "-addext",
             "subjectAltName=DNS:www.bitmex.com", "-keyout", "key.pem", "-out", "cert.pem"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        here = Path(folder)
        with TlsFront(int(url.rpartition(":")[2]), here, here) as front:
            yield front.url, str(here / "cert.pem")


def missing(program: Program) -> str:
    """Why a program cannot be run here, or nothing."""
    if not program.python.exists():
        return f"{program.package} is not installed; scripts/interop installs it"
    if program.tls and shutil.which("openssl") is None:
        return "there is no openssl to make a certificate with"
    return ""


def run(program: Program) -> tuple[int, str]:
    """The exit code of a round trip, and what it printed."""
    with ExitStack() as stack:
        url = stack.enter_context(venue())
        arguments = [str(program.python), "-m", program.module, url]
        if program.tls:
            arguments += stack.enter_context(secured(url))
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):  # ccxt is slow without byte code
            clean.pop(name, None)
        done = subprocess.run(
            arguments, cwd=CHECKOUT, env=clean, text=True, timeout=PATIENCE_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return done.returncode, done.stdout
