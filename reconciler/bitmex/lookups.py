"""Single look-ups: one order, one position, and the audit of all positions; events when found."""

from __future__ import annotations

from functools import partial

from reconciler.core.decisions import ReadOrder, ReadPosition
from reconciler.core.events import Answered, AnyEvent, Outcome
from reconciler.errors import ProtocolError
from reconciler.venue import Host

from . import answers
from .answers import Asked, Kind
from .rest import Reader, ReadFailed
from .sync import stamped
from .tables import Accounts


class LookUps:
    """Asks the reader. Each look-up is answered once, whatever comes of it."""

    def __init__(
        self, reader: Reader, host: Host, accounts: Accounts, symbols: tuple[str, ...]
    ) -> None:
        self._reader = reader
        self._host = host
        self._accounts = accounts
        self._symbols = symbols

    def ask(self, decision: ReadOrder | ReadPosition) -> None:
        """Look up what *decision* names."""
        self._reader.ask(partial(self._look_up, decision))

    def audit(self) -> None:
        """Look up all positions. Without an answer nothing follows: nobody waits for it."""
        self._reader.ask(self._audit)

    # -- in the reader thread

    def _look_up(self, decision: ReadOrder | ReadPosition) -> None:
        account = self._accounts.account
        request_id = decision.request_id
        found: list[AnyEvent]
        try:
            if isinstance(decision, ReadOrder):
                # A second order under one of our ids is named id/order: the venue knows the id.
                cl_ord_id = decision.cl_ord_id.partition("/")[0]
                found = self._reader.order(request_id, cl_ord_id, account)
            else:
                done = Answered(at_us=0, request_id=request_id, outcome=Outcome.DONE)
                found = [self._reader.position(decision.symbol, account), done]
        except ReadFailed as error:
            asked = Asked(kind=Kind.READ, request_id=request_id)
            found = answers.events_of(asked, error.answer, 0)
        except ProtocolError as error:
            found = [
                Answered(
                    at_us=0,
                    request_id=request_id,
                    outcome=Outcome.IN_DOUBT,
                    code="unreadable",
                    text=error.message,
                )
            ]
        self._hand_over(found)

    def _audit(self) -> None:
        try:
            found = self._reader.positions(self._symbols, self._accounts.account, lambda: True)
        except (ReadFailed, ProtocolError):
            return
        self._hand_over(found)

    def _hand_over(self, found: list[AnyEvent]) -> None:
        def arrive() -> list[AnyEvent]:
            self._accounts.executed(found)
            return stamped(found, self._host.now_us())

        self._host.call_soon(arrive)
