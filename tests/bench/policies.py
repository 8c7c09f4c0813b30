"""
What each policy costs: every policy over the same seeded markets, with the real core.

    python -m tests.bench.policies [--markets 500] [--policy NAME]… [--write docs/policies.md]

No sockets and no clock: the same arguments give the same table, to the last digit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from reconciler.core import events as e
from reconciler.core.decisions import TargetHeld
from reconciler.core.ledger import Ledger
from reconciler.core.settings import Settings, default_policies
from reconciler.service.engine import Engine
from tests.bench.policy_venue import LATENCY_MS, START_MS, PolicyVenue

SYMBOL = "ETHUSD"
WARM_MS = 15_000  # the market runs this long before the target comes
HORIZON_S = 900
SOON_S = 60
CONTRACTS = (50, 250)  # a touch shows about 40
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


class Run(NamedTuple):
    """One target, one policy, one market."""

    seed: int
    contracts: int  # signed
    cost_bps: float  # against the mid at arrival, without fees; what is left counted as taken
    fee_bps: float
    held_s: float | None  # until the core knew that it held; None: not within the horizon
    filled: float  # share at the end
    filled_soon: float  # share within SOON_S
    maker: float  # share of the contracts that were filled
    messages: int


class Memory:
    """A journal that keeps nothing: a market has no tomorrow."""

    last_seq = 0

    def __init__(self) -> None:
        self.held = False

    def record(self, steps: Iterable[tuple[object, object, Sequence[object]]]) -> None:
        for _, _, facts in steps:
            self.held = self.held or any(isinstance(fact, TargetHeld) for fact in facts)

    def tell(self) -> None:
        """No tables."""


def run(policy: str, seed: int, settings: Settings) -> Run:
    """Bring an empty account to a target in one market."""
    venue = PolicyVenue(seed, SYMBOL)
    draws = random.Random(f"{seed}/{SYMBOL}/target")
    contracts = draws.randint(*CONTRACTS) * draws.choice((-1, 1))
    journal = Memory()
    engine = Engine(Ledger(), journal, lambda: venue.now_ms * 1000)  # type: ignore[arg-type]
    engine.venue = venue  # type: ignore[assignment]
    venue.tell = lambda events: engine.handle(_at(events, venue.now_ms))
    venue.priced = lambda: engine.quote_changed(SYMBOL)
    engine.handle(_started(settings))
    engine.handle(venue.opening())
    _go(engine, venue, START_MS + WARM_MS, journal)

    arrival, at_ms = venue.mid(), venue.now_ms
    engine.handle(
        [
            e.TargetSet(
                at_us=at_ms * 1000, symbol=SYMBOL, contracts=contracts, version=1,
                source="bench", policy=policy, price=arrival,
            )
        ]
    )  # fmt: skip
    _go(engine, venue, at_ms + HORIZON_S * 1000, journal)
    _check(venue, contracts, journal.held)
    return _measured(venue, seed, contracts, arrival, at_ms, journal.held)


def _started(settings: Settings) -> list[e.AnyEvent]:
    at_us = START_MS * 1000
    return [
        e.Started(
            at_us=at_us, run_id="bench", epoch=1, id_family="rc-", id_install="rc-b-",
            id_stem="rc-b-1-",
        ),
        e.Configured(at_us=at_us, settings=settings),
    ]  # fmt: skip


def _at(events: Iterable[e.AnyEvent], now_ms: int) -> list[e.AnyEvent]:
    return [msgspec.structs.replace(event, at_us=now_ms * 1000) for event in events]


def _go(engine: Engine, venue: PolicyVenue, end_ms: int, journal: Memory) -> None:
    """Let venue and core go on until a time, or until the target is held."""
    ledger = engine.ledger
    wake_us = ledger.next_wake_us()
    while venue.now_ms < end_ms and not journal.held:
        due_ms = min(venue.next_ms(), -(-wake_us // 1000), end_ms)
        venue.run_until(max(venue.now_ms, due_ms))
        engine.use_quotes()
        wake_us = ledger.next_wake_us()
        if wake_us <= venue.now_ms * 1000:
            engine.handle([e.Tick(at_us=venue.now_ms * 1000)])
            wake_us = ledger.next_wake_us()


def _check(venue: PolicyVenue, contracts: int, held: bool) -> None:
    """Nothing was invented: contracts add up, and the way led to the target and not past it."""
    side = 1 if contracts > 0 else -1
    assert venue.missing() == 0, "contracts of all accounts together"
    assert sum(fill.contracts for fill in venue.fills) == venue.position(), "fills and position"
    assert all(fill.contracts * side > 0 for fill in venue.fills), "only towards the target"
    assert 0 <= venue.position() * side <= abs(contracts)
    assert not held or venue.position() == contracts


def _measured(
    venue: PolicyVenue, seed: int, contracts: int, arrival: Decimal, at_ms: int, held: bool
) -> Run:
    side, wanted = (1 if contracts > 0 else -1), abs(contracts)
    fills = venue.fills
    paid = sum((f.price * abs(f.contracts) for f in fills if f.price is not None), Decimal(0))
    filled = sum(abs(fill.contracts) for fill in fills)
    rest = (wanted - filled) * venue.other_side(side)
    traded = sum(abs(fill.cost_minor) for fill in fills)
    fees = sum(fill.fee_minor for fill in fills)
    soon_us = (at_ms + SOON_S * 1000) * 1000
    return Run(
        seed=seed,
        contracts=contracts,
        cost_bps=float(side * ((paid + rest) / wanted - arrival) / arrival * 10_000),
        fee_bps=fees / traded * 10_000 if traded else 0.0,
        held_s=(venue.now_ms - at_ms) / 1000 if held else None,
        filled=filled / wanted,
        filled_soon=sum(abs(f.contracts) for f in fills if f.venue_us <= soon_us) / wanted,
        maker=sum(abs(f.contracts) for f in fills if f.liquidity == "maker") / max(filled, 1),
        messages=venue.messages,
    )


# -- the table -------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One policy over all markets."""

    policy: str
    runs: list[Run]

    def cells(self) -> list[str]:
        runs = self.runs
        costs = [one.cost_bps for one in runs]
        times = [HORIZON_S * 2 if one.held_s is None else one.held_s for one in runs]
        return [
            f"`{self.policy}`",
            str(len(runs)),
            f"{statistics.fmean(costs):+.2f} ± {stderr(costs):.2f}",
            f"{statistics.median(costs):+.2f}",
            f"{statistics.fmean(one.cost_bps + one.fee_bps for one in runs):+.2f}",
            seconds(statistics.median(times)),
            seconds(statistics.quantiles(times, n=10)[8] if len(times) > 1 else times[0]),
            percent(statistics.fmean(one.filled_soon for one in runs)),
            percent(statistics.fmean(one.filled for one in runs)),
            percent(
                sum(one.maker * one.filled * abs(one.contracts) for one in runs)
                / (sum(one.filled * abs(one.contracts) for one in runs) or 1)
            ),
            f"{statistics.fmean(one.messages for one in runs):.1f}",
        ]


