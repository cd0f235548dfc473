-- migrate:up

CREATE TABLE meta.cap (
    id            text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    version       bigint      NOT NULL CHECK (version >= 1),
    deleted       boolean     NOT NULL,
    starts_at     timestamptz NOT NULL CHECK (starts_at >= '1970-01-01 00:00:00+00'),
    ends_at       timestamptz NOT NULL CHECK (ends_at < '10000-01-01 00:00:00+00'),
    interval      text        NOT NULL
                  CHECK (interval IN ('single', 'hour', 'day', 'week', 'month')),
    total         bigint      NOT NULL CHECK (total BETWEEN 0 AND 9007199254740991),
    initial_total bigint               CHECK (initial_total BETWEEN 0 AND 9007199254740991),
    time_zone     text        NOT NULL CHECK (length(time_zone) BETWEEN 1 AND 64),
    topup_ppm     bigint      NOT NULL CHECK (topup_ppm BETWEEN 1 AND 1000000),
    slice_max_ppm bigint      NOT NULL CHECK (slice_max_ppm BETWEEN 1 AND 1000000),
    autonomy_ms   bigint      NOT NULL CHECK (autonomy_ms BETWEEN 0 AND 3600000),
    paused        boolean     NOT NULL,
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CONSTRAINT cap_ends_after_start CHECK (ends_at > starts_at)
);
CREATE INDEX cap_alive ON meta.cap (id) WHERE NOT deleted;
COMMENT ON TABLE meta.cap IS
    'The definition of each cap. A deleted one stays as a tombstone, so that versions go on '
    'growing if its id is used again.';
COMMENT ON COLUMN meta.cap.id IS 'The name that clients spend from.';
COMMENT ON COLUMN meta.cap.version IS
    'Grows with each change and with a deletion; the ETag, and what makes messages idempotent.';
COMMENT ON COLUMN meta.cap.deleted IS 'A tombstone: to clients there is no such cap.';
COMMENT ON COLUMN meta.cap.starts_at IS 'Nothing can be spent before.';
COMMENT ON COLUMN meta.cap.ends_at IS 'Nothing can be spent from then on.';
COMMENT ON COLUMN meta.cap.interval IS 'The kind of window that the total is for.';
COMMENT ON COLUMN meta.cap.total IS 'Units a window.';
COMMENT ON COLUMN meta.cap.initial_total IS
    'Units of the one window that is current when this version arrives. NULL: as the others.';
COMMENT ON COLUMN meta.cap.time_zone IS 'Where days, weeks and months begin.';
COMMENT ON COLUMN meta.cap.topup_ppm IS
    'A first slice, in millionths of what this data centre has of a window.';
COMMENT ON COLUMN meta.cap.slice_max_ppm IS 'The largest slice, in millionths of the total.';
COMMENT ON COLUMN meta.cap.autonomy_ms IS
    'For how long a slice should last a server, in real milliseconds.';
COMMENT ON COLUMN meta.cap.paused IS 'Nothing is granted while this is true.';
COMMENT ON COLUMN meta.cap.created_at IS
    'Calendar time of the first version, or of the first after a deletion.';
COMMENT ON COLUMN meta.cap.updated_at IS 'Calendar time of this version.';

CREATE FUNCTION meta.cap_goes_forward() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'cap % would forget its version', OLD.id;
    END IF;
    IF NEW.id <> OLD.id OR (NEW IS DISTINCT FROM OLD AND NEW.version <= OLD.version) THEN
        RAISE EXCEPTION 'cap % would go from version % to %', OLD.id, OLD.version, NEW.version;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION meta.cap_goes_forward() IS
    'Refuses a change without a higher version, and forgetting one.';

CREATE TRIGGER cap_goes_forward BEFORE UPDATE OR DELETE ON meta.cap
FOR EACH ROW EXECUTE FUNCTION meta.cap_goes_forward();
