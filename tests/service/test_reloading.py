"""A configuration that is read again: whole, or not at all, and the log says which."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler.cli import again
from reconciler.cli.app import Ask
from reconciler.core.events import Configured
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Limits, Settings
from reconciler.errors import ConfigError, Refused
from reconciler.service.netting import Weights
from reconciler.service.options import Options
from reconciler.service.reloading import Reloader, in_words
from reconciler.strategy.portfolio import Portfolio


class Desk:
    """What is in force of the weights."""

    weights = Weights()

    def adopt(self, weights, read_weights, why) -> None:
        self.weights = weights


class House:
    """A service's loop, its desk and its log; and the file that it reads."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict]] = []
        self.recorded: list[object] = []
        self.desk = Desk()
        self.now = self.file = options()
        self.busy = False
        self.reloader = self.made(self.read)

    def made(self, read) -> Reloader:
        loop = SimpleNamespace(now_us=lambda: 7, ask=self.ask)
        say = lambda level, event, **values: self.said.append((event, values))  # noqa: E731
        return Reloader(self.now, loop, self.desk, None, say, read)

    def read(self) -> Options:
        if isinstance(self.file, Exception):
            raise self.file
        return self.file

    def ask(self, make):
        if self.busy:
            raise TimeoutError("no answer")
        events, finish = make(Ledger())
        self.recorded += events
        return finish(Ledger())


def options(symbols=("XBTUSD",), most=10, weights=None, **more) -> Options:
    return Options(
        database=Path("j.db"),
        settings=Settings(symbols=symbols, limits=Limits(max_position_contracts=most)),
        weights=weights,
        **more,
    )


def test_what_changed_is_told_and_recorded() -> None:
    """Limits and weights are put in force; a setting that needs a new start is named."""
    house = House()
    main = Portfolio(name="main", strategies={"A": Decimal(1)}, symbols={"XBTUSD": Decimal(1)})
    house.file = options(most=5, weights=Weights((main,), ("A",)), fixed={"api.listen": "x"})
    done = house.reloader.now()
    assert in_words(done) == {
        "limits": "changed", "portfolios": "changed", "needs_start": "api.listen",
    }  # fmt: skip
    assert house.said == [("config.reload", in_words(done))]
    assert house.recorded == [Configured(at_us=7, settings=house.file.settings)]
    assert (house.desk.weights, house.now.settings) == (house.file.weights, house.file.settings)
    house.recorded.clear()
    assert in_words(house.reloader.now()) == {"needs_start": "api.listen"}


@pytest.mark.parametrize(
    ("file", "busy", "error"),
    [
        (ConfigError("limits.max_posit is not a setting"), False, ConfigError),
        (options(symbols=("XBTUSD", "ETHUSD"), most=5), False, Refused),
        (options(most=5), True, TimeoutError),
    ],
)
def test_what_is_refused_changes_nothing_and_is_in_the_log(file, busy, error) -> None:
    """Also when nobody waits for an answer: by a signal."""
    house = House()
    before = house.now.settings
    house.file, house.busy = file, busy
    with pytest.raises(error):
        house.reloader.now()
    house.reloader._quietly()
    assert [event for event, _ in house.said] == ["config.refused"] * 2
    assert (house.recorded, house.now.settings, house.desk.weights) == ([], before, Weights())


def test_settings_of_a_program_cannot_be_read_again() -> None:
    house = House()
    by_program = house.made(None)
    by_program.soon()
    with pytest.raises(Refused, match="by a program"):
        by_program.now()
    assert not by_program.can_read


def test_a_file_that_is_gone_is_no_word_about_anything(tmp_path: Path) -> None:
    """Taken at its word, it would lift every limit and end every strategy."""
    file = tmp_path / "reconciler.toml"
    file.write_text("[limits]\nmax_position_contracts = 5\n")
    ask = Ask(config=(file,), database=str(tmp_path / "j.db"))
    read = again.reader(ask, ask.settings())
    assert read().settings.limits.max_position_contracts == 5
    file.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        read()
    file.unlink()
    with pytest.raises(ConfigError, match="which was read at the start, cannot be read"):
        read()
