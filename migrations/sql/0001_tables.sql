-- The tables of schema 0001, as reconciler/journal/tables.py has them. Never edit: add a revision.

CREATE TABLE daily (
    day INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    currency TEXT NOT NULL,
    fills INTEGER NOT NULL,
    volume INTEGER NOT NULL,
    maker_volume INTEGER NOT NULL,
    net_contracts INTEGER NOT NULL,
    fee_minor INTEGER NOT NULL,
    funding_minor INTEGER NOT NULL,
    realised_minor INTEGER NOT NULL,
    PRIMARY KEY (day, symbol, currency)
) WITHOUT ROWID, STRICT;

CREATE TABLE instruments (
    symbol TEXT NOT NULL,
    open INTEGER NOT NULL,
    state TEXT NOT NULL,
    lot INTEGER NOT NULL,
    tick TEXT NOT NULL,
    max_contracts INTEGER,
    max_price TEXT,
    inverse INTEGER NOT NULL,
    quanto INTEGER NOT NULL,
    multiplier INTEGER NOT NULL,
    settle_currency TEXT NOT NULL,
    quote_currency TEXT NOT NULL,
    maker_fee TEXT NOT NULL,
    taker_fee TEXT NOT NULL,
    updated_us INTEGER NOT NULL,
    PRIMARY KEY (symbol)
) WITHOUT ROWID, STRICT;

CREATE TABLE journal (
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    symbol TEXT NOT NULL,
    version INTEGER NOT NULL,
    event TEXT NOT NULL,
    decisions TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (seq)
) STRICT;

CREATE TABLE meta (
    "key" TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY ("key")
) WITHOUT ROWID, STRICT;

CREATE TABLE on_target (
    day INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    on_us INTEGER NOT NULL,
    off_us INTEGER NOT NULL,
    PRIMARY KEY (day, symbol)
) WITHOUT ROWID, STRICT;

CREATE TABLE orders (
    cl_ord_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    live INTEGER,
    status TEXT NOT NULL,
    venue_status TEXT NOT NULL,
    venue_order_id ANY NOT NULL,
    contracts INTEGER,
    price TEXT,
    filled INTEGER NOT NULL,
    booked INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    target_version INTEGER,
    created_us INTEGER NOT NULL,
    acked_us INTEGER,
    ended_us INTEGER,
    updated_us INTEGER NOT NULL,
    updated_seq INTEGER NOT NULL,
    PRIMARY KEY (cl_ord_id)
) WITHOUT ROWID, STRICT;

CREATE INDEX orders_by_time ON orders ((iso(created_us)));

CREATE UNIQUE INDEX orders_live ON orders (symbol) WHERE live = 1;

CREATE TABLE symbol_now (
    symbol TEXT NOT NULL,
    state TEXT NOT NULL,
    waiting_for TEXT NOT NULL,
    target INTEGER,
    version INTEGER NOT NULL,
    policy TEXT NOT NULL,
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    venue_position INTEGER,
    anchor INTEGER,
    worst_short INTEGER NOT NULL,
    worst_long INTEGER NOT NULL,
    working TEXT NOT NULL,
    mark_price TEXT,
    entry_price TEXT,
    state_since_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL,
    cost_contracts INTEGER NOT NULL,
    cost_minor INTEGER NOT NULL,
    on_target INTEGER NOT NULL,
    counted_us INTEGER NOT NULL,
    PRIMARY KEY (symbol)
) WITHOUT ROWID, STRICT;

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
    PRIMARY KEY (target_id),
    UNIQUE (symbol, version)
) STRICT;

CREATE TABLE venue_orders (
    n INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    order_id ANY NOT NULL,
    cl_ord_id TEXT NOT NULL,
    target_version INTEGER NOT NULL,
    currency TEXT NOT NULL,
    PRIMARY KEY (n),
    UNIQUE (symbol, order_id)
) STRICT;

