"""
`bundle`: what a report of a fault needs, in one archive, and nothing that opens a door.

Every text goes through one `Redaction` before it is written. It is asked for when things are
broken: a part that cannot be told is replaced by the sentence that says why.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from reconciler.cli import parse
from reconciler.cli.app import Ask, command
from reconciler.errors import ReconcilerError, UsageError
from reconciler.logs import MASK, SECRET_NAMES, called_secret

if TYPE_CHECKING:
    from reconciler.config import AppConfig

NESTED = 3  # a report's JSON, in an event's, in a row's
MOST_EVENTS = 20_000  # the newest
MOST_ROWS = 10_000  # of a listing
MOST_LOG_BYTES = 5_000_000  # its end
LISTINGS = (
    "v_status", "v_targets", "v_orders", "v_fills", "v_transitions", "v_incidents", "v_refusals",
    "v_modes", "v_schedules", "v_runs",
)  # fmt: skip
#: What masks itself by its form: who may enter, in an address; a value that JSON calls a secret (in
#: a text in JSON, too); a number of the venue's account.
FORMS = (
    (re.compile(r"(?<=://)[^\s\"'<>]{1,500}(?=@)"), MASK),
    (
        re.compile(
            rf"(?i)([?&#][\w.-]{{0,40}}?(?:{SECRET_NAMES}|sig|auth|key)[\w.-]{{0,40}}=)[^&\s\"']+"
        ),
        rf"\g<1>{MASK}",
    ),
    (
        re.compile(
            rf'(?i)((\\{{0,7}}")[\w.-]{{0,80}}?(?:{SECRET_NAMES})[\w.-]{{0,80}}\2\s{{0,9}}:\s{{0,9}})'
            r"(?:\2.*?(?<!\\)\2|\[[^\]]{0,9999}\]|-?[0-9]+)"
        ),
        rf"\g<1>\g<2>{MASK}\g<2>",
    ),
    (
        re.compile(r"(?i)(\baccount\b\"?\s*[=: ]\s*\"?|\bother\b\"?\s*[=:]\s*\"?)\d{3,}"),
        rf"\g<1>{MASK}",
    ),
)

Part = Callable[[], str | Iterable[str]]


class Redaction:
    """Takes secrets out of texts, however JSON, or JSON in JSON, may have written them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {secret for secret in secrets if secret}
        addressed = {quote(secret, safe="") for secret in forms}
        for _ in range(NESTED):
            forms |= {
                json.dumps(form, ensure_ascii=a)[1:-1] for form in forms for a in (True, False)
            }
        forms |= addressed
        home = str(Path.home())
        self._forms = sorted(forms, key=len, reverse=True)
        self._home = home if len(home) > 1 else ""

    def __call__(self, text: str) -> str:
        """The text as it may be seen."""
        for form in self._forms:
            text = text.replace(form, MASK)
        for found, instead in FORMS:
            text = found.sub(instead, text)
        return text.replace(self._home, "~") if self._home else text


