-- migrate:up

-- A database that goes back to an earlier state is noticed, and what it has
-- forgotten is learned again from those who know (docs/PROTOCOL.md).

CREATE FUNCTION local.current_life() RETURNS text LANGUAGE sql VOLATILE
    RETURN (SELECT system_identifier FROM pg_control_system())::text
        || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
        || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())::text
        || '/' || (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text;
COMMENT ON FUNCTION local.current_life() IS
    'System identifier, timeline, database and start of the server process: whatever a restore or '
    'a failover does, one of them is another.';

CREATE TABLE local.dc (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    incarnation bigint NOT NULL DEFAULT 0 CHECK (incarnation BETWEEN 0 AND 9007199254740991),
    life        text,
    writers     bigint NOT NULL DEFAULT 0 CHECK (writers >= 0),
    in_doubt    boolean NOT NULL DEFAULT false,
    is_lost     boolean NOT NULL DEFAULT false,
    has_heard   boolean NOT NULL DEFAULT true,
    is_overruled boolean NOT NULL DEFAULT false,
    reason      text NOT NULL DEFAULT '',
    since       timestamptz,
    since_calendar timestamptz
) WITH (fillfactor = 20);
COMMENT ON TABLE local.dc IS 'One row: whether this database may have forgotten something.';
COMMENT ON COLUMN local.dc.only_row IS 'True: there is one row.';
COMMENT ON COLUMN local.dc.incarnation IS
    'Raised whenever something may have been forgotten.  What others said before does not count.';
COMMENT ON COLUMN local.dc.life IS 'local.current_life() as it was checked last; null: never.';
COMMENT ON COLUMN local.dc.writers IS 'How many processes ever registered.';
COMMENT ON COLUMN local.dc.in_doubt IS 'Some pools are in doubt.';
COMMENT ON COLUMN local.dc.is_lost IS 'It is known that something was forgotten; else it only may be.';
COMMENT ON COLUMN local.dc.has_heard IS
    'All servers have told what they hold in this incarnation: this data centre can answer for them.';
COMMENT ON COLUMN local.dc.is_overruled IS
    'An operator has said that what stands here is the truth.';
COMMENT ON COLUMN local.dc.reason IS 'Why the incarnation was raised last.';
COMMENT ON COLUMN local.dc.since IS 'Real time of this database at which it was raised last.';
COMMENT ON COLUMN local.dc.since_calendar IS 'The same in calendar time.';

INSERT INTO local.dc DEFAULT VALUES;

CREATE TRIGGER dc_incarnation_only_grows BEFORE UPDATE ON local.dc
    FOR EACH ROW WHEN (NEW.incarnation < OLD.incarnation OR NEW.writers < OLD.writers)
    EXECUTE FUNCTION local.refuse();
CREATE TRIGGER dc_stays BEFORE DELETE ON local.dc
    FOR EACH ROW EXECUTE FUNCTION local.refuse();

CREATE TABLE local.writer (
    process       uuid PRIMARY KEY,
    commits       bigint NOT NULL DEFAULT 0 CHECK (commits >= 0),
    registered_in bigint NOT NULL,
    agreed_in     bigint NOT NULL DEFAULT 0,
    seen_at       timestamptz NOT NULL
) WITH (fillfactor = 20);
COMMENT ON TABLE local.writer IS
    'The processes of local-svc, as witnesses: each knows how often it committed, and so finds a '
    'database that went back.';
COMMENT ON COLUMN local.writer.process IS 'The process.';
COMMENT ON COLUMN local.writer.commits IS 'Its transactions that granted, sent or minted units.';
COMMENT ON COLUMN local.writer.registered_in IS 'The incarnation in which it came.';
COMMENT ON COLUMN local.writer.agreed_in IS
    'The incarnation in which it last found all its commits after another life began.';
COMMENT ON COLUMN local.writer.seen_at IS 'Real time of this database when it was last there.';

ALTER TABLE local.server
    ADD COLUMN heard_in bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN local.server.heard_in IS
    'The highest incarnation of this data centre in which it has told all that it holds.';

ALTER TABLE local.pool
    ADD COLUMN in_doubt boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT pool_free_not_negative,
    ADD CONSTRAINT pool_free_not_negative CHECK
        (in_doubt OR granted - returned <= minted - burned + received - sent) NOT VALID;
COMMENT ON COLUMN local.pool.in_doubt IS
    'Grants may have been forgotten: nothing is granted, sent or burned.';
CREATE INDEX pool_in_doubt ON local.pool (cap, starts_at)
    WHERE in_doubt;

ALTER TABLE local.peer_row
    ADD COLUMN incarnation bigint NOT NULL DEFAULT 0,
    ADD COLUMN heard       bigint NOT NULL DEFAULT 0;
ALTER TABLE local.peer_row
    ADD CONSTRAINT peer_row_incarnations_not_negative CHECK
        (incarnation >= 0 AND heard >= 0) NOT VALID;
COMMENT ON COLUMN local.peer_row.incarnation IS
    'The highest incarnation in which it spoke: rows of an earlier one are void.';
COMMENT ON COLUMN local.peer_row.heard IS 'Of our incarnations, the highest it has heard.';

-- Who begins anew counts its rows anew.
DROP TRIGGER peer_row_only_grows ON local.peer_row;
CREATE TRIGGER peer_row_only_grows BEFORE UPDATE ON local.peer_row
    FOR EACH ROW WHEN (
        NEW.cap <> OLD.cap OR NEW.starts_at <> OLD.starts_at OR NEW.peer <> OLD.peer
        OR NEW.sent < OLD.sent OR NEW.received < OLD.received OR NEW.echoed < OLD.echoed
        OR NEW.incarnation < OLD.incarnation OR NEW.heard < OLD.heard
        OR (NEW.version < OLD.version AND NEW.incarnation = OLD.incarnation)
        OR NEW.revision < OLD.revision)
    EXECUTE FUNCTION local.refuse();
