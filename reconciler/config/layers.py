"""
The layers of the configuration: nested values by name, and where each one was written.

It knows names and places, not what a value may be. A name that no section knows is refused here,
with the nearest one that does.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from reconciler.errors import ConfigError

#: The names in a section, each with those behind it (None: a value; "*": any name).
Names: TypeAlias = "dict[str, Names | None]"

PREFIX = "RECONCILER_"
#: Variables that begin like a setting and are none.
OTHERS = frozenset({"RECONCILER_CONFIG", "RECONCILER_API_URL", "RECONCILER_TOKEN"})
#: Environment of the venue -> how its credentials' variables begin.
CREDENTIALS = {"live": "BITMEX_API_", "testnet": "BITMEX_TESTNET_API_"}


class EnvText(str):
    """A value that could only be written as text, and may be meant as a number."""


class Layer:
    """Some settings, all from one kind of place."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.accounts: dict[str, str] = {}  # that a file declares, each with its place

    def set(self, path: Sequence[str], value: object, origin: str) -> None:
        """Take in one value; what an earlier `set` gave the same name stays."""
        here = self.values
        for name in path[:-1]:
            here = here.setdefault(name, {})
        if path[-1] not in here:
            here[path[-1]] = value
            self.origins[dotted(path)] = origin

    def get(self, name: str) -> object:
        """The value with a dotted name, or None."""
        here: object = self.values
        for part in name.split("."):
            here = here.get(part) if isinstance(here, dict) else None
        return here


def layers(
    files: Sequence[Path], options: Mapping[str, str], environ: Mapping[str, str], names: Names
) -> list[Layer]:
    """
    All layers that there are, the strongest first: options, environment, secrets, files.

    Raises:
        ConfigError: A file cannot be read, or a name is not known.
    """
    above = [_options(options), _environment(environ, names)]
    below = [_file(path, names) for path in reversed(files_to_read(files, environ))]
    return [*above, _secrets(environ, below, names), *below]


def strongest(found: Sequence[Layer], name: str) -> object:
    """The value of the strongest layer that has one; None if none has."""
    return next((value for layer in found if (value := layer.get(name)) is not None), None)


def add_credentials(found: Sequence[Layer], environ: Mapping[str, str]) -> None:
    """Take in BITMEX_API_KEY and its like, those of the environment that is in force."""
    if prefix := CREDENTIALS.get(str(strongest(found, "exchange.environment"))):
        for name in ("KEY", "SECRET"):
            if value := environ.get(prefix + name):
                path = ("exchange", f"api_{name.lower()}")
                found[1].set(path, EnvText(value), prefix + name)


def dotted(path: Iterable[str]) -> str:
    """``("limits", "symbol")`` as people write it."""
    return ".".join(path)


def _options(options: Mapping[str, str]) -> Layer:
    layer = Layer()
    for name, value in options.items():
        layer.set(name.split("."), EnvText(value), "command line")
    return layer


def _environment(environ: Mapping[str, str], names: Names) -> Layer:
    layer = Layer()
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable not in OTHERS:
            if (path := _path_of(variable, names)) is not None:
                layer.set(path, EnvText(environ[variable]), variable)
    if "RECONCILER_DATABASE_URL" in environ:
        url = EnvText(environ["RECONCILER_DATABASE_URL"])
        layer.set(("database", "url"), url, "RECONCILER_DATABASE_URL")
    return layer


def _path_of(variable: str, names: Names) -> tuple[str, ...] | None:
    """
    The setting that a variable names; None if it is none of ours.

    Platforms make variables of their own with our prefix (RECONCILER_PORT). One that reads like a
    setting and is written with a single underscore is meant as one.
    """
    if variable == "RECONCILER_DATABASE_URL" or variable.startswith("RECONCILER_TEST_"):
        return None
    parts = variable.removeprefix(PREFIX).split("__")
    known = {_variable(path): path for path in _paths(names)}
    if len(parts) == 1:
        if parts[0].lower() in names:
            known_there = next(iter(names[parts[0].lower()] or {})).replace("*", "NAME")
            raise _unknown(variable, f"{variable}__{known_there.upper()}", variable)
        flat = {name.replace("__", "_"): name for name in known}
        if near := difflib.get_close_matches(variable, flat, 1, cutoff=0.9):
            raise _unknown(variable, flat[near[0]], variable)
        return None
    return _real_names(parts, names, variable)


def _real_names(parts: Sequence[str], names: Names, where: str) -> tuple[str, ...]:
    """Names as the sections have them, of words in any case."""
    path: list[str] = []
    here: Names | None = names
    for part in parts:
        if here is not None and part.lower() in here:
            path.append(part.lower())
            here = here[part.lower()]
        elif here is not None and "*" in here:
            is_symbol = path[-1] == "symbol"
            path.append(part.upper() if is_symbol else part.lower())
            here = here["*"]
        else:
            near = nearest(part.lower(), here or {})
            hint = _variable((*path, near)) if near else None
            raise _unknown(where, hint, where, here or {})
    return tuple(path)


