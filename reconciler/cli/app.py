"""
The application: the options that every command takes, and what becomes of an error.

A command is a function whose first parameter is an `Ask`: the global options, wherever they stood.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import re
import signal
import sys
import typing
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from reconciler import __version__
from reconciler.cli import early, failures

if TYPE_CHECKING:
    from reconciler.config import AppConfig

FORMATS = ("table", "wide", "json", "jsonl", "csv", "name")
#: In the order of the help.
GROUPS = (
    "run",
    "simulate",
    "targets",
    "apply",
    "modes",
    "incidents",
    "schedules",
    "strategies",
    "look",
    "why",
    "prove",
    "bundle",
    "care",
    "accounts",
    "setup",
)
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
#: Marks an argument that looks like an option. No argument of a process can hold it.
NUMBER = "\x00"


@dataclasses.dataclass(kw_only=True)
class Ask:
    """What was asked for beside the command itself."""

    config: tuple[Path, ...] = ()
    database: str | None = None
    api: str | None = None
    account: str | None = None
    output: str | None = None
    no_color: bool = False
    quiet: bool = False
    verbose: int = 0
    yes: bool = False

    def settings(self, account: str | None = None) -> AppConfig:
        """The configuration in force for this command, or for an account of it."""
        from reconciler import config

        options = {}
        if self.database is not None:
            options["database.url"] = self.database
        if (named := account or self.account) is not None:
            options["exchange.account"] = named
        return config.load(self.config, options)

    def accounts(self) -> dict[str, AppConfig]:
        """The configuration of every account, or only of the one that was named."""
        from reconciler import config

        if self.account is not None:
            return {self.account: self.settings()}
        options = {} if self.database is None else {"database.url": self.database}
        return config.load_all(self.config, options)

    @property
    def form(self) -> str:
        """How results are written: as asked, else a table on a terminal and elsewhere."""
        return self.output or "table"

    def note(self, text: str) -> None:
        """Say something that is not the result."""
        if not self.quiet:
            from reconciler.logs import inert

            print(inert(text), file=sys.stderr)


def _format(value: str | None) -> str | None:
    if value is not None and value not in FORMATS:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(FORMATS)}")
    return value


def _parameter(name: str, kind: Any, default: Any, *words: str, **more: Any) -> inspect.Parameter:
    # Before the command the options are shown; after it they are taken as well.
    option = typer.Option(*words, **more)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )


def _globals(*, hidden: bool) -> list[inspect.Parameter]:
    """The global options as parameters of a function."""

    def option(name: str, kind: Any, default: Any, *words: str, **more: Any) -> inspect.Parameter:
        return _parameter(f"ask_{name}", kind, default, *words, hidden=hidden, **more)

    optional = str | None
    return [
        option(
            "config", list[Path] | None, None, "-c", "--config", metavar="PATH",
            help="Configuration file; may be repeated, the later wins.",
        ),
        option(
            "database", optional, None, "--database", metavar="URL",
            help="Journal to use, instead of the configured one.",
        ),
        option(
            "api", optional, None, "--api", metavar="URL", envvar="RECONCILER_API_URL",
            show_envvar=not hidden, help="Ask the service at this address.",
        ),
        option(
            "account", optional, None, "-a", "--account", metavar="NAME",
            help="Account; by default the only one.",
        ),
        option(
            "output", optional, None, "-o", "--output", metavar="FORMAT", callback=_format,
            help=f"One of {', '.join(FORMATS)}.",
        ),
        option("no_color", bool, False, "--no-color", help="No colours; also NO_COLOR=1."),
        option("quiet", bool, False, "-q", "--quiet", help="Only results and errors."),
        option(
            "verbose", int, 0, "-v", "--verbose", count=True, show_default=False,
            help="More on standard error; -vv for debugging.",
        ),
        option("yes", bool, False, "-y", "--yes", help="Don't ask; do it."),
    ]  # fmt: skip


def _taken(values: dict[str, Any], before: Ask | None) -> Ask:
    """The global options of both places; after the command wins."""
    ask = dataclasses.replace(before) if before is not None else Ask()
    for field in dataclasses.fields(Ask):
        value = values.pop(f"ask_{field.name}", None)
        if value:
            setattr(ask, field.name, tuple(value) if field.name == "config" else value)
    if os.environ.get("NO_COLOR"):
        ask.no_color = True
    return ask


class ReaderGone(Exception):
    """Whoever read our output has closed it."""


class Command(TyperCommand):
    """A command whose arguments may be negative numbers: ``set XBTUSD -300``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        takes_value = {
            word: not (getattr(item, "is_flag", False) or getattr(item, "count", False))
            for item in self.params
            for word in item.opts
        }
        marked, left = [], iter(args)
        for word in left:
            if word == "--":
                marked += [word, *left]
            elif takes_value.get(word):
                marked += [word, *[value for value in [next(left, None)] if value is not None]]
            elif re.match(r"-[^A-Za-z-]", word):
                marked.append(NUMBER + word)
            else:
                marked.append(word)
        rest: list[str] = super().parse_args(ctx, marked)
        return rest


