-- migrate:up

-- Pools and slices of this data centre.  The services decide (common/domain);
-- what stands here repeats the law, so that a mistake elsewhere is an error
-- and never an overspend.

CREATE DOMAIN local.units AS bigint CHECK (VALUE BETWEEN 0 AND 9007199254740991);
COMMENT ON DOMAIN local.units IS 'An amount of units: exact in JSON and in a double.';

-- A domain is checked when a row is made; a CHECK of the table would be at
-- every update, and a regular expression then costs more than all the rest.
CREATE DOMAIN local.name AS text COLLATE "C" CHECK (VALUE ~ '^[A-Za-z0-9._-]{1,64}$');
COMMENT ON DOMAIN local.name IS 'The id of a cap.';

CREATE FUNCTION local.until_ms(instant timestamptz, now timestamptz, speed double precision)
    RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ceil(extract(epoch FROM instant - now)::double precision * 1000 / speed)::bigint;
COMMENT ON FUNCTION local.until_ms IS
    'calendar.until_ms for many rows: the clock is read once and the planner inlines this.';

CREATE TABLE local.pool (
    cap            local.name NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    state          text NOT NULL CHECK (state IN ('planned', 'open', 'closing', 'closed')),
    paused         boolean NOT NULL,
    version        bigint NOT NULL CHECK (version >= 0),
    requested      local.units NOT NULL DEFAULT 0,
    minted         local.units NOT NULL DEFAULT 0,
    burned         local.units NOT NULL DEFAULT 0,
    granted        local.units NOT NULL DEFAULT 0,
    returned       local.units NOT NULL DEFAULT 0,
    consumed       local.units NOT NULL DEFAULT 0,
    refunded       local.units NOT NULL DEFAULT 0,
    presumed       bigint NOT NULL DEFAULT 0 CHECK (presumed >= 0),
    wanted         bigint NOT NULL DEFAULT 0 CHECK (wanted >= 0),
    recalled_at_ms bigint NOT NULL DEFAULT 0,
    topup_ppm      bigint NOT NULL CHECK (topup_ppm BETWEEN 1 AND 1000000),
    slice_max_ppm  bigint NOT NULL CHECK (slice_max_ppm BETWEEN 1 AND 1000000),
    autonomy_ms    bigint NOT NULL CHECK (autonomy_ms BETWEEN 0 AND 3600000),
    closing_at     timestamptz,
    recall         boolean NOT NULL DEFAULT false,
    revision       bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    PRIMARY KEY (cap, starts_at),
    CONSTRAINT pool_ends_after_it_starts CHECK (ends_at > starts_at),
    CONSTRAINT pool_burned_within_minted CHECK (burned <= minted),
    CONSTRAINT pool_refunded_within_consumed CHECK (refunded <= consumed),
    CONSTRAINT pool_free_not_negative CHECK (granted - returned <= minted - burned),
    CONSTRAINT pool_spent_within_granted CHECK (returned + consumed - refunded <= granted),
    CONSTRAINT pool_closing_has_a_time CHECK
        ((state IN ('closing', 'closed')) = (closing_at IS NOT NULL))
) WITH (fillfactor = 70);

COMMENT ON TABLE local.pool IS
    'What this data centre holds of one window of a cap.  All amounts are cumulative counters.';
COMMENT ON COLUMN local.pool.cap IS 'The cap''s id.';
COMMENT ON COLUMN local.pool.starts_at IS 'Calendar time; with the cap, the window''s identity.';
COMMENT ON COLUMN local.pool.ends_at IS 'Calendar time; exclusive.';
COMMENT ON COLUMN local.pool.state IS 'planned, open, closing, closed: only forward.';
COMMENT ON COLUMN local.pool.paused IS 'Nothing is granted while this is true.';
COMMENT ON COLUMN local.pool.version IS 'Of the definition applied last; an older one is ignored.';
COMMENT ON COLUMN local.pool.requested IS 'The window''s total as it is asked for.';
COMMENT ON COLUMN local.pool.minted IS 'Units that came into being here.';
COMMENT ON COLUMN local.pool.burned IS 'Units that disappeared again because the total was lowered.';
COMMENT ON COLUMN local.pool.granted IS 'Sum over the slices.';
COMMENT ON COLUMN local.pool.returned IS 'Sum over the slices.';
COMMENT ON COLUMN local.pool.consumed IS 'Sum over the slices.';
COMMENT ON COLUMN local.pool.refunded IS 'Sum over the slices.';
COMMENT ON COLUMN local.pool.presumed IS 'Sum over the slices: held by silent servers.';
COMMENT ON COLUMN local.pool.wanted IS 'Sum over the slices: asked for and not given.';
COMMENT ON COLUMN local.pool.recalled_at_ms IS
    'Real time of this database, in ms since 1970, of the last recall.';
