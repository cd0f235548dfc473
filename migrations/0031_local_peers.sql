-- migrate:up

-- Several data centres: a pool may hold units that were minted elsewhere, and
-- has a row of account for each other data centre.

ALTER TABLE local.pool
    ADD COLUMN home             text COLLATE "C",
    ADD COLUMN requested_max    local.units NOT NULL DEFAULT 0,
    ADD COLUMN received         local.units NOT NULL DEFAULT 0,
    ADD COLUMN sent             local.units NOT NULL DEFAULT 0,
    ADD COLUMN wanted_elsewhere bigint NOT NULL DEFAULT 0,
    ADD COLUMN spent_elsewhere  bigint NOT NULL DEFAULT 0,
    ADD COLUMN rate_milli       bigint NOT NULL DEFAULT 0,
    ADD COLUMN changes          bigint NOT NULL DEFAULT 0;

-- Nothing is known of totals that were lowered; what was minted is never less than the largest.
UPDATE local.pool SET requested_max = greatest(requested, minted);

-- Not valid: for rows written from now on.  Those that are there hold nothing from elsewhere, so
-- that what they were checked for says the same, and need not all be read while nobody may write.
ALTER TABLE local.pool
    DROP CONSTRAINT pool_free_not_negative,
    ADD CONSTRAINT pool_free_not_negative CHECK
        (granted - returned <= minted - burned + received - sent) NOT VALID,
    ADD CONSTRAINT pool_home_mints CHECK
        (home IS NULL OR (minted = 0 AND burned = 0)) NOT VALID,
    ADD CONSTRAINT pool_requested_within_max CHECK (requested <= requested_max) NOT VALID,
    ADD CONSTRAINT pool_hints_not_negative CHECK
        (wanted_elsewhere >= 0 AND spent_elsewhere >= 0 AND rate_milli >= 0) NOT VALID;

COMMENT ON COLUMN local.pool.home IS
    'The data centre that mints and burns the units; null: this one.  Never changes.';
COMMENT ON COLUMN local.pool.requested_max IS
    'The largest total ever asked for: no data centre can hold more.';
COMMENT ON COLUMN local.pool.received IS 'Sum over the peer rows: units from other data centres.';
COMMENT ON COLUMN local.pool.sent IS 'Sum over the peer rows: units to other data centres.';
COMMENT ON COLUMN local.pool.wanted_elsewhere IS 'Sum over the peer rows'' lack.';
COMMENT ON COLUMN local.pool.spent_elsewhere IS 'Sum over the peer rows'' spent.';
COMMENT ON COLUMN local.pool.rate_milli IS
    'Sum over the slices: the demand, in thousandths of a unit a second.';
COMMENT ON COLUMN local.pool.changes IS
    'How often the row was saved; orders what other data centres are told of it.';

ALTER TABLE local.slice
    ADD COLUMN rate_milli bigint NOT NULL DEFAULT 0;
ALTER TABLE local.slice
    ADD CONSTRAINT slice_rate_not_negative CHECK (rate_milli >= 0) NOT VALID;
COMMENT ON COLUMN local.slice.rate_milli IS
    'Its server''s demand as it said last, in thousandths of a unit a second.';

CREATE TRIGGER pool_trades_only_grow BEFORE UPDATE ON local.pool
    FOR EACH ROW WHEN (
        NEW.home IS DISTINCT FROM OLD.home
        OR NEW.requested_max < OLD.requested_max
        OR NEW.received < OLD.received OR NEW.sent < OLD.sent
        OR NEW.changes < OLD.changes)
    EXECUTE FUNCTION local.refuse();

CREATE TABLE local.peer_row (
    cap         text COLLATE "C" NOT NULL,
    starts_at   timestamptz NOT NULL,
    peer        text COLLATE "C" NOT NULL CHECK (length(peer) BETWEEN 1 AND 64),
    sent        local.units NOT NULL DEFAULT 0,
    received    local.units NOT NULL DEFAULT 0,
    echoed      local.units NOT NULL DEFAULT 0,
    want        local.units NOT NULL DEFAULT 0,
    lack        local.units NOT NULL DEFAULT 0,
    burn        local.units NOT NULL DEFAULT 0,
    free        local.units NOT NULL DEFAULT 0,
    spent       local.units NOT NULL DEFAULT 0,
    rate_milli  bigint NOT NULL DEFAULT 0 CHECK (rate_milli >= 0),
    version     bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    asked_want  local.units NOT NULL DEFAULT 0,
    asked_lack  local.units NOT NULL DEFAULT 0,
    asked_burn  local.units NOT NULL DEFAULT 0,
    told_at_ms  bigint NOT NULL DEFAULT 0,
    revision    bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    PRIMARY KEY (cap, starts_at, peer),
    FOREIGN KEY (cap, starts_at) REFERENCES local.pool ON DELETE CASCADE,
    CONSTRAINT peer_row_echoed_within_sent CHECK (echoed <= sent)
) WITH (fillfactor = 70);

