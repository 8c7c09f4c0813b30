-- The views of schema 0003: the contract for people and notebooks. All are made anew.
-- Doubles appear here and nowhere below.

CREATE VIEW v_status AS
SELECT
    (SELECT value FROM meta WHERE key = 'account') AS account,
    symbol,
    state,
    waiting_for,
    target,
    position,
    target - position AS gap,
    working,
    worst_short,
    worst_long,
    CASE WHEN position <> 0 THEN CAST(entry_price AS REAL) END AS entry_price,
    CAST(mark_price AS REAL) AS mark_price,
    source,
    policy,
    version,
    iso(state_since_us) AS state_since,
    iso(updated_us) AS updated_at
FROM symbol_now;

CREATE VIEW v_targets AS
SELECT
    target_id,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    symbol,
    contracts,
    contracts - previous AS change,
    policy,
    source,
    reason,
    version,
    outcome,
    iso(set_us) AS set_at,
    iso(expires_us) AS expires_at,
    iso(closed_us) AS closed_at,
    ms(closed_us - set_us) AS life_ms,
    iso(deadline_us) AS deadline_at,
    CAST(price AS REAL) AS price,
    asked,
    schedule
FROM targets;

-- What strategies thought. The newest of a strategy about a symbol is in force.
CREATE VIEW v_signals AS
SELECT
    number,
    iso(at_us) AS at,
    (at_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    strategy,
    symbol,
    CAST(strength AS REAL) AS strength,
    CAST(price AS REAL) AS price,
    reason
FROM signals;

-- Whose part of a target is what, by which weight, and the signal that asks for it.
CREATE VIEW v_shares AS
SELECT
    s.seq AS target_id,
    iso(t.set_us) AS at,
    (t.set_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    s.symbol,
    s.version,
    s.strategy,
    s.contracts,
    s.weight,
    nullif(s.signal, 0) AS signal,
    CAST(g.strength AS REAL) AS strength,
    coalesce(g.reason, '') AS reason
FROM shares s
JOIN targets t ON t.target_id = s.seq
LEFT JOIN signals g ON g.number = s.signal;

-- Whose part of a fill is what. No exec_id: strategies passed contracts to one another at the mark.
-- No contracts: funding.
CREATE VIEW v_fill_shares AS
SELECT
    s.seq,
    iso(s.at_us) AS at,
    (s.at_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    s.symbol,
    s.strategy,
    s.contracts,
    CAST(s.price AS REAL) AS price,
    s.cost_minor,
    s.fee_minor,
    s.realised_minor AS realised_pnl_minor,
    s.currency,
    s.position AS running_contracts,
    CASE typeof(s.exec_id) WHEN 'blob' THEN uuid(s.exec_id) ELSE s.exec_id END AS exec_id,
    coalesce(f.cl_ord_id, v.cl_ord_id, '') AS cl_ord_id
FROM fill_shares s
LEFT JOIN fills f ON f.seq = s.seq AND f.exec_id = s.exec_id
LEFT JOIN venue_orders v ON v.n = f.venue_order;

-- What each strategy holds and made. The strategy '' is nobody: what it holds is what the others
-- leave of the position, so that a symbol's rows add up to the account's.
CREATE VIEW v_strategies AS
SELECT
    (SELECT value FROM meta WHERE key = 'account') AS account,
    p.strategy,
    p.symbol,
    p.position,
    p.realised_minor AS realised_pnl_minor,
    CASE  -- at the mark that was recorded last: what it is worth, less what it cost
        WHEN p.position <> p.contracts THEN NULL  -- not all of it came in fills that are shared
        WHEN p.position = 0 THEN 0
        WHEN i.inverse THEN
            CAST(round(p.position * i.multiplier / CAST(m.mark_price AS REAL)) AS INTEGER)
            - p.cost_minor - p.realised_minor
        ELSE
            CAST(round(p.position * i.multiplier * CAST(m.mark_price AS REAL)) AS INTEGER)
            - p.cost_minor - p.realised_minor
    END AS unrealised_pnl_minor,
    p.fee_minor,
    p.funding_minor,
    p.currency,
    p.fills,
    p.traded AS traded_contracts,
    g.number AS signal,
    CAST(g.strength AS REAL) AS strength,
    iso(g.at_us) AS signalled_at,
    coalesce(g.reason, '') AS reason,
    coalesce(
        (
            SELECT c.state FROM strategy_states c WHERE c.strategy = p.strategy
            ORDER BY c.seq DESC LIMIT 1
        ), ''
    ) AS state,
    iso(p.at_us) AS updated_at
FROM (
    SELECT
        strategy,
        symbol,
        max(at_us) AS at_us,
        CASE strategy
            WHEN '' THEN coalesce(
                (SELECT n.position FROM symbol_now n WHERE n.symbol = parts.symbol), 0
            ) - (
                SELECT coalesce(sum(o.contracts), 0) FROM fill_shares o
                WHERE o.symbol = parts.symbol AND o.strategy <> ''
            )
            ELSE sum(contracts)
        END AS position,
        sum(contracts) AS contracts,
        sum(abs(contracts)) AS traded,
        sum(cost_minor) AS cost_minor,
        sum(realised_minor) AS realised_minor,
        sum(CASE WHEN contracts <> 0 THEN fee_minor ELSE 0 END) AS fee_minor,
        sum(CASE WHEN contracts = 0 THEN fee_minor ELSE 0 END) AS funding_minor,
        sum(contracts <> 0) AS fills,
        max(currency) AS currency
    FROM (
        SELECT strategy, symbol, at_us, contracts, cost_minor, realised_minor, fee_minor, currency
        FROM fill_shares
        UNION ALL
        SELECT strategy, symbol, at_us, 0, 0, 0, 0, '' FROM signals
    ) parts
    GROUP BY strategy, symbol
) p
LEFT JOIN instruments i ON i.symbol = p.symbol
LEFT JOIN symbol_now m ON m.symbol = p.symbol
LEFT JOIN signals g ON g.number = (
    SELECT max(x.number) FROM signals x WHERE x.strategy = p.strategy AND x.symbol = p.symbol
);

-- Targets that a rule said no to.
CREATE VIEW v_refusals AS
SELECT
    seq,
    iso(at_us) AS at,
    (at_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    symbol,
    contracts,
    source,
    code,
    text,
    reason,
    key
FROM refusals;

-- Halts, pauses and what ended them. No symbol: the account.
CREATE VIEW v_modes AS
SELECT
    seq,
    iso(at_us) AS at,
    (at_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    symbol,
    mode,
    "by",
    reason,
    iso(until_us) AS until_at
FROM modes;

-- Every row of every version of a schedule, and the target that it became. Of a name, the version
-- that was set last is in force; one without rows took the schedule away.
CREATE VIEW v_schedules AS
SELECT
    s.seq,
    iso(j.at_us) AS set_at,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    s.name,
    s.n,
    iso(s.due_us) AS due_at,
    s.symbol,
    s.contracts,
    s.policy,
    s.source,
    s.reason,
    s.due_us IS NOT NULL
        AND s.seq = (SELECT max(x.seq) FROM schedules x WHERE x.name = s.name) AS in_force,
    (
        SELECT t.target_id FROM targets t
        WHERE t.schedule = s.name || '/' || s.n AND t.target_id > s.seq
            AND t.target_id < coalesce(
                (SELECT min(x.seq) FROM schedules x WHERE x.name = s.name AND x.seq > s.seq),
                9223372036854775807
            )
    ) AS target_id
FROM schedules s
JOIN journal j ON j.seq = s.seq;

-- The mid when the target was accepted is that of the quote its first order was planned from.
-- Inverse contracts are worth a fixed sum of quote currency: their mean price is harmonic.
CREATE VIEW v_executions AS
SELECT
    target_id,
    account,
    symbol,
    set_at,
    change,
    target,
    source,
    policy,
    outcome,
    orders,
    fills,
    traded_contracts,
    vwap,
    arrival_price,
    (vwap - arrival_price) / arrival_price * 10000.0
        * CASE WHEN coalesce(nullif(traded_contracts, 0), change) < 0 THEN -1 ELSE 1 END
        AS slippage_bps,
    maker_share,
    fee_minor,
    realised_pnl_minor,
    first_fill_ms,
    duration_ms
FROM (
    SELECT
        t.target_id,
        (SELECT value FROM meta WHERE key = 'account') AS account,
        t.symbol,
        iso(t.set_us) AS set_at,
        t.contracts - t.previous AS change,
        t.contracts AS target,
        t.source,
        t.policy,
        t.outcome,
        (
            SELECT count(*) FROM intents i
            WHERE i.symbol = t.symbol AND i.target_version = t.version
        ) AS orders,
        (
            SELECT count(*) FROM venue_orders v JOIN fills f ON f.venue_order = v.n
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
        ) AS fills,
        (
            SELECT coalesce(sum(f.contracts), 0) FROM venue_orders v JOIN fills f ON f.venue_order = v.n
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
        ) AS traded_contracts,
        (
            SELECT CASE
                WHEN (SELECT i.inverse FROM instruments i WHERE i.symbol = t.symbol) = 1
                THEN sum(abs(f.contracts)) / sum(abs(f.contracts) / CAST(f.price AS REAL))
                ELSE sum(abs(f.contracts) * CAST(f.price AS REAL)) / sum(abs(f.contracts))
            END
            FROM venue_orders v JOIN fills f ON f.venue_order = v.n
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
                AND f.price IS NOT NULL
        ) AS vwap,
        (
            SELECT (CAST(i.bid AS REAL) + CAST(i.ask AS REAL)) / 2.0 FROM intents i
            WHERE i.symbol = t.symbol AND i.target_version = t.version
            ORDER BY i.seq LIMIT 1
        ) AS arrival_price,
        (
            SELECT sum(CASE f.maker WHEN 1 THEN abs(f.contracts) ELSE 0 END) * 1.0
                / nullif(sum(abs(f.contracts)), 0)
            FROM venue_orders v JOIN fills f ON f.venue_order = v.n
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
        ) AS maker_share,
        (
            SELECT coalesce(sum(f.fee_minor), 0) FROM venue_orders v JOIN fills f ON f.venue_order = v.n
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
        ) AS fee_minor,
        (
            SELECT coalesce(sum(f.realised_minor), 0) FROM venue_orders v JOIN fills f ON f.venue_order = v.n
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
        ) AS realised_pnl_minor,
        (
            SELECT ms(min(j.at_us) - t.set_us)
            FROM venue_orders v JOIN fills f ON f.venue_order = v.n JOIN journal j ON j.seq = f.seq
            WHERE v.symbol = t.symbol AND v.target_version = t.version
                AND f.target_version IS NULL
        ) AS first_fill_ms,
        ms(coalesce(t.held_us, t.closed_us) - t.set_us) AS duration_ms
    FROM targets t
);

-- queue_ms is the time that an order rested at the venue before its first fill.
CREATE VIEW v_orders AS
SELECT
    o.cl_ord_id,
    CASE typeof(o.venue_order_id) WHEN 'blob' THEN uuid(o.venue_order_id)
        ELSE o.venue_order_id END AS venue_order_id,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    o.symbol,
    CASE WHEN o.contracts > 0 THEN 'Buy' WHEN o.contracts < 0 THEN 'Sell' END AS side,
    abs(o.contracts) AS contracts,
    CAST(o.price AS REAL) AS price,
    'Limit' || CASE i.post_only WHEN 1 THEN ', post-only' ELSE '' END
        || CASE i.reduce_only WHEN 1 THEN ', reduce-only' ELSE '' END
        || CASE i.immediate WHEN 1 THEN ', immediate' ELSE '' END AS order_type,
    o.status,
    o.filled AS filled_contracts,
    CASE WHEN o.status IN ('intended', 'working', 'in_doubt') THEN abs(o.contracts) - o.filled
        ELSE 0 END AS leaves_contracts,
    t.target_id,
    coalesce(i.policy, '') AS policy,
    coalesce(i.stage, '') AS stage,
    coalesce(i.policy_version, '') AS policy_version,
    iso(o.created_us) AS created_at,
    (
        SELECT ms(min(j.at_us) - o.acked_us)
        FROM venue_orders v JOIN fills f ON f.venue_order = v.n JOIN journal j ON j.seq = f.seq
        WHERE v.symbol = o.symbol AND v.order_id = o.venue_order_id
    ) AS queue_ms,
    ms(o.acked_us - o.created_us) AS ack_ms,
    ms(o.ended_us - o.created_us) AS life_ms,
    coalesce(i.reason, '') AS reason
FROM orders o
LEFT JOIN intents i ON i.cl_ord_id = o.cl_ord_id
LEFT JOIN targets t ON t.symbol = o.symbol AND t.version = o.target_version;

CREATE VIEW v_fills AS
SELECT
    CASE typeof(f.exec_id) WHEN 'blob' THEN uuid(f.exec_id) ELSE f.exec_id END AS exec_id,
    iso(f.venue_us) AS at,
    (f.venue_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    f.symbol,
    CASE WHEN f.contracts < 0 THEN 'Sell' ELSE 'Buy' END AS side,
    abs(f.contracts) AS contracts,
    f.contracts AS signed_contracts,
    CAST(f.price AS REAL) AS price,
    f.fee_minor,
    f.realised_minor AS realised_pnl_minor,
    coalesce(f.currency, v.currency) AS currency,
    CASE f.maker WHEN 1 THEN 'maker' WHEN 0 THEN 'taker' ELSE '' END AS liquidity,
    coalesce(f.cl_ord_id, v.cl_ord_id) AS cl_ord_id,
    t.target_id,
    ms(j.at_us - f.venue_us) AS feed_delay_ms,
    f.position AS running_contracts
FROM fills f
JOIN venue_orders v ON v.n = f.venue_order
LEFT JOIN journal j ON j.seq = f.seq
LEFT JOIN targets t
    ON t.symbol = f.symbol AND t.version = coalesce(f.target_version, v.target_version);

CREATE VIEW v_transitions AS
SELECT
    x.seq,
    iso(x.at_us) AS at,
    (x.at_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    x.symbol,
    x.trigger,
    x.from_state,
    x.to_state,
    ms(x.dwell_us) AS dwell_ms,
    t.target_id,
    x.cl_ord_id,
    x.seq AS cause_seq,
    (SELECT r.run_id FROM runs r WHERE r.seq <= x.seq ORDER BY r.seq DESC LIMIT 1) AS run_id,
    x.detail
FROM transitions x
LEFT JOIN targets t ON t.symbol = x.symbol AND t.version = x.target_version;

CREATE VIEW v_incidents AS
SELECT
    incident_id,
    iso(opened_us) AS opened_at,
    iso(closed_us) AS closed_at,
    severity,
    type AS kind,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    symbol,
    summary,
    decision,
    decided_by,
    (coalesce(closed_us, CAST(strftime('%s', 'now') AS INTEGER) * 1000000) - opened_us) / 1000000
        AS age_s
FROM incidents;

CREATE VIEW v_daily AS
SELECT
    (SELECT value FROM meta WHERE key = 'account') AS account,
    d.symbol,
    d.currency,
    strftime('%Y-%m-%d', d.day * 86400, 'unixepoch') AS day,
    d.fills,
    d.volume,
    d.net_contracts,
    d.fee_minor,
    d.funding_minor,
    d.realised_minor AS realised_pnl_minor,
    d.maker_volume * 1.0 / nullif(d.volume, 0) AS maker_share,
    (coalesce(o.on_us, 0) + iif(s.on_target, s.since_us, 0)) * 1.0
        / nullif(coalesce(o.on_us, 0) + coalesce(o.off_us, 0) + coalesce(s.since_us, 0), 0)
        AS on_target_share
FROM daily d
LEFT JOIN on_target o ON o.day = d.day AND o.symbol = d.symbol
LEFT JOIN (  -- what was not counted yet: it is when it changes, and at the full hour
    SELECT
        symbol,
        counted_us / 86400000000 AS day,
        on_target,
        (SELECT at_us FROM journal ORDER BY seq DESC LIMIT 1) - counted_us AS since_us
    FROM symbol_now
    WHERE target IS NOT NULL
) s ON s.day = d.day AND s.symbol = d.symbol;

CREATE VIEW v_equity AS
SELECT
    iso(at_us) AS at,
    (at_us / 1000) AS at_ms,
    (SELECT value FROM meta WHERE key = 'account') AS account,
    currency,
    wallet_minor,
    margin_minor,
    unrealised_minor
FROM equity;

CREATE VIEW v_runs AS
SELECT
    run_id,
    iso(started_us) AS started_at,
    iso(ended_us) AS ended_at,
    exit_reason,
    version,
    environment,
    host,
    recovered_events,
    in_doubt_at_start
FROM runs
WHERE mode = 'run';
