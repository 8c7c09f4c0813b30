"""
The desk: where signals come in, from any thread, and weights are kept.

However many signals wait, the loop takes them all at once and records them in one commit; of one
strategy and symbol, the last that waits counts and those before it are told so. So a strategy that
changes its mind a hundred times a second costs as many commits as the disk can do, and no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.core.events import AnyEvent, Configured, InstrumentSeen
from reconciler.core.ledger import Ledger
from reconciler.errors import ConfigError, InDoubt, ReconcilerError
from reconciler.service import netting
from reconciler.service.door import SignalResult
from reconciler.service.netting import Weights
from reconciler.strategy.signals import Signal

if TYPE_CHECKING:
    from reconciler.service.engine import Step
    from reconciler.service.loop import Loop
    from reconciler.service.telling import Say

#: Reads the weights again: None, as long as nothing has changed. Raises ConfigError.
ReadWeights = Callable[[], Weights | None]


class _Ticket:
    """A signal on its way through the loop."""

    def __init__(self, signal: Signal) -> None:
        self.signal = signal
        self.result: SignalResult | None = None
        self.error: ReconcilerError | None = None


class Desk:
    """
    One a service.

    Args:
        loop: Where the ledger lives.
        weights: To begin with.
        on_expiry: What the end of a target means, where a portfolio does not say.
        say: For what nobody asked about: weights that changed, or were refused.
        read_weights: Called once a second.
    """

    def __init__(
        self,
        loop: Loop,
        weights: Weights,
        on_expiry: str,
        say: Say,
        read_weights: ReadWeights | None = None,
    ) -> None:
        self._loop, self._on_expiry, self._say = loop, on_expiry, say
        self.weights = weights
        self._read_weights = read_weights
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._memory = netting.Memory()
        self._why = ""  # all is netted anew at the next change of settings

    # -- for every thread ----------------------------------------------------------------------

    def signal(self, signal: Signal) -> SignalResult:
        """See `Door.signal`."""
        ticket = _Ticket(signal)
        with self._lock:
            self._waiting.append(ticket)
        try:
            self._loop.ask(self._take)
        except BaseException:
            self._withdraw(ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        if ticket.result is None:
            raise InDoubt("the service failed while it recorded the signal")
        return ticket.result

    def _withdraw(self, ticket: _Ticket) -> None:
        """Nobody waits for it any more: it must not be taken after we said that it was not."""
        with self._lock:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    # -- in the loop ---------------------------------------------------------------------------

    def rebalance(self, ledger: Ledger, why: str) -> Sequence[AnyEvent]:
        """The targets that follow from the signals in force, with nobody having said anything."""
        return self._follow(ledger, (), why).events

    def take(
        self,
        ledger: Ledger,
        signals: Iterable[Signal],
        refused: Callable[[Signal, ReconcilerError], None],
    ) -> Sequence[AnyEvent]:
        """Signals of strategies in the service, of each and each symbol one, for one commit."""
        said = []
        for signal in signals:
            try:
                netting.check_say(signal, self.weights, ledger)
            except ReconcilerError as refusal:
                refused(signal, refusal)
            else:
                said.append(signal)
        return self._follow(ledger, said).events

    def adopt(self, weights: Weights, read_weights: ReadWeights | None, why: str) -> None:
        """Other weights are in force; the settings that come with them have all netted anew."""
        self.weights, self._read_weights, self._why = weights, read_weights, why

    def keep(self, ledger: Ledger) -> Iterable[AnyEvent]:
        """Once a second: weights that were written anew are put in force, or refused whole."""
        if self._read_weights is None:
            return ()
        try:
            found = self._read_weights()
        except ConfigError as refusal:
            self._say("error", "weights.refused", error=str(refusal))
            return ()
        if found is None:
            return ()
        self.weights = found
        self._say("warning", "weights.reload")
        return self.rebalance(ledger, "other weights")

    def watch(self, steps: Sequence[Step]) -> None:
        """A lot that is seen first or anew may round otherwise; other limits, refuse no more."""
        if any(isinstance(event, (InstrumentSeen, Configured)) for event, _, _ in steps):
            why, self._why = self._why or "other rules or limits", ""
            self._loop.record(lambda ledger: (self.rebalance(ledger, why), lambda _: None))

    def _take(self, ledger: Ledger) -> tuple[Sequence[AnyEvent], Callable[[Ledger], None]]:
        """All signals that wait, for one commit."""
        with self._lock:
            tickets, self._waiting = self._waiting, []
        newest: dict[str, _Ticket] = {}
        for ticket in tickets:
            try:
                ticket.signal = netting.checked(ticket.signal, self.weights, ledger)
            except ReconcilerError as refusal:
                ticket.error = refusal
                continue
            name = f"{ticket.signal.strategy} {ticket.signal.symbol}"
            if (overtaken := newest.pop(name, None)) is not None:
                overtaken.result = _overtaken(overtaken.signal)
            newest[name] = ticket
        before = ledger.next_signal_number
        followed = self._follow(ledger, [ticket.signal for ticket in newest.values()])

        def finish(after: Ledger) -> None:
            targets = followed.finish(after)
            for ticket in newest.values():
                ticket.result = netting.answer(ticket.signal, followed, targets, before, after)

        return followed.events, finish

    def _follow(self, ledger: Ledger, said: Iterable[Signal], why: str = "") -> netting.Followed:
        now_us = self._loop.now_us()
        return netting.follow(
            ledger, said, self.weights, self._on_expiry, now_us, self._memory, why
        )


def _overtaken(signal: Signal) -> SignalResult:
    return SignalResult(
        strategy=signal.strategy,
        symbol=signal.symbol,
        number=0,
        changed=False,
        note="a newer signal of this strategy was there before this one was recorded",
    )
