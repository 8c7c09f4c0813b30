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
MASK = "**********"
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
    All layers that there are, the strongest first.

    Raises:
        ConfigError: A file cannot be read, or a name is not known.
    """
    found = [_options(options), _environment(environ, names), _secrets(environ, names)]
    found += [_file(path, names) for path in reversed(files_to_read(files, environ))]
    environment = next((e for layer in found if (e := layer.get("exchange.environment"))), None)
    if prefix := CREDENTIALS.get(str(environment)):
        for name in ("KEY", "SECRET"):
            if value := environ.get(prefix + name):
                path = ("exchange", f"api_{name.lower()}")
                found[1].set(path, EnvText(value), prefix + name)
    return found


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
            behind = names[parts[0].lower()] or {}
            raise _unknown(variable, f"{variable}__{next(iter(behind)).upper()}", variable)
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
            near = _nearest(part.lower(), here or {})
            hint = _variable((*path, near)) if near else None
            raise _unknown(where, hint, where, here or {})
    return tuple(path)


def _variable(path: Iterable[str]) -> str:
    return PREFIX + "__".join(part.upper() for part in path)


def _secrets(environ: Mapping[str, str], names: Names) -> Layer:
    """Files of systemd's credentials directory: ``reconciler_exchange__api_secret``."""
    layer = Layer()
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return layer
    try:
        files = sorted(Path(folder).iterdir())
    except OSError as error:
        raise ConfigError(
            f"CREDENTIALS_DIRECTORY = {folder} cannot be read: {error.strerror}", path=folder
        ) from None
    for path in files:
        if path.name.lower().startswith("reconciler_") and "__" in path.name:
            parts = path.name[len(PREFIX) :].split("__")
            value = _read(path).rstrip("\r\n")
            layer.set(_real_names(parts, names, str(path)), EnvText(value), str(path))
    return layer


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
            near = _nearest(name, names)
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


def _nearest(name: str, names: Names) -> str | None:
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