app = typer.Typer(
    name="reconciler",
    help="Say which position to hold; it gets there, stays there, and can prove every step.",
    epilog="These options may also stand after the command. `reconciler COMMAND --help` says more.",
    context_settings=CONTEXT,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=False,
)


def group(name: str, help: str) -> typer.Typer:
    """A command that has commands of its own."""
    made = typer.Typer(
        name=name,
        help=help,
        context_settings=CONTEXT,
        rich_markup_mode=None,
        add_completion=False,
    )
    app.add_typer(made)
    return made


def command(
    name: str, *, of: typer.Typer | None = None, **more: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function: its parameters, and the global options after them."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        hints = typing.get_type_hints(function, include_extras=True)
        _, *own = inspect.signature(function).parameters.values()

        @functools.wraps(function)
        def run(ctx: typer.Context, **values: Any) -> None:
            ask = _taken(values, ctx.find_root().obj)
            ctx.find_root().obj = ask
            if (name, of) != ("run", None):
                early.not_for_us()
            try:
                function(ask, **values)
                sys.stdout.flush()
            except BrokenPipeError:
                raise ReaderGone from None

        context = inspect.Parameter(
            "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        parameters = [
            item.replace(annotation=hints[item.name], kind=inspect.Parameter.KEYWORD_ONLY)
            for item in own
        ]
        parameters = [context, *parameters, *_globals(hidden=True)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        del run.__wrapped__
        (of or app).command(name, cls=Command, **more)(run)
        return function

    return decorate


def _root() -> None:
    def start(ctx: typer.Context, version: bool, **values: Any) -> None:
        if version:
            print(f"reconciler {__version__}")
            raise typer.Exit
        ctx.obj = _taken(values, None)
        if ctx.invoked_subcommand is None:
            print(ctx.get_help())
            raise typer.Exit(0)

    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    shown = _parameter("version", bool, False, "--version", help="Say the version and stop.")
    parameters = [context, *_globals(hidden=False), shown]
    start.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    start.__annotations__ = {item.name: item.annotation for item in parameters}
    app.callback(invoke_without_command=True)(start)


_root()


def run(arguments: list[str]) -> int:
    """Run the command in *arguments*; its exit code. No foreseen error leaves as a traceback."""
    for name in GROUPS:
        import_module(f"reconciler.cli.{name}")
    form, debug = failures.wanted(arguments)
    try:
        result = app(arguments, prog_name="reconciler", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except (ReaderGone, BrokenPipeError):
        # Nothing is left to say, not even at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 128 + signal.SIGPIPE
    except typer.Abort:
        return 130
    except Exception as error:
        code = failures.report(error, form, debug=debug)
        try:
            sys.stdout.flush()
        except OSError:  # it is full: what is left is not tried again at the end of the process
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return code
    return result if isinstance(result, int) else 0
