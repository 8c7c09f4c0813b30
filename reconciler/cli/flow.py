"""What led to what: signal → target → order → fill, as the journal has it, newest last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.cli import output

if TYPE_CHECKING:
    from reconciler.journal import History


class Step(NamedTuple):
    """One line of the chain."""

    at: str  # ISO 8601, UTC
    rank: int  # of the same moment: a signal comes before the target that follows from it
    what: str  # signal | target | order | fill
    symbol: str
    said: str


class Strategy(NamedTuple):
    """Where one strategy stands in one symbol."""

    strategy: str  # "" is nobody
    symbol: str
    strength: float | None
    wants: int | None  # its part of the target in force
    holds: int
    realised_minor: int
    currency: str
    state: str
    reason: str


_NEWEST = "ORDER BY {key} DESC LIMIT {limit}"
_QUERIES = {
    "signal": "SELECT at, symbol, strategy, strength, reason FROM v_signals",
    "target": "SELECT set_at AS at, symbol, contracts, source, reason FROM v_targets",
    "order": "SELECT at, symbol, detail FROM v_transitions WHERE trigger = 'place'",
    "fill": "SELECT at, symbol, signed_contracts, price, running_contracts FROM v_fills",
}
_KEYS = {"signal": "number", "target": "target_id", "order": "seq", "fill": "at_ms"}
_STRATEGIES = """
SELECT v.strategy, v.symbol, v.strength, v.position, v.realised_pnl_minor, v.currency, v.state,
    v.reason,
    (
        SELECT sum(s.contracts) FROM v_shares s
        WHERE s.strategy = v.strategy AND s.symbol = v.symbol AND s.target_id = (
            SELECT max(t.target_id) FROM v_targets t WHERE t.symbol = v.symbol
        )
    ) AS wants
FROM v_strategies v ORDER BY v.symbol, v.strategy = '', v.strategy
"""


def steps(journal: History, limit: int) -> list[Step]:
    """The newest steps of all symbols, oldest first."""
    found: list[Step] = []
    for rank, (what, query) in enumerate(_QUERIES.items()):
        newest = _NEWEST.format(key=_KEYS[what], limit=int(limit))
        for row in journal.query(f"{query} {newest}").dicts():
            said = output.plain(in_words(what, row))
            found.append(Step(row["at"], rank, what, row["symbol"], said))
    return sorted(found)[-limit:] if limit > 0 else []


def in_words(what: str, row: dict[str, Any]) -> str:
    """One step for people."""
    if what == "signal":
        return f"{row['strength']:+g}  {row['strategy']}: {row['reason']}"
    if what == "target":
        return f"{row['contracts']:+,d}  {row['source']}: {row['reason']}"
    if what == "order":
        return str(row["detail"])
    return (
        f"{row['signed_contracts']:+,d} @ {row['price']:g}, position {row['running_contracts']:+,d}"
    )


def strategies(journal: History) -> list[Strategy]:
    """Every strategy that has spoken or traded, by symbol."""
    return [
        Strategy(
            row["strategy"], row["symbol"], row["strength"], row["wants"], row["position"],
            row["realised_pnl_minor"], row["currency"], row["state"], output.plain(row["reason"]),
        )
        for row in journal.query(_STRATEGIES).dicts()
    ]  # fmt: skip
