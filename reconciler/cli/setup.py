"""Set up: `config check`, `config show`, `config path`, `version`."""

from __future__ import annotations

import json
import os
import platform
import sqlite3

from reconciler import __version__
from reconciler.cli.app import Ask, command, group
from reconciler.errors import ConfigError

config = group("config", "The settings in force: check, show, path.")


@command("check", of=config)
def check(ask: Ask) -> None:
    """Check the configuration, credentials included, without connecting to anything."""
    from reconciler.cli import wiring
    from reconciler.config.limits import counted_longer

    configs = list(ask.accounts().values())
    notes: list[str] = []
    for settings in configs:
        wiring.bitmex_config(settings)
        wiring.weights(settings)
        if settings.database_path.is_dir():
            raise ConfigError(
                f"database.url names {settings.database_path}, which is a folder",
                next_step="Write sqlite:///path/to/journal.db.",
                setting="database.url",
            )
        whose = f"account {settings.exchange.account}: " if settings.accounts else ""
        notes += [whose + note for note in counted_longer(settings.core_settings())]
    for note in notes:
        ask.note(f"note: {note}")
    if ask.form in {"json", "jsonl"}:
        files = [str(path) for path in _files(ask)]
        accounts = {one.exchange.account: one.exchange.environment for one in configs}
        said = {"ok": True, "files": files, "environment": configs[0].exchange.environment}
        print(json.dumps(said | {"accounts": accounts, "notes": notes}))
        return
    for settings in configs:
        chosen = settings.exchange
        print(f"ok    {chosen.environment}/{chosen.account}   {', '.join(chosen.symbols)}")
        print(f"ok    journal {settings.database_path}")
    for path in _files(ask):
        print(f"ok    {path}")


@command("show", of=config)
def show(ask: Ask) -> None:
    """Show every setting in force and where it came from; secrets are masked."""
    rows = list(ask.settings().rows())
    if ask.form in {"json", "jsonl"}:
        found = [{"name": name, "value": value, "origin": origin} for name, value, origin in rows]
        print(json.dumps(found))
        return
    width = max(len(f"{name} = {value}") for name, value, _ in rows)
    for name, value, origin in rows:
        print(f"{f'{name} = {value}':<{min(width, 60)}}   {origin}")


@command("reload", of=config)
def reload(ask: Ask) -> None:
    """
    Have the running service read its configuration again, as SIGHUP does.

    Limits, policies, strategies, portfolios and weights are put in force, all of them or none.
    """
    from reconciler.cli import doing, wiring
    from reconciler.service import reloading

    door, _ = wiring.door(ask)
    with doing.closing(door):
        done = door.reload()
    said = [f"{name} {words}" for name, words in reloading.in_words(done).items()]
    doing.tell(ask, "  ".join(said) or "nothing has changed", done)
    if done.needs_start:
        ask.note("note: these are taken up when the service starts: " + ", ".join(done.needs_start))


@command("path", of=config)
def path(ask: Ask) -> None:
    """Show which files are read, or where one would be looked for."""
    from reconciler.config.layers import usual_files

    found = _files(ask)
    if ask.form in {"json", "jsonl"}:
        print(json.dumps({"files": [str(file) for file in found]}))
    elif found:
        print(*found, sep="\n")
    else:
        print("none; looked for", ", ".join(str(file) for file in usual_files()))


def _files(ask: Ask) -> list[os.PathLike[str]]:
    from reconciler.config.layers import files_to_read

    return list(files_to_read(ask.config, os.environ))


@command("version")
def version(ask: Ask) -> None:
    """Show versions of the program, Python, SQLite, schema."""
    from importlib.metadata import version as installed

    from reconciler.journal.schema import SCHEMA

    found = {
        "reconciler": __version__,
        "schema": SCHEMA,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "sqlalchemy": installed("sqlalchemy"),
    }
    if ask.form in {"json", "jsonl"}:
        print(json.dumps(found))
    else:
        print("  ".join(f"{name} {value}" for name, value in found.items()))
