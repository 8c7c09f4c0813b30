"""
The pytest plugin: an exchange, or an exchange and a service, for your own tests.

It is found by pytest once the package is installed, and imports nothing of it before a test asks.

    def test_my_bot_buys(paper_exchange):
        bot = MyBot(paper_exchange.url, paper_exchange.key, paper_exchange.secret)
        bot.buy("XBTUSD", 100)
        assert paper_exchange.position("XBTUSD") == 100

Fixtures: `paper_exchange`, `paper_exchange_session`, `paper_exchange_options`, `reconciler_sim`.
docs/paper-exchange.md tells more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from reconciler.embedded import Reconciler
    from reconciler.paper import PaperExchange

MARKER = "paper_exchange"
#: A still market, so that a test decides what happens in it, and no limits, so that it need not
#: wait. `walk=True` and `rate_limits=True` give what a program meets outside its tests.
STILL: dict[str, Any] = {"seed": 7, "walk": False, "rate_limits": False}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for `--strict-markers`."""
    config.addinivalue_line(
        "markers",
        "paper_exchange(**options): options of reconciler.paper.PaperExchange for the fixtures "
        "`paper_exchange` and `reconciler_sim`, as symbols=['XBTUSD'], faults={'lost-answer': 0.1}",
    )


@pytest.fixture(scope="session")
def paper_exchange_options() -> dict[str, Any]:
    """Options of every exchange of the fixtures; define it again in your conftest.py."""
    return {}


@pytest.fixture
def paper_exchange(
    request: pytest.FixtureRequest, paper_exchange_options: dict[str, Any]
) -> Iterator[PaperExchange]:
    """An exchange of this test's own, on a free port; see `reconciler.paper.PaperExchange`."""
    with _exchange(paper_exchange_options | _marked(request)) as venue:
        yield venue


@pytest.fixture(scope="session")
def paper_exchange_session(paper_exchange_options: dict[str, Any]) -> Iterator[PaperExchange]:
    """One exchange for all tests of a session: what one leaves behind, the next one finds."""
    with _exchange(paper_exchange_options) as venue:
        yield venue


@pytest.fixture
def reconciler_sim(
    request: pytest.FixtureRequest, tmp_path: Path, paper_exchange_options: dict[str, Any]
) -> Iterator[Reconciler]:
    """A running service on an exchange of its own; see `reconciler.embedded.Reconciler`."""
    from reconciler.embedded import Reconciler

    options = {"walk": True} | paper_exchange_options | _marked(request)
    with Reconciler.simulated(tmp_path / "reconciler", **_known(options)) as running:
        yield running


def _marked(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of a test's markers: what is nearer to the test wins."""
    options: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(MARKER))):
        if mark.args:
            raise pytest.UsageError(
                f"{MARKER} takes named options, as seed=3; not {', '.join(map(repr, mark.args))}"
            )
        options |= mark.kwargs
    return options


def _exchange(options: dict[str, Any]) -> PaperExchange:
    from reconciler.paper import PaperExchange

    return PaperExchange(**_known(options))


def _known(options: dict[str, Any]) -> dict[str, Any]:
    """All options, those that nobody named included; one that the exchange lacks is refused."""
    import inspect

    from reconciler.paper import PaperExchange

    names = list(inspect.signature(PaperExchange).parameters)
    if unknown := [name for name in options if name not in names]:
        raise pytest.UsageError(
            f"{MARKER} has no option {', '.join(unknown)}; it has {', '.join(names)}"
        )
    return STILL | options
