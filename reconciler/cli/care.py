"""Care: `db upgrade`, `db current`, `db backup`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.app import Ask, command, group
from reconciler.errors import UsageError

db = group("db", "Look after the database: upgrade, current, backup.")


@command("upgrade", of=db)
def upgrade(ask: Ask) -> None:
    """Bring an older database up to this program, after a backup of it."""
    from reconciler.journal import care

    done = care.upgrade(ask.settings().database_path)
    if ask.form in {"json", "jsonl"}:
        backup = str(done.backup) if done.backup else None
        print(json.dumps({"before": done.before, "after": done.after, "backup": backup}))
    elif done.backup is None:
        print(f"schema {done.after}, nothing to do")
    else:
        print(f"backup  {done.backup}     {done.before} → {done.after}     ok")


@command("current", of=db)
def current(ask: Ask) -> None:
    """Show the schema of the database, and the one that this program needs."""
    from reconciler.journal import care, schema

    path = ask.settings().database_path
    found = care.current(path)
    if ask.form in {"json", "jsonl"}:
        print(json.dumps({"path": str(path), "schema": found.found, "needed": found.needed}))
    else:
        same = "ok" if found.found == found.needed else f"this program needs {found.needed}"
        print(f"{path}  schema {found.found}  {same}")
    schema.require(found.found, path)


@command("backup", of=db)
def backup(
    ask: Ask,
    to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file; not with a service running.")
    ] = None,
) -> None:
    """Write a verified copy of the database, with the service running or not."""
    from reconciler.cli import wiring

    config = None if ask.api is not None else ask.settings()
    service = wiring.running(ask, config)
    if service is not None:
        if to is not None:
            raise UsageError("--to cannot be used while a service runs", next_step="Leave it out.")
        path = service.backup()
        service.close()
    else:
        from reconciler.journal import care

        assert config is not None
        path = str(care.backup(config.database_path, to))
    print(json.dumps({"path": path}) if ask.form in {"json", "jsonl"} else f"backup  {path}  ok")