COMMENT ON COLUMN local.pool.topup_ppm IS 'First slice, in millionths of the share.';
COMMENT ON COLUMN local.pool.slice_max_ppm IS 'Largest slice, in millionths of the total.';
COMMENT ON COLUMN local.pool.autonomy_ms IS 'How long a slice should last.';
COMMENT ON COLUMN local.pool.closing_at IS 'Calendar time at which granting ended for good.';
COMMENT ON COLUMN local.pool.recall IS 'The last news was a recall: somebody is short of units.';
COMMENT ON COLUMN local.pool.revision IS 'Of the last news; in commit order over all pools.';

CREATE INDEX pool_by_revision ON local.pool (revision);
CREATE INDEX pool_planned ON local.pool (starts_at) WHERE state = 'planned';
CREATE INDEX pool_open ON local.pool (ends_at) WHERE state = 'open';
CREATE INDEX pool_closing ON local.pool (closing_at) WHERE state = 'closing';
CREATE INDEX pool_closed ON local.pool (ends_at) WHERE state = 'closed';

CREATE TABLE local.server (
    name        text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    incarnation uuid NOT NULL,
    generation  bigint NOT NULL CHECK (generation >= 1),
    process     uuid NOT NULL,
    seen_at     timestamptz NOT NULL,
    silence     bigint NOT NULL DEFAULT 0 CHECK (silence BETWEEN 0 AND 2),
    PRIMARY KEY (name, incarnation)
) WITH (fillfactor = 50);

COMMENT ON TABLE local.server IS 'Who holds slices: one row for each ledger a server ever had.';
COMMENT ON COLUMN local.server.name IS 'The server''s name.';
COMMENT ON COLUMN local.server.incarnation IS 'The identity of its ledger.';
COMMENT ON COLUMN local.server.generation IS 'How often that ledger was opened, as last heard.';
COMMENT ON COLUMN local.server.process IS 'The process that holds the ledger in this generation.';
COMMENT ON COLUMN local.server.seen_at IS 'Real time of this database when it last spoke.';
COMMENT ON COLUMN local.server.silence IS
    'What was done about its silence: 0 nothing, 1 its wishes dropped, 2 its rests presumed spent.';

CREATE TABLE local.slice (
    cap         text COLLATE "C" NOT NULL,
    starts_at   timestamptz NOT NULL,
    server      text COLLATE "C" NOT NULL,
    incarnation uuid NOT NULL,
    granted     local.units NOT NULL,
    returned    local.units NOT NULL,
    consumed    local.units NOT NULL,
    refunded    local.units NOT NULL,
    presumed    bigint NOT NULL CHECK (presumed >= 0),
    wanted      bigint NOT NULL CHECK (wanted >= 0),
    frozen      boolean NOT NULL,
    PRIMARY KEY (cap, starts_at, server, incarnation),
    FOREIGN KEY (cap, starts_at) REFERENCES local.pool ON DELETE CASCADE,
    FOREIGN KEY (server, incarnation) REFERENCES local.server (name, incarnation),
    CONSTRAINT slice_spent_within_granted CHECK (returned + consumed - refunded <= granted),
    CONSTRAINT slice_refunded_within_consumed CHECK (refunded <= consumed),
    CONSTRAINT slice_presumed_within_rest CHECK
        (presumed <= granted - returned - consumed + refunded)
) WITH (fillfactor = 70);