HEADS = (
    "policy", "markets", "cost bp", "median bp", "with fees bp", "time s", "p90 s",
    f"in {SOON_S} s", f"in {HORIZON_S} s", "maker", "messages",
)  # fmt: skip


def stderr(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def seconds(value: float) -> str:
    return f"> {HORIZON_S}" if value > HORIZON_S else f"{value:.1f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def table(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines)


def differences(rows: Sequence[Row]) -> list[str]:
    """Each policy against the first, market by market: the markets' own luck drops out."""
    first, *others = rows
    lines = []
    for row in others:  # of one that was measured in fewer markets: those
        gaps = [a.cost_bps - b.cost_bps for a, b in zip(row.runs, first.runs, strict=False)]
        lines.append(
            f"`{row.policy}` against `{first.policy}`, same markets: "
            f"{statistics.fmean(gaps):+.2f} ± {stderr(gaps):.2f} bp"
        )
    return lines


class Kept:
    """Results in a file, so that a measurement that was interrupted can go on; of the same code."""

    def __init__(self, path: Path | None, settings: Settings) -> None:
        self._path = path
        self._of = code(settings)
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        runs = [(of, (policy, seed), rest) for of, policy, seed, *rest in map(json.loads, lines)]
        self._runs = {name: rest for of, name, rest in runs if of == self._of}
        if other := sum(of != self._of for of, _, _ in runs):
            print(f"{other} kept runs are of other code: measured again", file=sys.stderr)

    def run(self, policy: str, seed: int, settings: Settings) -> Run:
        """The kept result, or a new one."""
        if (rest := self._runs.get((policy, seed))) is not None:
            return Run(seed, *rest)
        made = run(policy, seed, settings)
        if self._path is not None:
            with self._path.open("a") as file:
                print(json.dumps([self._of, policy, *made]), file=file)
        return made


def code(settings: Settings) -> str:
    """Names all that a result depends on: what decides, what is traded on, and the settings."""
    here = Path(__file__).parent
    package = here.parents[1] / "reconciler"
    files = [*package.glob("core/**/*.py"), *package.glob("paper/**/*.py"), *here.glob("polic*.py")]
    digest = hashlib.sha256(msgspec.json.encode(settings))
    for file in sorted([*files, package / "service" / "engine.py"]):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def measure(
    policies: Sequence[str],
    markets: int,
    first: int,
    settings: Settings,
    *,
    fewer: Mapping[str, int] | None = None,
    keep: Path | None = None,
    say: bool = False,
) -> list[Row]:
    """Every policy over the same markets, some over the *fewer* first of them."""
    rows = []
    kept = Kept(keep, settings)
    for policy in policies:
        began = time.monotonic()
        end = first + (fewer or {}).get(policy, markets)
        runs = [kept.run(policy, seed, settings) for seed in range(first, end)]
        rows.append(Row(policy, runs))
        if say:
            took = time.monotonic() - began
            print(f"{rows[-1].cells()}  {took:.0f} s", file=sys.stderr, flush=True)
    return rows


HOW = """\
Made by `{command}`. Each policy brings an empty account to a target of {least} to
{most} contracts of {symbol}, bought or sold, in the same {markets} markets: the paper exchange's
own floor and traders, in memory and virtual time, {fast} to {slow} ms each way. The best price
shows about 40 contracts there, and the spread is one or two ticks of 0.2 bp. The same command
gives the same table.

- *cost*: average price against the mid at the moment the target was set, in basis points; above
  zero is worse. Mean ± standard error, and median. What was not filled after {horizon} s counts as
  taken at the best price of the other side.
- *with fees*: maker and taker both pay 0.05 % there, so 5 bp are added to all, and waiting earns
  no rebate.
- *time*: until the core knew that the target was held; median, and nine of ten. *in*: share of the
  contracts filled by then. *maker*: share of those filled that rested. *messages*: orders, amends
  and cancels for one target.

The traders of this market know nothing of us and nothing of the next price: where others do, who
waits is filled when he would rather not be, and pays more than here. The spread of `twap` is what
ten minutes of a driftless market do to any price, and no cost of its own.
"""


def text_of(rows: Sequence[Row], command: str) -> str:
    """What stands between the marks of the page."""
    how = HOW.format(
        command=command, symbol=SYMBOL, markets=len(rows[0].runs), horizon=HORIZON_S,
        least=CONTRACTS[0], most=CONTRACTS[1], fast=LATENCY_MS[0], slow=LATENCY_MS[1],
    )  # fmt: skip
    said = "\n".join(f"- {line}" for line in differences(rows))
    return f"{BEGIN}\n## What each costs\n\n{how}\n{table(rows)}\n\n{said}\n{END}"


def write(page: Path, text: str) -> None:
    """Put the table between the marks of a page, or at its end."""
    before = page.read_text() if page.exists() else "# Policies\n"
    if BEGIN in before and END in before:
        head, _, rest = before.partition(BEGIN)
        page.write_text(head + text + rest.partition(END)[2])
    else:
        page.write_text(f"{before.rstrip()}\n\n{text}\n")


def settings_of() -> Settings:
    """As a service has them; the limits are wide enough that no policy meets them."""
    return Settings(symbols=(SYMBOL,))


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print or write the table."""
    known = default_policies()
    parser = argparse.ArgumentParser(prog="scripts/policies", description=__doc__)
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--first", type=int, default=1, help="seed of the first market")
    parser.add_argument("--policy", action="append", choices=sorted(known), default=[])
    parser.add_argument(
        "--fewer", action="append", default=[], metavar="NAME=N", help="a slow policy: N markets"
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put it between its marks")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="go on where FILE ends")
    asked = parser.parse_args(words)
    policies = asked.policy or list(known)
    fewer = {name: int(count) for name, _, count in (one.partition("=") for one in asked.fewer)}
    rows = measure(
        policies, asked.markets, asked.first, settings_of(), fewer=fewer, keep=asked.keep, say=True
    )
    told = [f"--markets {asked.markets}", *(f"--policy {name}" for name in asked.policy)]
    told += [f"--fewer {one}" for one in asked.fewer]
    text = text_of(rows, " ".join(["scripts/policies", *told]))
    if asked.write is not None:
        write(asked.write, text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
