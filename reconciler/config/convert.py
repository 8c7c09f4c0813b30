"""
A JSON list of keys, as many scripts have one, turned into a configuration and files of secrets.

    [{"name": "trend", "api_key": "…", "api_secret": "…", "testnet": true}, …]

All is read and checked before anything is written, and no message holds a value of the file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reconciler.errors import ConfigError, ReconcilerError

from .accounts import NAMED, folded, is_name
from .loading import load_all

MOST_ACCOUNTS = 200  # of one configuration
#: What a field may be called, once capitals, blanks, - and _ are taken out of its name.
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "account", "accountname", "label", "alias", "nickname"),
    "api_key": ("apikey", "key", "apikeyid", "keyid", "accesskey", "publickey"),
    "api_secret": ("apisecret", "secret", "secretkey", "apisecretkey", "privatekey"),
    "testnet": ("testnet", "istestnet", "sandbox"),
    "environment": ("environment", "env", "network"),
    "url": ("url", "baseurl", "endpoint"),
    "symbols": ("symbols", "symbol", "instruments"),
    "enabled": ("enabled", "active"),
    "disabled": ("disabled",),
    "exchange": ("exchange", "venue", "broker"),
}
MEANS = {spelling: field for field, spellings in SPELLINGS.items() for spelling in spellings}
ENVIRONMENTS = {
    "live": "live", "mainnet": "live", "production": "live", "prod": "live", "real": "live",
    "testnet": "testnet", "test": "testnet", "sandbox": "testnet",
    "simulated": "simulated", "paper": "simulated",
}  # fmt: skip
EXPECTED = {"testnet": bool, "enabled": bool, "disabled": bool}


class Account(NamedTuple):
    """One entry that makes sense."""

    name: str
    api_key: str
    api_secret: str
    environment: str
    url: str | None
    symbols: tuple[str, ...] | None

    def __repr__(self) -> str:
        return f"Account({self.name!r})"


class Converted(NamedTuple):
    """What a list of keys holds."""

    accounts: tuple[Account, ...]
    left_out: tuple[str, ...]  # fields that have no place here, and entries that are switched off


def read(text: str, environment: str | None = None) -> Converted:
    """
    Understand a list of keys.

    Args:
        text: JSON: a list of objects, an object with such a list under "accounts", or an object
            of objects by name.
        environment: Of the entries that name none.

    Raises:
        ConfigError: An entry that cannot be an account; its index and the field are named.
    """
    found, left_out, places = [], [], []
    entries = _entries(text)
    if len(entries) > MOST_ACCOUNTS:
        raise ConfigError(
            f"the list holds {len(entries)} entries, and at most {MOST_ACCOUNTS} accounts are kept",
            next_step="Make several configurations of it.",
        )
    for index, entry in enumerate(entries):
        where = f"[{index}]"
        fields, unknown = _fields(entry, where)
        left_out += [f"{where}.{name}" for name in unknown]
        if fields.get("enabled") is False or fields.get("disabled") is True:
            left_out.append(f"{where}, which is switched off")
            continue
        found.append(_account(fields, where, environment))
        places.append(index)
    if not found:
        raise ConfigError("the list holds no account", next_step="Name at least one.")
    _check_apart(found, places)
    return Converted(tuple(found), tuple(left_out))


def _entries(text: str) -> Sequence[Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ConfigError(
                    f"{_shown(name)} is there twice in one entry", next_step="Leave one out."
                )
            found[name] = value
        return found

    try:
        values = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"it is not JSON: {error.msg}, line {error.lineno} column {error.colno}",
            next_step='Write [{"name": "…", "api_key": "…", "api_secret": "…"}].',
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError("it has a number that is too long, or lists without end") from None
    if isinstance(values, dict) and isinstance(values.get("accounts"), list):
        values = values["accounts"]
    elif isinstance(values, dict) and all(isinstance(one, dict) for one in values.values()):
        values = [{"name": name, **entry} for name, entry in values.items()]
    if not isinstance(values, list):
        raise ConfigError(
            "it is no list of accounts",
            next_step='Write [{"name": "…", "api_key": "…", "api_secret": "…"}].',
        )
    return values


def _fields(entry: Any, where: str) -> tuple[dict[str, Any], list[str]]:
    """The fields that we know, by our names, and the names of the others."""
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is {_kind(entry)}, and an entry is an object")
    fields: dict[str, Any] = {}
    spelt: dict[str, str] = {}
    unknown = []
    for name, value in entry.items():
        field = MEANS.get(re.sub(r"[\s_-]", "", name).lower())
        if field is None:
            unknown.append(name)
        elif field in fields:
            raise ConfigError(f"{where} has both {spelt[field]} and {_shown(name)}: which is it?")
        elif value is not None:
            fields[field], spelt[field] = value, _shown(name)
    if "api_key" not in fields and "id" in entry:  # as BitMEX itself shows a key
        fields["api_key"] = entry["id"]
        unknown.remove("id")
    return fields, [_shown(name) for name in unknown]


def _account(fields: Mapping[str, Any], where: str, environment: str | None) -> Account:
    for field, kind in EXPECTED.items():
        if field in fields and not isinstance(fields[field], kind):
            raise ConfigError(
                f"{where}.{field} is {_kind(fields[field])}, and must be true or false"
            )
    for field in ("name", "api_key", "api_secret"):
        _check_text(fields, field, where)
    if not is_name(fields["name"]):
        raise ConfigError(f"{where}.name is no name of an account", next_step=NAMED)
    if fields["name"] in (fields["api_key"], fields["api_secret"]):
        raise ConfigError(f"{where}.name is its api_key or api_secret", next_step="Give it one.")
    exchange = fields.get("exchange", "bitmex")
    if not isinstance(exchange, str) or exchange.lower() != "bitmex":
        raise ConfigError(f"{where}.exchange is not bitmex", next_step="Leave that entry out.")
    return Account(
        name=fields["name"],
        api_key=fields["api_key"],
        api_secret=fields["api_secret"],
        environment=_environment(fields, where, environment),
        url=_url(fields, where),
        symbols=_symbols(fields, where),
    )


def _check_text(fields: Mapping[str, Any], field: str, where: str) -> None:
    value = fields.get(field)
    if value is None or value == "":
        raise ConfigError(
            f"{where}.{field} is missing",
            next_step=f"It may be called {', '.join(SPELLINGS[field][:3])}.",
            field=f"{where}.{field}",
        )
    if not isinstance(value, str):
        raise ConfigError(f"{where}.{field} is {_kind(value)}, and must be text")
    if field != "name" and not re.fullmatch(r"[!-~]{1,500}", value):
        raise ConfigError(f"{where}.{field} is no plain text without blanks")


def _environment(fields: Mapping[str, Any], where: str, otherwise: str | None) -> str:
    said = fields.get("environment")
    if said is not None:
        if not isinstance(said, str) or said.lower() not in ENVIRONMENTS:
            raise ConfigError(f"{where}.environment is none of live, testnet, simulated")
        found = ENVIRONMENTS[said.lower()]
        if "testnet" in fields and fields["testnet"] != (found == "testnet"):
            raise ConfigError(f"{where} says one thing as environment and another as testnet")
        return found
    if "testnet" in fields:
        return "testnet" if fields["testnet"] else "live"
    if otherwise is None:
        raise ConfigError(
            f"{where} says neither testnet nor environment",
            next_step="Add it, or say --environment for all that don't.",
            field=f"{where}.environment",
        )
    return otherwise


def _url(fields: Mapping[str, Any], where: str) -> str | None:
    url = fields.get("url")
    if url is None or (isinstance(url, str) and re.fullmatch(r"https?://[!-~]{1,200}", url)):
        return url
    raise ConfigError(f"{where}.url is no address such as https://host")


def _symbols(fields: Mapping[str, Any], where: str) -> tuple[str, ...] | None:
    symbols = fields.get("symbols")
    if symbols is None:
        return None
    if isinstance(symbols, str):
        symbols = [part.strip() for part in symbols.split(",")]
    if not isinstance(symbols, list) or not all(
        isinstance(one, str) and re.fullmatch(r"[A-Z0-9_.]{1,30}", one) for one in symbols
    ):
        raise ConfigError(f"{where}.symbols is no list of symbols in capitals")
    return tuple(symbols)


def _check_apart(found: Sequence[Account], places: Sequence[int]) -> None:
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for index, account in zip(places, found, strict=True):
        said = f"[{index}] {account.name!r}"
        if (other := names.setdefault(folded(account.name), said)) != said:
            raise ConfigError(
                f"{said} and {other} have one name",
                next_step="Rename one: capitals, - and _ make no difference.",
            )
        if (other := keys.setdefault(account.api_key, said)) != said:
            raise ConfigError(f"{said} and {other} have one api_key", next_step="Leave one out.")


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return "nothing" if value is None else kinds.get(type(value), "an object")


def _shown(name: str) -> str:
    """The name of a field; one that could be a value in the wrong place is cut short."""
    return name if re.fullmatch(r"[A-Za-z][A-Za-z0-9 _-]{0,19}", name) else f"{name[:3]!r}…"


def write(converted: Converted, config: Path, secrets: Path) -> None:
    """
    Write the configuration and the secrets, all or nothing, and nothing over what is there.

    Raises:
        ConfigError: One of the two is there already, or the configuration would not be accepted.
    """
    for path in (config, secrets):
        if path.exists() or path.is_symlink():
            raise ConfigError(
                f"{path} is there already",
                next_step="Name others with --to and --secrets, or move it away.",
                path=str(path),
            )
    with tempfile.TemporaryDirectory(dir=config.parent, prefix=f".{config.name}.") as folder:
        new, keys = Path(folder) / "new.toml", Path(folder) / "keys"
        keys.mkdir(mode=0o700)
        for account in converted.accounts:
            for field, value in (("api_key", account.api_key), ("api_secret", account.api_secret)):
                name = f"reconciler_account__{folded(account.name)}__{field}"
                _write(keys / name, f"{value}\n")
        _write(new, text_of(converted.accounts, keys.absolute()))
        try:
            load_all([new], {}, {})
        except ReconcilerError as error:
            said = error.message.replace(str(new), str(config))
            raise ConfigError(f"that would be refused as a configuration: {said}") from None
        new.unlink()
        _write(new, text_of(converted.accounts, _beside(config, secrets)))
        keys.rename(secrets)
        try:
            os.link(new, config)  # unlike a rename it replaces nothing
        except OSError:
            shutil.rmtree(secrets)
            raise


def text_of(accounts: Sequence[Account], secrets: Path) -> str:
    """The configuration file. No secret is in it."""
    lines = ["# Made by `reconciler accounts convert`. The keys are in the directory below.", ""]
    lines += ["[secrets]", f"directory = {json.dumps(str(secrets))}", ""]
    for account in accounts:
        lines += [f"[account.{account.name}]", f'environment = "{account.environment}"']
        if account.url is not None:
            lines.append(f"url = {json.dumps(account.url)}")
        if account.symbols is not None:
            lines.append(f"symbols = {json.dumps(list(account.symbols))}")
        lines.append("")
    return "\n".join(lines)


def _beside(config: Path, secrets: Path) -> Path:
    """The directory as the file names it: relative if it stands beside it."""
    same = secrets.absolute().parent == config.absolute().parent
    return Path(secrets.name) if same else secrets.absolute()


def _write(path: Path, text: str) -> None:
    """A new file for its owner's eyes only, on the disk when this returns."""
    fileno = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fileno, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
