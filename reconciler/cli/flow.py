"""What led to what: signal → target → order → fill, as the journal has it, newest last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.cli import output
from reconciler.service.moments import iso

if TYPE_CHECKING:
    from reconciler.journal import History


class Step(NamedTuple):
    """One line of the chain. They stand as the journal took them in, whatever the clocks say."""

    seq: int  # of its event
    rank: int  # of the same event: an order comes after the target that it follows from
    n: int  # of the same event, too: its number among the fills
    at: str  # ISO 8601, UTC
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
    net_minor: int  # realised, after fees and funding
    currency: str
    state: str
    reason: str


_QUERIES = {
    "signal": """
        SELECT seq, 0 AS n, at_us, symbol, strategy, CAST(strength AS REAL) AS strength,
            reason
        FROM signals ORDER BY number DESC LIMIT {limit}""",
    "target": """
        SELECT target_id AS seq, 0 AS n, set_us AS at_us, symbol, contracts, source, reason
        FROM targets ORDER BY target_id DESC LIMIT {limit}""",
    "order": """
        SELECT seq, 0 AS n, at_us, symbol, detail
        FROM transitions WHERE trigger = 'place' ORDER BY seq DESC LIMIT {limit}""",
    "fill": """
        SELECT seq, n, venue_us AS at_us, symbol, contracts, CAST(price AS REAL) AS price, position
        FROM fills WHERE contracts <> 0 ORDER BY seq DESC, n DESC LIMIT {limit}""",
}
_STRATEGIES = """
SELECT v.strategy, v.symbol, v.strength, v.position, v.currency, v.state, v.reason,
    v.realised_pnl_minor - v.fee_minor - v.funding_minor AS net_minor,
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
        for row in journal.query(query.format(limit=int(limit))).dicts():
            said = output.plain(in_words(what, row))
            at = iso(row["at_us"])
            found.append(Step(row["seq"], rank, row["n"], at, what, row["symbol"], said))
    return sorted(found)[-limit:] if limit > 0 else []


def in_words(what: str, row: dict[str, Any]) -> str:
    """One step for people."""
    if what == "signal":
        strength = f"{row['strength']:+g}" if row["strength"] else "0"
        return f"{strength}  {row['strategy']}: {row['reason']}"
    if what == "target":
        return f"{_signed(row['contracts'])}  {row['source']}: {row['reason']}"
    if what == "order":
        return str(row["detail"])
    at = "" if row["price"] is None else f" @ {row['price']:.10g}"
    return f"{_signed(row['contracts'])}{at}, position {_signed(row['position'])}"


def _signed(contracts: int) -> str:
    return f"{contracts:+,d}" if contracts else "0"


def strategies(journal: History) -> list[Strategy]:
    """Every strategy that has spoken or traded, by symbol."""
    return [
        Strategy(
            row["strategy"], row["symbol"], row["strength"], row["wants"], row["position"],
            row["net_minor"], row["currency"], row["state"], output.plain(row["reason"]),
        )
        for row in journal.query(_STRATEGIES).dicts()
    ]  # fmt: skip
