-- What schema 0003 adds: signals and whose a target is, schedules, modes, refusals, and the
-- strategies' parts of fills. `targets` and `intents` are made anew, with more columns.

CREATE TABLE targets (
    target_id INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    version INTEGER NOT NULL,
    contracts INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    policy TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    "key" TEXT NOT NULL,
    set_us INTEGER NOT NULL,
    expires_us INTEGER,
    on_expiry TEXT NOT NULL,
    held_us INTEGER,
    closed_us INTEGER,
    outcome TEXT,
    deadline_us INTEGER,
    price TEXT,
    asked TEXT,
    schedule TEXT,
    PRIMARY KEY (target_id),
    UNIQUE (symbol, version)
) STRICT;

CREATE TABLE refusals (
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    contracts INTEGER,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    "key" TEXT NOT NULL,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (seq),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE TABLE shares (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    version INTEGER NOT NULL,
    strategy TEXT NOT NULL,
    contracts INTEGER NOT NULL,
    signal INTEGER NOT NULL,
    weight TEXT NOT NULL,
    PRIMARY KEY (seq, n),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID,
 STRICT;

CREATE INDEX shares_by_target ON shares (symbol, version);

CREATE TABLE signals (
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    strategy TEXT NOT NULL,
    symbol TEXT NOT NULL,
    strength TEXT NOT NULL,
    price TEXT,
    reason TEXT NOT NULL,
    PRIMARY KEY (number),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE INDEX signals_by_strategy ON signals (strategy, symbol);

CREATE TABLE strategy_states (
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    strategy TEXT NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL,
    parameters TEXT NOT NULL,
    PRIMARY KEY (seq),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE TABLE schedules (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    name TEXT NOT NULL,
    due_us INTEGER,
    symbol TEXT NOT NULL,
    contracts INTEGER,
    policy TEXT NOT NULL,
    reason TEXT NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (seq, n),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID,
 STRICT;

CREATE TABLE modes (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    mode TEXT NOT NULL,
    symbol TEXT NOT NULL,
    "by" TEXT NOT NULL,
    reason TEXT NOT NULL,
    until_us INTEGER,
    PRIMARY KEY (seq, n),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID,
 STRICT;

CREATE TABLE intents (
    cl_ord_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    request_id INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    contracts INTEGER NOT NULL,
    price TEXT NOT NULL,
    post_only INTEGER NOT NULL,
    reduce_only INTEGER NOT NULL,
    "immediate" INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    deadline_us INTEGER NOT NULL,
    target_version INTEGER NOT NULL,
    instrument_version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    bid TEXT,
    ask TEXT,
    mark TEXT,
    policy TEXT NOT NULL,
    reason TEXT NOT NULL,
    stage TEXT,
    policy_version TEXT,
    PRIMARY KEY (cl_ord_id),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID,
 STRICT;

CREATE INDEX intents_by_target ON intents (symbol, target_version);

CREATE TABLE fill_shares (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    exec_id ANY NOT NULL,
    strategy TEXT NOT NULL,
    contracts INTEGER NOT NULL,
    price TEXT,
    cost_minor INTEGER NOT NULL,
    fee_minor INTEGER NOT NULL,
    realised_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (seq, n),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID,
 STRICT;

CREATE INDEX fill_shares_by_strategy ON fill_shares (strategy, symbol);