COMMENT ON TABLE local.slice IS 'What one server holds of one pool.  Cumulative counters.';
COMMENT ON COLUMN local.slice.cap IS 'The cap''s id.';
COMMENT ON COLUMN local.slice.starts_at IS 'With the cap, the window.';
COMMENT ON COLUMN local.slice.server IS 'The holder''s name.';
COMMENT ON COLUMN local.slice.incarnation IS 'The holder''s ledger.';
COMMENT ON COLUMN local.slice.granted IS 'Units given to the server.';
COMMENT ON COLUMN local.slice.returned IS 'Units it gave back, as it said last.';
COMMENT ON COLUMN local.slice.consumed IS 'Units its clients spent, as it said last.';
COMMENT ON COLUMN local.slice.refunded IS 'Units its clients gave back, as it said last.';
COMMENT ON COLUMN local.slice.presumed IS 'Its rest, if it has been silent for long; else 0.';
COMMENT ON COLUMN local.slice.wanted IS 'Units it asked for last and was not given.';
COMMENT ON COLUMN local.slice.frozen IS 'It contradicted us: nothing more is granted to it.';

-- Not (server, incarnation): the two go together, which the planner does not know, so that it would
-- take such an index for the most selective one and look for each slice among all of its server's.
CREATE INDEX slice_by_incarnation ON local.slice (incarnation);

CREATE TABLE local.revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL CHECK (revision >= 0)
) WITH (fillfactor = 10);

COMMENT ON TABLE local.revision IS
    'One row.  Locked last in every transaction with news, so that revisions are in commit order.';
COMMENT ON COLUMN local.revision.only_row IS 'True: there is one row.';
COMMENT ON COLUMN local.revision.revision IS 'The highest revision given to any news so far.';

INSERT INTO local.revision (revision) VALUES (0);

-- What never goes back.  The conditions stand in the triggers themselves, so
-- that a lawful update costs no function call.

CREATE FUNCTION local.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        CONSTRAINT = TG_NAME,
        MESSAGE = format('%s of %s is refused: what was told to others cannot go back',
                         lower(TG_OP), TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION local.refuse IS 'For triggers: a change that must not happen.';

CREATE TRIGGER pool_only_grows BEFORE UPDATE ON local.pool
    FOR EACH ROW WHEN (
        NEW.cap <> OLD.cap OR NEW.starts_at <> OLD.starts_at
        OR NEW.version < OLD.version OR NEW.revision < OLD.revision
        OR NEW.minted < OLD.minted OR NEW.burned < OLD.burned
        OR NEW.granted < OLD.granted OR NEW.returned < OLD.returned
        OR NEW.consumed < OLD.consumed OR NEW.refunded < OLD.refunded
        OR (NEW.state <> OLD.state
            AND array_position(ARRAY['planned', 'open', 'closing', 'closed'], NEW.state)
                < array_position(ARRAY['planned', 'open', 'closing', 'closed'], OLD.state)))
    EXECUTE FUNCTION local.refuse();

CREATE TRIGGER pool_purged_when_closed BEFORE DELETE ON local.pool
    FOR EACH ROW WHEN (OLD.state <> 'closed') EXECUTE FUNCTION local.refuse();

CREATE TRIGGER slice_only_grows BEFORE UPDATE ON local.slice
    FOR EACH ROW WHEN (
        NEW.cap <> OLD.cap OR NEW.starts_at <> OLD.starts_at
        OR NEW.server <> OLD.server OR NEW.incarnation <> OLD.incarnation
        OR NEW.granted < OLD.granted OR NEW.returned < OLD.returned
        OR NEW.consumed < OLD.consumed OR NEW.refunded < OLD.refunded
        OR NEW.frozen < OLD.frozen)
    EXECUTE FUNCTION local.refuse();

CREATE TRIGGER server_only_grows BEFORE UPDATE ON local.server
    FOR EACH ROW WHEN (
        NEW.name <> OLD.name OR NEW.incarnation <> OLD.incarnation
        OR NEW.generation < OLD.generation
        OR (NEW.generation = OLD.generation AND NEW.process <> OLD.process))
    EXECUTE FUNCTION local.refuse();

CREATE TRIGGER revision_only_grows BEFORE UPDATE ON local.revision
    FOR EACH ROW WHEN (NEW.revision < OLD.revision) EXECUTE FUNCTION local.refuse();

CREATE TRIGGER revision_stays BEFORE DELETE ON local.revision
    FOR EACH ROW EXECUTE FUNCTION local.refuse();