def _variable(path: Iterable[str]) -> str:
    return PREFIX + "__".join(part.upper() for part in path)


def _secrets(environ: Mapping[str, str], files: Sequence[Layer], names: Names) -> Layer:
    """
    Files of systemd's credentials directory, then of the one that a file of settings names.

    Each holds one setting and bears its name: ``reconciler_exchange__api_secret``.
    """
    layer = Layer()
    if folder := environ.get("CREDENTIALS_DIRECTORY"):
        _take_files(layer, Path(folder), "CREDENTIALS_DIRECTORY", names)
    for file in files:
        if isinstance(named := file.get("secrets.directory"), str):
            origin = file.origins["secrets.directory"]
            beside = Path(origin.rpartition(":")[0] or origin).parent
            own = beside / Path(named).expanduser()
            _take_files(layer, own, f"secrets.directory ({origin})", names, private=True)
    return layer


def _take_files(
    layer: Layer, folder: Path, named_by: str, names: Names, *, private: bool = False
) -> None:
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(
            f"{named_by} = {folder} cannot be read: {error.strerror}", path=str(folder)
        ) from None
    for path in files:
        if path.name.lower().startswith("reconciler_") and "__" in path.name:
            if private and path.stat().st_mode & 0o077:
                raise ConfigError(
                    f"{path} can be read by others than its owner",
                    next_step=f"chmod 600 {path}, and take another key if others had the time.",
                    path=str(path),
                )
            parts = path.name[len(PREFIX) :].split("__")
            value = _read(path).rstrip("\r\n")
            layer.set(_real_names(parts, names, str(path)), EnvText(value), str(path))


def files_to_read(named: Sequence[Path], environ: Mapping[str, str]) -> list[Path]:
    """The files to read, the weakest first. Those that were named have to be there."""
    if named:
        return list(named)
    if variable := environ.get("RECONCILER_CONFIG"):
        return [Path(variable).expanduser()]
    return [path for path in usual_files(environ) if path.is_file()][:1]


def usual_files(environ: Mapping[str, str] | None = None) -> list[Path]:
    """Where a file is looked for when none is named, in that order."""
    environ = os.environ if environ is None else environ
    home = environ.get("XDG_CONFIG_HOME") or "~/.config"
    return [Path("reconciler.toml"), Path(home).expanduser() / "reconciler" / "config.toml"]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a mark before it
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text", path=str(path)) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", path=str(path)) from None


def _file(path: Path, names: Names) -> Layer:
    text = _read(path)
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}", path=str(path)) from None
    except (ValueError, ArithmeticError, RecursionError):
        said = f"{path} has a number that is too long, or lists in lists without end"
        raise ConfigError(said, path=str(path)) from None
    lines = dict(_lines(text))
    layer = Layer()
    for name, value in _walk(values, names, (), path, lines):
        line = lines.get(name)
        layer.set(name, value, f"{path}:{line}" if line else str(path))
    if isinstance(accounts := values.get("account"), dict):
        for name in accounts:
            line = lines.get(("account", name))
            layer.accounts[name] = f"{path}:{line}" if line else str(path)
    return layer


def _walk(
    values: Mapping[str, Any],
    names: Names,
    path: tuple[str, ...],
    file: Path,
    lines: Mapping[tuple[str, ...], int],
) -> Iterator[tuple[tuple[str, ...], object]]:
    """The values in a file, each with its path, once all names on the way are known."""
    for name, value in values.items():
        here = (*path, name)
        key = name if name in names else "*"
        if key not in names:
            near = nearest(name, names)
            hint = dotted((*path, near)) if near else None
            line = lines.get(here)
            raise _unknown(dotted(here), hint, f"{file}:{line}" if line else str(file), names)
        behind = names[key]
        if behind is not None and isinstance(value, dict):
            yield from _walk(value, behind, here, file, lines)
        else:
            yield here, value


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each name of a TOML text is written, as far as one can see line by line."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = _parts(match[1])
            yield section, number
        elif match := re.match(r"\s*([\w.\-\"']+)\s*=", line):
            yield (*section, *_parts(match[1])), number


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def _paths(names: Names, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, behind in names.items():
        if behind is None:
            yield (*path, name)
        elif name != "*":
            yield from _paths(behind, (*path, name))


def nearest(name: str, names: Names) -> str | None:
    near = difflib.get_close_matches(name, [n for n in names if n != "*"], 1, cutoff=0.6)
    return near[0] if near else None


def _unknown(name: str, near: str | None, where: str, names: Names | None = None) -> ConfigError:
    known = ", ".join(sorted(n for n in names or {} if n != "*"))
    meant = f"did you mean {near}?" if near else f"known are: {known}." if known else ""
    place = "" if where == name else f" ({where})"
    return ConfigError(
        f"{name}{place} is not a setting" + (f"; {meant}" if meant else ""),
        setting=name,
        nearest=near,
        origin=where,
    )
