"""
The log: one event a line, in words on a terminal and as JSON everywhere else.

An event has a name (noun.verb, all of them in EVENTS) and values with their units in their names.
Whatever comes from outside is inert here: control characters are escaped, in both forms. Secrets
are masked by the name of their key and, once they were named to `configure`, wherever they stand.
"""

from __future__ import annotations

import functools
import json
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TextIO

import msgspec

if TYPE_CHECKING:
    import structlog

#: Says one thing: level, name of the event, and its values.
Say = Callable[..., None]

LEVELS: Final = ("debug", "info", "warning", "error", "critical")

#: Every event that there is, and the words that stand for its name on a terminal.
EVENTS: Final[Mapping[str, str]] = {
    "config.reload": "settings read again",
    "config.refused": "settings refused, the old ones stay",
    "service.start": "started",
    "service.stop": "stopped",
    "service.fail": "failed",
    "service.halt": "halted",
    "service.resume": "resumed",
    "mode.set": "mode",
    "mode.end": "mode ended",
    "schedule.set": "schedule",
    "recovery.start": "recovering",
    "recovery.done": "recovered",
    "stream.open": "stream open",
    "stream.close": "stream lost",
    "stream.resync": "reading everything again",
    "account.fail": "is not run any more",
    "account.other": "rows of another account are left out",
    "stream.wait": "the stream is not in sync",
    "target.accepted": "target",
    "target.refused": "target refused",
    "target.expired": "target expired",
    "target.held": "on target",
    "order.decided": "order",
    "order.sent": "order sent",
    "order.live": "order live",
    "order.filled": "order filled",
    "order.canceled": "order canceled",
    "order.rejected": "order rejected",
    "order.in_doubt": "order in doubt",
    "order.settled": "order settled",
    "fill.booked": "fill",
    "position.adjust": "position adjusted",
    "request.refused": "request refused",
    "symbol.transition": "",
    "limit.hit": "limit hit",
    "rate.wait": "waiting for request budget",
    "incident.open": "incident opened",
    "incident.close": "incident closed",
    "incident.resolve": "incident decided",
    "lease.gained": "lease gained",
    "lease.lost": "lease lost",
    "backup.done": "backup written",
    "strategy.start": "strategy runs",
    "strategy.stop": "strategy stopped",
    "strategy.fail": "strategy failed",
    "strategy.note": "strategy says",
    "signal.refused": "signal refused",
    "weights.reload": "weights read again",
    "weights.refused": "weights refused, the old ones stay",
    "signal.wait": "signals wait for the service",
    "signal.again": "the service takes signals again",
    "api.request": "request",
    "api.fail": "request failed",
}

FIXED: Final = ("ts", "level", "event", "run_id", "account", "symbol", "seq")
#: In names of keys, variables and parameters whose values open doors.
SECRET_NAMES: Final = (
    "secret|token|passw|pass_?phrase|pass_?code|credential|private|api_?key|[a-z]_key"
)
SECRET: Final = re.compile(rf"(?i){SECRET_NAMES}|^(?:authorization|signature)$")
SHORTEST_SECRET: Final = 6  # a shorter text is no secret: masked everywhere, it would mask words
MASK: Final = "**********"


def configure(
    *,
    stream: TextIO,
    form: str = "auto",
    level: str = "info",
    secrets: Iterable[str] = (),
    several: bool = False,
    **fixed: str,
) -> Say:
    """
    Open a log.

    Args:
        stream: Where it goes.
        form: "words", "json", or "auto": words if the stream is a terminal.
        level: Less important events are left out.
        secrets: Values to mask wherever they appear.
        several: Whether several accounts write there: words name it, too.
        fixed: Values that every event carries, such as run_id and account.

    Returns:
        What says one thing: ``say("info", "target.held", symbol="XBTUSD", contracts=300)``.
    """
    import structlog  # late: every command needs `inert`, few write a log

    words = form == "words" or (form == "auto" and stream.isatty())
    told = frozenset(LEVELS[LEVELS.index(level) :])
    hidden = tuple(sorted((s for s in secrets if s), key=len, reverse=True))
    logger = structlog.wrap_logger(
        _Lines(stream),
        processors=[_masking(hidden), _Stamp(), _form(words=words, several=several)],
        wrapper_class=structlog.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=True,
    ).bind(**fixed)

    def say(level: str, event: str, /, **values: object) -> None:
        if level in told:
            try:
                getattr(logger, level)(event, level=level, **values)
            except (OSError, ValueError):
                pass  # the terminal is gone; that is no reason to stop trading

    return say


