"""From the strategies into the loop: in order, the newest only, and an error is nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from threading import Timer

from reconciler.core.events import AnyEvent, Signalled, StrategyChanged
from reconciler.core.ledger import Ledger
from reconciler.service.handover import Handover, Made
from reconciler.strategy.instance import Change
from reconciler.strategy.signals import Signal


class Loop:
    """It comes to what waits when it is told to; each call is a commit."""

    def __init__(self) -> None:
        self.calls: list[Callable[[Ledger], Made]] = []
        self.commits: list[list[str]] = []
        self.broke: list[str] = []
        self.handover = Handover(
            self.calls.append,
            self.take,
            lambda change: StrategyChanged(at_us=1, strategy=change.strategy, state=change.state),
            lambda signal, error: self.broke.append(f"{signal.strategy}: {error}"),
        )

    def take(self, _: Ledger, signals: Iterable[Signal]) -> Sequence[AnyEvent]:
        events = []
        for number, one in enumerate(signals):
            if one.reason == "breaks":
                raise KeyError(one.strategy)
            events.append(
                Signalled(
                    at_us=1, number=number, strategy=one.strategy, symbol="X", strength=one.strength
                )
            )
        return events

    def turn(self) -> list[list[str]]:
        """What is recorded, commit by commit."""
        self.commits.clear()
        while self.calls:
            events, finish = self.calls.pop(0)(Ledger())
            finish(Ledger())
            if events:
                self.commits.append([in_words(event) for event in events])
        return self.commits

    def say(self, strategy: str, strength: int, reason: str = "") -> None:
        self.handover.put(
            Signal(strategy=strategy, symbol="X", strength=Decimal(strength), reason=reason)
        )


def in_words(event: AnyEvent) -> str:
    if isinstance(event, Signalled):
        return f"{event.strategy} {event.strength:+f}"
    assert isinstance(event, StrategyChanged)
    return f"{event.strategy} {event.state}"


def test_all_that_waits_is_one_commit_and_the_newest_of_each_counts() -> None:
    """A hundred strategies that speak at once cost one write to the disk, and one wake-up."""
    loop = Loop()
    for strategy, strength in (("a", 1), ("b", 2), ("a", 3)):
        loop.say(strategy, strength)
    assert len(loop.calls) == 1
    assert loop.turn() == [["b +2", "a +3"]]
    loop.say("a", 4)
    assert loop.turn() == [["a +4"]]


def test_a_change_keeps_its_place_among_the_signals() -> None:
    """Zeroed before it failed, or after: the record says which, and no later word jumps ahead."""
    loop = Loop()
    loop.say("a", 1)
    loop.handover.put(Change(strategy="a", state="failed"))
    loop.say("a", 0)
    loop.say("b", 1)
    assert loop.turn() == [["a +1"], ["a failed"], ["a +0", "b +1"]]


def test_a_signal_that_breaks_whoever_records_it_takes_no_other_with_it() -> None:
    """An error of our own: the ones beside it are recorded, and whose it was is told."""
    loop = Loop()
    loop.say("a", 1)
    loop.say("b", 2, "breaks")
    loop.say("c", 3)
    assert loop.turn() == [["a +1"], ["c +3"]]
    assert loop.broke == ["b: 'b'"]


def test_who_asks_waits_for_what_was_put_before() -> None:
    """The answer to a person's stop comes after its record, and not before the loop came to it."""
    loop = Loop()
    loop.say("a", 1)
    assert not loop.handover.handed_over(0.01)
    Timer(0.02, loop.turn).start()
    assert loop.handover.handed_over(10)