@command("bundle")
def bundle(
    ask: Ask,
    since: Annotated[
        str, typer.Option(metavar="T", help="Events and rows from then on: 1h, 2d, a time…")
    ] = "1h",
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file, .tar.gz; by default here.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The service's log: its end is put in.")
    ] = None,
    no_replay: Annotated[
        bool, typer.Option("--no-replay", help="Don't run a long journal again.")
    ] = False,
) -> None:
    """Write a redacted archive for a bug report: no keys, no tokens, no account numbers."""
    since_us = parse.moment_us(since)
    path = to or Path(f"reconciler-bundle-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    configs, trouble = _configs(ask)
    clean = Redaction(_secrets(configs.values()))
    parts: dict[str, Part] = {"versions.json": _versions}
    if trouble:
        parts["config.error.txt"] = lambda: trouble
    for name, config in configs.items():
        for file, part in _of_account(config, since_us, replay=not no_replay).items():
            parts[f"{name}/{file}"] = part
    if log is not None:
        parts["log.txt"] = lambda: _end_of(log)
    written = _write(path, parts, clean)
    size = path.stat().st_size
    if ask.form in {"json", "jsonl"}:
        print(json.dumps({"path": str(path), "bytes": size, "parts": written}))
        return
    print(f"wrote {path}  {size:,} bytes  (keys, tokens and account numbers removed)")
    ask.note("note: look into it before you send it: it holds your targets, orders and reasons")
    if not configs:
        ask.note("note: the configuration cannot be read, so nothing of any journal is in it")


def _configs(ask: Ask) -> tuple[dict[str, AppConfig], str]:
    """Of every account; or, where they make no sense, none and why: what is secret is not known."""
    try:
        return dict(ask.accounts()), ""
    except ReconcilerError as error:
        return {}, f"{error}\n"


def _secrets(configs: Iterable[AppConfig]) -> Iterator[str]:
    """All that is known to open a door: keys, tokens, and variables that are called so."""
    from reconciler.service.servicefile import ServiceFile

    for name, value in os.environ.items():
        yield from called_secret({name: value})
    for config in configs:
        yield from config.hidden
        with suppress(Exception):  # of one that is configured no more; what is broken is told later
            yield from _once_called_secret(config.database_path)
        with suppress(ReconcilerError):
            yield from config.credentials()
        if (found := ServiceFile(config.database_path).read()) is not None:
            yield found.token


def _once_called_secret(database: Path) -> Iterator[str]:
    from reconciler.journal import History

    with History.open(database) as history:
        for (parameters,) in history.query(
            "SELECT DISTINCT parameters FROM strategy_states"
        ).values:
            yield from called_secret(json.loads(parameters or "{}"))


# -- parts ---------------------------------------------------------------------------------------


def _versions() -> str:
    import sqlite3
    from importlib.metadata import distributions

    from reconciler import __version__
    from reconciler.journal.schema import SCHEMA

    installed = {one.metadata["Name"]: one.version for one in distributions()}
    said = {
        "reconciler": __version__,
        "schema": SCHEMA,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "made_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "installed": dict(sorted(installed.items())),
    }
    return json.dumps(said, indent=1) + "\n"


def _of_account(config: AppConfig, since_us: int, *, replay: bool) -> dict[str, Part]:
    database = config.database_path
    parts: dict[str, Part] = {
        "config.txt": lambda: _settings(config),
        "service.json": lambda: _service(config),
        "journal.jsonl": lambda: _events(database, since_us),
    }
    for view in LISTINGS:
        parts[f"{view}.jsonl"] = _listing(database, view, since_us)
    if replay:
        parts["replay.json"] = lambda: _replayed(database)
    return parts


def _settings(config: AppConfig) -> str:
    """Each setting, with where it was written; secrets are masked there already."""
    return "".join(f"{name} = {value}   {origin}\n" for name, value, origin in config.rows())


def _service(config: AppConfig) -> str:
    """What the running service says of itself."""
    from reconciler.cli import wiring

    door = wiring.running(Ask(), config)
    if door is None:
        return json.dumps({"service": {"running": False}}) + "\n"
    try:
        return json.dumps(door.status(), indent=1, default=str) + "\n"
    finally:
        door.close()


def _events(database: Path, since_us: int) -> Iterator[str]:
    from reconciler.journal import History

    with History.open(database) as history:
        after = max(0, history.last_seq() - MOST_EVENTS)
        for row in history.events(after=after, limit=MOST_EVENTS).dicts():
            if row["at_us"] >= since_us:
                row |= {name: json.loads(row[name]) for name in ("event", "decisions")}
                yield json.dumps(row) + "\n"


def _listing(database: Path, view: str, since_us: int) -> Part:
    def lines() -> Iterator[str]:
        from reconciler.journal import History
        from reconciler.journal.history import NOW

        with History.open(database) as history:
            since = None if view in NOW else since_us
            for row in history.rows(view, since_us=since, limit=MOST_ROWS).dicts():
                yield json.dumps(row, default=str) + "\n"

    return lines


def _replayed(database: Path) -> str:
    from reconciler.journal import replay

    report = replay(database)
    difference = report.difference
    said: dict[str, Any] = report._asdict()
    said["difference"] = difference._asdict() if difference is not None else None
    return json.dumps(said, indent=1) + "\n"


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_LOG_BYTES))
        return file.read(MOST_LOG_BYTES).decode("utf-8", "replace")


# -- the archive ---------------------------------------------------------------------------------


def _write(path: Path, parts: dict[str, Part], clean: Redaction) -> list[str]:
    """A new file, for its owner's eyes only; half of one is not left behind."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} is there already", next_step="Name another with --to.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    names = []
    try:
        with os.fdopen(fd, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, part in parts.items():
                name, text = _told(name, part)
                raw = clean(text).encode()
                entry = tarfile.TarInfo(f"{path.name.partition('.')[0]}/{clean(name)}")
                entry.size, entry.mode, entry.mtime = len(raw), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(raw))
                names.append(name)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return names


def _told(name: str, part: Part) -> tuple[str, str]:
    """A part, or why there is none."""
    try:
        text = part()
        return name, text if isinstance(text, str) else "".join(text)
    except ReconcilerError as error:
        return f"{name}.error.txt", f"{error}\n"
    except Exception as error:
        return f"{name}.error.txt", f"{type(error).__name__}: {error}\n"
