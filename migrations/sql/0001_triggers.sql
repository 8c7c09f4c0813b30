-- What the tables of schema 0001 refuse.

CREATE TRIGGER journal_in_order BEFORE INSERT ON journal
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM journal)
BEGIN
    SELECT RAISE(ABORT, 'out of order: seq must be one more than the last');
END;

CREATE TRIGGER journal_fence BEFORE INSERT ON journal
WHEN NEW.epoch <> (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch')
BEGIN
    SELECT RAISE(ABORT, 'fenced: a newer epoch exists');
END;

CREATE TRIGGER meta_epoch_rises BEFORE UPDATE ON meta
WHEN OLD.key = 'epoch' AND CAST(NEW.value AS INTEGER) <= CAST(OLD.value AS INTEGER)
BEGIN
    SELECT RAISE(ABORT, 'fenced: an epoch never falls');
END;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'journal is append-only');
END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN
    SELECT RAISE(ABORT, 'journal is append-only');
END;

CREATE TRIGGER intents_no_update BEFORE UPDATE ON intents
BEGIN
    SELECT RAISE(ABORT, 'intents is append-only');
END;

CREATE TRIGGER intents_no_delete BEFORE DELETE ON intents
BEGIN
    SELECT RAISE(ABORT, 'intents is append-only');
END;

CREATE TRIGGER fills_no_update BEFORE UPDATE ON fills
BEGIN
    SELECT RAISE(ABORT, 'fills is append-only');
END;

CREATE TRIGGER fills_no_delete BEFORE DELETE ON fills
BEGIN
    SELECT RAISE(ABORT, 'fills is append-only');
END;

CREATE TRIGGER cash_no_update BEFORE UPDATE ON cash
BEGIN
    SELECT RAISE(ABORT, 'cash is append-only');
END;

CREATE TRIGGER cash_no_delete BEFORE DELETE ON cash
BEGIN
    SELECT RAISE(ABORT, 'cash is append-only');
END;

CREATE TRIGGER transitions_no_update BEFORE UPDATE ON transitions
BEGIN
    SELECT RAISE(ABORT, 'transitions is append-only');
END;

CREATE TRIGGER transitions_no_delete BEFORE DELETE ON transitions
BEGIN
    SELECT RAISE(ABORT, 'transitions is append-only');
END;

CREATE TRIGGER positions_no_update BEFORE UPDATE ON positions
BEGIN
    SELECT RAISE(ABORT, 'positions is append-only');
END;

CREATE TRIGGER positions_no_delete BEFORE DELETE ON positions
BEGIN
    SELECT RAISE(ABORT, 'positions is append-only');
END;

CREATE TRIGGER adjustments_no_update BEFORE UPDATE ON adjustments
BEGIN
    SELECT RAISE(ABORT, 'adjustments is append-only');
END;

CREATE TRIGGER adjustments_no_delete BEFORE DELETE ON adjustments
BEGIN
    SELECT RAISE(ABORT, 'adjustments is append-only');
END;