CREATE INDEX venue_orders_by_target ON venue_orders (symbol, target_version);

CREATE TABLE adjustments (
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    contracts INTEGER NOT NULL,
    "by" TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (seq),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE TABLE cash (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    exec_id ANY NOT NULL,
    contracts INTEGER NOT NULL,
    price TEXT,
    fee_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    venue_us INTEGER NOT NULL,
    PRIMARY KEY (seq, n),
    UNIQUE (symbol, exec_id),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE equity (
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    currency TEXT NOT NULL,
    wallet_minor INTEGER NOT NULL,
    margin_minor INTEGER NOT NULL,
    available_minor INTEGER NOT NULL,
    unrealised_minor INTEGER NOT NULL,
    PRIMARY KEY (seq),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE INDEX equity_by_time ON equity (at_us);

CREATE TABLE fills (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    venue_order INTEGER NOT NULL,
    exec_id ANY NOT NULL,
    cl_ord_id TEXT,
    target_version INTEGER,
    type TEXT,
    contracts INTEGER NOT NULL,
    price TEXT,
    fee_minor INTEGER NOT NULL,
    cost_minor INTEGER NOT NULL,
    realised_minor INTEGER NOT NULL,
    currency TEXT,
    maker INTEGER,
    venue_us INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (seq, n),
    UNIQUE (venue_order, exec_id),
    FOREIGN KEY(seq) REFERENCES journal (seq),
    FOREIGN KEY(venue_order) REFERENCES venue_orders (n)
) WITHOUT ROWID, STRICT;

CREATE INDEX fills_by_ms ON fills ((venue_us / 1000));

CREATE INDEX fills_by_symbol ON fills (symbol, (venue_us / 1000));

CREATE TABLE incidents (
    incident_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    severity TEXT NOT NULL,
    type TEXT NOT NULL,
    symbol TEXT NOT NULL,
    summary TEXT NOT NULL,
    closed_us INTEGER,
    decision TEXT,
    decided_by TEXT,
    PRIMARY KEY (incident_id),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

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
    PRIMARY KEY (cl_ord_id),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID, STRICT;

CREATE INDEX intents_by_target ON intents (symbol, target_version);

CREATE TABLE positions (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    contracts INTEGER NOT NULL,
    venue_contracts INTEGER,
    anchor INTEGER,
    PRIMARY KEY (seq, n),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE requests (
    request_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    cl_ord_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    outcome TEXT,
    code TEXT,
    status INTEGER,
    text TEXT,
    venue_order_id ANY,
    answered_us INTEGER,
    PRIMARY KEY (request_id),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE INDEX requests_by_order ON requests (cl_ord_id);

CREATE TABLE runs (
    seq INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    mode TEXT NOT NULL,
    started_us INTEGER NOT NULL,
    version TEXT NOT NULL,
    environment TEXT NOT NULL,
    host TEXT NOT NULL,
    recovered_events INTEGER NOT NULL,
    in_doubt_at_start INTEGER NOT NULL,
    ended_us INTEGER,
    exit_reason TEXT,
    PRIMARY KEY (seq),
    FOREIGN KEY(seq) REFERENCES journal (seq),
    UNIQUE (run_id)
) STRICT;

CREATE TABLE snapshots (
    seq INTEGER NOT NULL,
    made_us INTEGER NOT NULL,
    logic TEXT NOT NULL,
    chain BLOB NOT NULL,
    digest BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (seq),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) STRICT;

CREATE TABLE transitions (
    seq INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    cl_ord_id TEXT NOT NULL,
    target_version INTEGER NOT NULL,
    dwell_us INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (seq, n),
    FOREIGN KEY(seq) REFERENCES journal (seq)
) WITHOUT ROWID, STRICT;

CREATE INDEX transitions_by_ms ON transitions ((at_us / 1000));

CREATE INDEX transitions_by_symbol ON transitions (symbol);
