"""
The pure core: events in, facts and decisions out. It does no I/O and reads no clock.

Read the spine, in this order, in half an hour; it is the promise (lines, and what is there):

    step         74  one event: apply it, see what follows, plan, remember what was decided
    lifecycle   102  the state machine: its whole table
    apply       424  what each event does to the ledger
    orders      443  what rows and answers prove about an order
    fills       196  where a fill is applied, and where the position comes from
    doubt        75  the proof that a request never got in, in four steps
    review      164  what follows from time, and from the ledger alone
    gate        131  every condition of a new order
    plan         67  what would bring a symbol to its target
    proving     117  what has to be looked up or ended first
    placing     170  a new order: whether, how large, at which price
    working      57  an order that rests: kept or cancelled
    expect      149  a decision is remembered as if it were under way

These are its words. Look them up as you meet them:

    events      436  facts that reached us
    decisions   262  what is to be done, and what follows from an event
    settings    245  limits, policies, times
    ledger      393  all that follows from the events so far
    turn        158  one event's turn, and its verbs
    look        110  one look at one symbol, and its verbs

The rest are leaves, many forms of one thing, each of which can be read alone. What the spine asks
of each folder is one question:

    limits     does a limit say no, how much does it leave, which was reached?
    policy     at which price, how hard by now, how much at a time?
    targets    what is wanted, from when on, and how far may it go?
    portfolio  whose is it?
    trouble    what others did to the account, and what somebody decided about it

Its assertions are part of it: what must not happen stops the program before a byte is sent.
"""

from reconciler.errors import ConfigError

if not __debug__:
    raise ConfigError(
        "Python was told to skip assertions, and the core stops at a broken one",
        next_step="Run Python without -O, and without PYTHONOPTIMIZE in the environment.",
    )