COMMENT ON TABLE local.peer_row IS
    'The account with one other data centre about one window.  Only this data centre writes it.';
COMMENT ON COLUMN local.peer_row.cap IS 'The cap''s id.';
COMMENT ON COLUMN local.peer_row.starts_at IS 'With the cap, the window.';
COMMENT ON COLUMN local.peer_row.peer IS 'The other data centre.';
COMMENT ON COLUMN local.peer_row.sent IS 'Units ever sent to it.  They are its own from then on.';
COMMENT ON COLUMN local.peer_row.received IS 'Units ever received from it.';
COMMENT ON COLUMN local.peer_row.echoed IS 'Of those sent, how many it says it has received.';
COMMENT ON COLUMN local.peer_row.want IS 'What it asks us for.';
COMMENT ON COLUMN local.peer_row.lack IS
    'Of that, what its servers lack already, or what it will burn.';
COMMENT ON COLUMN local.peer_row.burn IS 'Of that, what it will burn.';
COMMENT ON COLUMN local.peer_row.free IS 'What it had free when it spoke last.';
COMMENT ON COLUMN local.peer_row.spent IS 'What it had spent or presumed spent when it spoke last.';
COMMENT ON COLUMN local.peer_row.rate_milli IS 'Its servers'' demand when it spoke last.';
COMMENT ON COLUMN local.peer_row.version IS
    'Of its last row: what an older one says of wishes and demand is passed over.';
COMMENT ON COLUMN local.peer_row.asked_want IS 'What we asked it for last.';
COMMENT ON COLUMN local.peer_row.asked_lack IS 'Of that, what our servers lack, or we will burn.';
COMMENT ON COLUMN local.peer_row.asked_burn IS 'Of that, what we will burn.';
COMMENT ON COLUMN local.peer_row.told_at_ms IS
    'Real time of this database, in ms since 1970, at which it was last to be told.';
COMMENT ON COLUMN local.peer_row.revision IS
    'Of the last thing that it is to be told; in commit order over all peer rows.';

CREATE INDEX peer_row_by_revision ON local.peer_row (revision);
CREATE INDEX peer_row_by_peer ON local.peer_row (peer, cap, starts_at);
CREATE INDEX peer_row_in_transit ON local.peer_row (peer, cap, starts_at) WHERE sent > echoed;
CREATE INDEX peer_row_asking ON local.peer_row (told_at_ms)
    WHERE asked_want > 0 OR asked_lack > 0 OR asked_burn > 0;

CREATE TRIGGER peer_row_only_grows BEFORE UPDATE ON local.peer_row
    FOR EACH ROW WHEN (
        NEW.cap <> OLD.cap OR NEW.starts_at <> OLD.starts_at OR NEW.peer <> OLD.peer
        OR NEW.sent < OLD.sent OR NEW.received < OLD.received OR NEW.echoed < OLD.echoed
        OR NEW.version < OLD.version OR NEW.revision < OLD.revision)
    EXECUTE FUNCTION local.refuse();

CREATE TABLE local.trade_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL CHECK (revision >= 0)
) WITH (fillfactor = 10);

COMMENT ON TABLE local.trade_revision IS
    'One row.  Locked last in every transaction that has something to tell other data centres.';
COMMENT ON COLUMN local.trade_revision.only_row IS 'True: there is one row.';
COMMENT ON COLUMN local.trade_revision.revision IS 'The highest revision given to any peer row.';

INSERT INTO local.trade_revision (revision) VALUES (0);

CREATE TRIGGER trade_revision_only_grows BEFORE UPDATE ON local.trade_revision
    FOR EACH ROW WHEN (NEW.revision < OLD.revision) EXECUTE FUNCTION local.refuse();

CREATE TRIGGER trade_revision_stays BEFORE DELETE ON local.trade_revision
    FOR EACH ROW EXECUTE FUNCTION local.refuse();
