-- migrate:up

-- Who acts, of the replicas of a service that must act once (docs/PROTOCOL.md,
-- "Who acts once").  Times are real, not calendar.

CREATE SCHEMA coordinator;
COMMENT ON SCHEMA coordinator IS 'Primaries and their standbys, as the coordinators keep them.';

CREATE FUNCTION coordinator.lock_key(role text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || encode(substr(sha256(('volumecap coordinator ' || role)::bytea), 1, 8), 'hex'))
           ::bit(64)::bigint;
COMMENT ON FUNCTION coordinator.lock_key IS
    'The key of a role''s advisory lock: the first 8 bytes of a SHA-256, so that it is the same in '
    'every version of PostgreSQL.';

CREATE TABLE coordinator.leadership (
    role        text COLLATE "C" NOT NULL CHECK (role ~ '^[A-Za-z0-9._-]{1,64}$'),
    lock_key    bigint NOT NULL,
    epoch       bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    holder      uuid,
    holder_name text CHECK (length(holder_name) BETWEEN 1 AND 64),
    since       timestamptz,
    acts_at     timestamptz,
    released    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (role),
    CONSTRAINT leadership_lock_key_is_of_one_role UNIQUE (lock_key),
    CONSTRAINT leadership_held_from_the_first_epoch_on CHECK (
        (epoch = 0) = (holder IS NULL) AND (holder IS NULL) = (holder_name IS NULL)
        AND (holder IS NULL) = (since IS NULL) AND (holder IS NULL) = (acts_at IS NULL))
) WITH (fillfactor = 20);

COMMENT ON TABLE coordinator.leadership IS
    'One row for each role.  It changes only when another primary wins or the one there is steps '
    'down, so that transactions may lock it in share mode (coordinator.is_current).';
COMMENT ON COLUMN coordinator.leadership.role IS 'The service, or what else has one primary.';
COMMENT ON COLUMN coordinator.leadership.lock_key IS
    'Of the session advisory lock that the primary holds.  Two roles with one key would exclude '
    'each other.';
COMMENT ON COLUMN coordinator.leadership.epoch IS
    'How often a primary has won; it only grows.  0: none ever did.';
COMMENT ON COLUMN coordinator.leadership.holder IS 'The coordinator process that won last.';
COMMENT ON COLUMN coordinator.leadership.holder_name IS 'Its name.';
COMMENT ON COLUMN coordinator.leadership.since IS 'When it won.';
COMMENT ON COLUMN coordinator.leadership.acts_at IS
    'Not before then is it primary: what its predecessor was told may be believed until then.';
COMMENT ON COLUMN coordinator.leadership.released IS
    'It gave up in order: nobody believes any more that it is primary.';

CREATE TABLE coordinator.member (
    role     text COLLATE "C" NOT NULL REFERENCES coordinator.leadership (role),
    instance uuid NOT NULL,
    name     text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    version  text NOT NULL CHECK (length(version) <= 64),
    lag_ms   bigint NOT NULL CHECK (lag_ms >= 0),
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (role, instance)
) WITH (fillfactor = 20);

COMMENT ON TABLE coordinator.member IS
    'The coordinators of a role, alive or lately so.  Each writes its own row.';
COMMENT ON COLUMN coordinator.member.role IS 'The role.';
COMMENT ON COLUMN coordinator.member.instance IS 'The process.';
COMMENT ON COLUMN coordinator.member.name IS 'As operators know it.';
COMMENT ON COLUMN coordinator.member.version IS 'Of the program.';
COMMENT ON COLUMN coordinator.member.lag_ms IS 'How long the heartbeat before this one took.';
COMMENT ON COLUMN coordinator.member.seen_at IS 'When its last heartbeat arrived.';

CREATE FUNCTION coordinator.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'check_violation',
        CONSTRAINT = TG_NAME,
        MESSAGE = format('%s of %s is refused: an epoch never goes back, nor has it two holders',
                         lower(TG_OP), TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION coordinator.refuse IS 'For triggers: a change that must not happen.';

CREATE TRIGGER leadership_epoch_only_grows BEFORE UPDATE ON coordinator.leadership
    FOR EACH ROW WHEN (
        NEW.role <> OLD.role OR NEW.lock_key <> OLD.lock_key OR NEW.epoch < OLD.epoch
        OR (NEW.epoch = OLD.epoch
            AND (NEW.holder IS DISTINCT FROM OLD.holder OR NEW.since IS DISTINCT FROM OLD.since
                 OR NEW.released < OLD.released)))
    EXECUTE FUNCTION coordinator.refuse();

CREATE TRIGGER leadership_is_never_forgotten BEFORE DELETE ON coordinator.leadership
    FOR EACH ROW EXECUTE FUNCTION coordinator.refuse();

-- The limit is the transaction's: one whose client is frozen must not keep the
-- row, and with it the next primary, for longer.
CREATE FUNCTION coordinator.is_current(role text, epoch bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '1500', true);
    PERFORM FROM coordinator.leadership AS l
      WHERE l.role = is_current.role AND l.epoch = is_current.epoch AND NOT l.released
        FOR SHARE;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION coordinator.is_current(text, bigint) IS
    'What every transaction of a job that only a primary does asks first: is this epoch still the '
    'role''s?  If so it stays so until the transaction ends; if not, the transaction must write '
    'nothing.  Needs SELECT and UPDATE on coordinator.leadership.';
