-- What the tables of schema 0003 refuse.

CREATE TRIGGER intents_no_update BEFORE UPDATE ON intents
BEGIN
    SELECT RAISE(ABORT, 'intents is append-only');
END;

CREATE TRIGGER intents_no_delete BEFORE DELETE ON intents
BEGIN
    SELECT RAISE(ABORT, 'intents is append-only');
END;

CREATE TRIGGER refusals_no_update BEFORE UPDATE ON refusals
BEGIN
    SELECT RAISE(ABORT, 'refusals is append-only');
END;

CREATE TRIGGER refusals_no_delete BEFORE DELETE ON refusals
BEGIN
    SELECT RAISE(ABORT, 'refusals is append-only');
END;

CREATE TRIGGER modes_no_update BEFORE UPDATE ON modes
BEGIN
    SELECT RAISE(ABORT, 'modes is append-only');
END;

CREATE TRIGGER modes_no_delete BEFORE DELETE ON modes
BEGIN
    SELECT RAISE(ABORT, 'modes is append-only');
END;

CREATE TRIGGER schedules_no_update BEFORE UPDATE ON schedules
BEGIN
    SELECT RAISE(ABORT, 'schedules is append-only');
END;

CREATE TRIGGER schedules_no_delete BEFORE DELETE ON schedules
BEGIN
    SELECT RAISE(ABORT, 'schedules is append-only');
END;

CREATE TRIGGER signals_no_update BEFORE UPDATE ON signals
BEGIN
    SELECT RAISE(ABORT, 'signals is append-only');
END;

CREATE TRIGGER signals_no_delete BEFORE DELETE ON signals
BEGIN
    SELECT RAISE(ABORT, 'signals is append-only');
END;

CREATE TRIGGER strategy_states_no_update BEFORE UPDATE ON strategy_states
BEGIN
    SELECT RAISE(ABORT, 'strategy_states is append-only');
END;

CREATE TRIGGER strategy_states_no_delete BEFORE DELETE ON strategy_states
BEGIN
    SELECT RAISE(ABORT, 'strategy_states is append-only');
END;

CREATE TRIGGER shares_no_update BEFORE UPDATE ON shares
BEGIN
    SELECT RAISE(ABORT, 'shares is append-only');
END;

CREATE TRIGGER shares_no_delete BEFORE DELETE ON shares
BEGIN
    SELECT RAISE(ABORT, 'shares is append-only');
END;

CREATE TRIGGER fill_shares_no_update BEFORE UPDATE ON fill_shares
BEGIN
    SELECT RAISE(ABORT, 'fill_shares is append-only');
END;

CREATE TRIGGER fill_shares_no_delete BEFORE DELETE ON fill_shares
BEGIN
    SELECT RAISE(ABORT, 'fill_shares is append-only');
END;