def inert(text: str) -> str:
    """*text* with everything that could move a cursor or forge a line written out as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _is_plain(c) else c.encode("unicode_escape").decode() for c in text)


def _is_plain(character: str) -> bool:
    return character.isprintable() and unicodedata.category(character) not in {"Cf", "Cs", "Zl"}


def masked(value: object, hidden: Iterable[str] = ()) -> object:
    """*value* without the texts in *hidden*, and without what is called a secret, however deep."""
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {
            str(key): MASK if is_secret(str(key)) else masked(item, hidden)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [masked(item, hidden) for item in value]
    return value


@functools.lru_cache(maxsize=1_000)
def is_secret(name: str) -> bool:
    """Whether a key, a variable or a parameter is called as what opens doors is called."""
    return SECRET.search(name) is not None


def called_secret(value: object, *, called: bool = False) -> Iterator[str]:
    """The texts and numbers in *value* under names that say that they are secret, however deep."""
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from called_secret(one, called=called or is_secret(str(name)))
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from called_secret(one, called=called)
    elif called and not isinstance(value, bool) and len(str(value)) >= SHORTEST_SECRET:
        yield str(value)


def _masking(hidden: tuple[str, ...]) -> structlog.types.Processor:
    def mask(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if is_secret(key):
                event[key] = MASK
            elif type(value) is str:  # nearly all of them
                for secret in hidden:
                    if secret in value:
                        event[key] = value = value.replace(secret, MASK)
            elif type(value) is not int:
                event[key] = masked(value, hidden)
        return event

    return mask


class _Stamp:
    """Adds the time, and puts the fixed keys first. Days and hours are written once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._words = ""

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        second, rest = divmod(time.time_ns() // 1000, 1_000_000)
        if second != self._second:
            self._words = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"
            self._second = second
        event["ts"] = f"{self._words}.{rest:06d}Z"
        stamped = {name: event[name] for name in FIXED if name in event}
        stamped.update(event)  # those that are there keep their places
        return stamped


class _Lines:
    """Writes whole lines, each at once."""

    _lock = threading.Lock()  # the loops and the threads of doors speak, some to one stream

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()

    debug = info = warning = error = critical = msg


_quick = msgspec.json.Encoder(enc_hook=str).encode


def _as_json(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    try:
        line = _quick(event)
        if line.isascii():
            return line.decode()
    except (UnicodeEncodeError, OverflowError):
        pass  # half a character, or a number of more than 64 bits
    return json.dumps(event, default=str, separators=(",", ":"))  # escapes what is not ASCII


def _form(*, words: bool, several: bool) -> structlog.types.Processor:
    if not words:
        return _as_json
    return _in_words_of_several if several else _in_words


def _in_words_of_several(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """``12:00:01Z  alpha       XBTUSD   idle → placing``: whose it is comes first."""
    account, line = inert(str(event.get("account", ""))), _in_words(_, __, event)
    return f"{line[:9]}  {account:<10}{line[9:]}"


def _in_words(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """``12:00:01Z  XBTUSD   idle → placing          limit Buy 600 @ 64231.5``"""
    values = dict(event)
    at, level, name = values.pop("ts"), values.pop("level"), values.pop("event")
    for key in ("run_id", "account", "seq"):
        values.pop(key, None)
    subject = values.pop("symbol", None) or name.partition(".")[0]
    if name == "symbol.transition":
        said = f"{values.pop('from_state', '?')} → {values.pop('to_state', '?')}"
        values.pop("trigger", None)
        detail = values.pop("detail", "")
        said = f"{said:<22}  {detail}" if detail else said
    else:
        said = EVENTS.get(name, name)
        if isinstance(contracts := values.pop("contracts", None), int):
            said += f" {contracts:+d}"
    rest = "  ".join(f"{key} {_short(value)}" for key, value in values.items() if value != "")
    mark = "" if level in {"debug", "info"} else f"{level.upper()}  "
    line = f"{at[11:19]}Z  {subject:<8} {mark}{said}" + (f"  {rest}" if rest else "")
    return inert(line)


def _short(value: object) -> str:
    return str(value) if isinstance(value, (str, int, float, Decimal)) else json.dumps(value)
