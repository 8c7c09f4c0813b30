"""Several doors at one moment: one order of events, one winner, and every word in the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.settings import Settings
from reconciler.errors import NotFound, ReconcilerError, StaleVersion
from reconciler.journal import History, replay
from reconciler.service.door import ModeRequest, StrategyReport, TargetRequest
from reconciler.service.options import Options
from reconciler.service.service import Service

DOORS = 6


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """One that runs, without a venue."""
    made = Service(
        Options(
            database=tmp_path / "journal.db",
            settings=Settings(symbols=("XBTUSD",)),
            durability="process",
        ),
        None,
    )
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    assert made.ready.wait(10)
    yield made
    made.stop("the test is over")
    thread.join(15)
    assert not thread.is_alive()
    assert replay(tmp_path / "journal.db").difference is None


def at_once(*asks: Callable[[], object]) -> list[Any]:
    """What each is answered, or the error that it gets, when all ask in one moment."""
    start, answers = threading.Barrier(len(asks)), [None] * len(asks)

    def ask(place: int) -> None:
        start.wait()
        try:
            answers[place] = asks[place]()  # type: ignore[call-overload]
        except ReconcilerError as error:
            answers[place] = error  # type: ignore[call-overload]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return answers


def rows(service: Service, view: str) -> list[dict[str, Any]]:
    with History.open(service.options.database) as history:
        return history.rows(view, limit=0, newest_first=False).dicts()


def test_one_incident_is_decided_by_one_of_them(service: Service) -> None:
    """The others are told that it is open no more: none of them believes it was theirs."""
    service.report_strategy(StrategyReport(strategy="A", state="failed", detail="zero"))
    (incident,) = service.status()["incidents"]
    name = f"INC-{incident['incident_id']}"
    answers = at_once(
        *(
            lambda door=door: service.resolve(name, "ignore", by=f"door {door}", reason="seen")
            for door in range(DOORS)
        )
    )
    won = [place for place, answer in enumerate(answers) if not isinstance(answer, NotFound)]
    assert len(won) == 1, answers
    (row,) = rows(service, "v_incidents")
    assert row["decided_by"] == f"door {won[0]}"


def test_freezes_and_resumes_are_in_one_order_and_the_last_one_counts(service: Service) -> None:
    """Each is in the journal; what is so now is what the last of them said."""

    def freeze() -> object:
        return service.set_mode(ModeRequest(mode="freeze", by="one", symbols=("XBTUSD",)))

    for _ in range(5):
        answers = at_once(freeze, freeze, *[lambda: service.resume(by="two", reason="")] * 2)
        assert not [answer for answer in answers if isinstance(answer, Exception)]
    told = [row["mode"] for row in rows(service, "v_modes")]
    assert (len(told), told.count("freeze")) == (20, 10)
    assert bool(service.status()["incidents"]) == (told[-1] == "freeze")
    by_hand = rows(service, "v_incidents")
    assert len(by_hand) == sum(
        now == "freeze" != before
        for before, now in zip(["resume", *told], told, strict=False)
    )  # fmt: skip


def test_a_relative_target_with_a_key_is_added_once(service: Service) -> None:
    """Whoever asks again because no answer came adds nothing: in whichever order they arrive."""
    service.set_target(TargetRequest(symbol="XBTUSD", contracts=100))
    wanted = TargetRequest(symbol="XBTUSD", by=50, key="k")
    answers = at_once(*[lambda: service.set_target(wanted)] * DOORS)
    assert [answer.contracts for answer in answers] == [150] * DOORS
    assert sum(answer.changed for answer in answers) == 1
    assert [row["contracts"] for row in rows(service, "v_targets")] == [100, 150]


def test_of_several_that_replace_one_version_one_does(service: Service) -> None:
    """And the others are kept as refusals, by name."""
    answers = at_once(
        *(
            lambda door=door: service.set_target(
                TargetRequest(
                    symbol="XBTUSD", contracts=100 + door, if_version=0, source=f"door {door}"
                )
            )
            for door in range(DOORS)
        )
    )
    assert sum(not isinstance(answer, StaleVersion) for answer in answers) == 1
    (target,) = rows(service, "v_targets")
    refused = {row["source"] for row in rows(service, "v_refusals")}
    assert refused | {target["source"]} == {f"door {door}" for door in range(DOORS)}
