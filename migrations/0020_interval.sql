-- migrate:up

CREATE TABLE interval.definition (
    id              text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9._-]{1,64}$'),
    version         bigint      NOT NULL CHECK (version >= 1),
    applied_version bigint      NOT NULL DEFAULT 0,
    deleted         boolean     NOT NULL,
    starts_at       timestamptz NOT NULL CHECK (starts_at >= '1970-01-01 00:00:00+00'),
    ends_at         timestamptz NOT NULL CHECK (ends_at < '10000-01-01 00:00:00+00'),
    interval        text        NOT NULL
                    CHECK (interval IN ('single', 'hour', 'day', 'week', 'month')),
    total           bigint      NOT NULL CHECK (total BETWEEN 0 AND 9007199254740991),
    initial_total   bigint               CHECK (initial_total BETWEEN 0 AND 9007199254740991),
    time_zone       text        NOT NULL CHECK (length(time_zone) BETWEEN 1 AND 64),
    topup_ppm       bigint      NOT NULL CHECK (topup_ppm BETWEEN 1 AND 1000000),
    slice_max_ppm   bigint      NOT NULL CHECK (slice_max_ppm BETWEEN 1 AND 1000000),
    autonomy_ms     bigint      NOT NULL CHECK (autonomy_ms BETWEEN 0 AND 3600000),
    paused          boolean     NOT NULL,
    next_look_at    timestamptz,
    CONSTRAINT definition_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT definition_applied CHECK (applied_version BETWEEN 0 AND version)
);
CREATE INDEX definition_due ON interval.definition (next_look_at) WHERE next_look_at IS NOT NULL;
COMMENT ON TABLE interval.definition IS
    'The newest version of each cap definition that meta-svc sent; deleted ones stay, so that a '
    'late message cannot bring them back.';
COMMENT ON COLUMN interval.definition.id IS 'The cap.';
COMMENT ON COLUMN interval.definition.version IS 'Of the definition, as meta-svc numbers them.';
COMMENT ON COLUMN interval.definition.applied_version IS
    'The version that the windows follow; less than version until the worker has looked.';
COMMENT ON COLUMN interval.definition.deleted IS 'The cap has no windows any more.';
COMMENT ON COLUMN interval.definition.starts_at IS 'The first window does not begin before.';
COMMENT ON COLUMN interval.definition.ends_at IS 'The last window does not go on from then.';
COMMENT ON COLUMN interval.definition.interval IS 'The kind of window.';
COMMENT ON COLUMN interval.definition.total IS 'Units a window.';
COMMENT ON COLUMN interval.definition.initial_total IS
    'Units of the window that is current when this version is applied. NULL: as the others.';
COMMENT ON COLUMN interval.definition.time_zone IS 'Where days, weeks and months begin.';
COMMENT ON COLUMN interval.definition.topup_ppm IS 'Passed on to local-svc.';
COMMENT ON COLUMN interval.definition.slice_max_ppm IS 'Passed on to local-svc.';
COMMENT ON COLUMN interval.definition.autonomy_ms IS 'Passed on to local-svc.';
COMMENT ON COLUMN interval.definition.paused IS 'Passed on to local-svc.';
COMMENT ON COLUMN interval.definition.next_look_at IS
    'Calendar time at which the windows must be looked at again. NULL: never.';

CREATE TABLE interval.interval (
    cap            text COLLATE "C" NOT NULL REFERENCES interval.definition (id),
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL,
    grid_starts_at timestamptz NOT NULL,
    version        bigint      NOT NULL CHECK (version >= 1),
    state          text        NOT NULL
                   CHECK (state IN ('planned', 'open', 'closing', 'closed')),
    total          bigint      NOT NULL CHECK (total BETWEEN 0 AND 9007199254740991),
    paused         boolean     NOT NULL,
    PRIMARY KEY (cap, starts_at),
    CONSTRAINT interval_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT interval_starts_within_grid CHECK (starts_at >= grid_starts_at)
);
CREATE UNIQUE INDEX interval_live ON interval.interval (cap, grid_starts_at)
    WHERE state IN ('planned', 'open');
CREATE INDEX interval_closed ON interval.interval (ends_at) WHERE state = 'closed';
CREATE INDEX interval_closing ON interval.interval (ends_at) WHERE state = 'closing';
COMMENT ON TABLE interval.interval IS
    'The windows of each cap: current, next, and those of the last days. Their units are '
    'local-svc''s to keep.';
COMMENT ON COLUMN interval.interval.cap IS 'Whose window it is.';
COMMENT ON COLUMN interval.interval.starts_at IS 'Its first instant, and its identity.';
COMMENT ON COLUMN interval.interval.ends_at IS 'The first instant after it.';
COMMENT ON COLUMN interval.interval.grid_starts_at IS
    'Where the grid and the bounds of the cap have it start; earlier than starts_at if it took '
    'the place of another window.';
COMMENT ON COLUMN interval.interval.version IS
    'Grows with each change that local-svc is told of; makes those messages idempotent.';
COMMENT ON COLUMN interval.interval.state IS
    'planned, open, closing (ended early), closed; never goes back.';
COMMENT ON COLUMN interval.interval.total IS 'Units asked for this window.';
COMMENT ON COLUMN interval.interval.paused IS 'Nothing is granted while this is true.';
COMMENT ON INDEX interval.interval_live IS 'A window cannot be there twice.';

CREATE FUNCTION interval.state_rank(state text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_position(ARRAY['planned', 'open', 'closing', 'closed'], state);
COMMENT ON FUNCTION interval.state_rank(text) IS 'States in their order: 1 to 4.';

CREATE FUNCTION interval.interval_goes_forward() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version < OLD.version THEN
        RAISE EXCEPTION 'interval % % would go from version % to %',
            OLD.cap, OLD.starts_at, OLD.version, NEW.version;
    END IF;
    IF interval.state_rank(NEW.state) < interval.state_rank(OLD.state) THEN
        RAISE EXCEPTION 'interval % % would go from % to %',
            OLD.cap, OLD.starts_at, OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION interval.interval_goes_forward() IS 'Refuses versions and states that go back.';

CREATE TRIGGER interval_goes_forward BEFORE UPDATE ON interval.interval
FOR EACH ROW EXECUTE FUNCTION interval.interval_goes_forward();

CREATE FUNCTION interval.definition_goes_forward() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'definition % would forget its version', OLD.id;
    END IF;
    IF NEW.version < OLD.version OR NEW.applied_version < OLD.applied_version THEN
        RAISE EXCEPTION 'definition % would go from version % (applied %) to % (%)',
            OLD.id, OLD.version, OLD.applied_version, NEW.version, NEW.applied_version;
    END IF;
    RETURN NEW;
END;
$$;
COMMENT ON FUNCTION interval.definition_goes_forward() IS
    'Refuses versions that go back, and forgetting one.';

CREATE TRIGGER definition_goes_forward BEFORE UPDATE OR DELETE ON interval.definition
FOR EACH ROW EXECUTE FUNCTION interval.definition_goes_forward();

-- Days, weeks and months are counted in local time and only then turned into
-- instants, so that they have 23 or 25 hours where they should. If midnight
-- comes twice, the day before goes on until the second one: it is this one that
-- AT TIME ZONE means.
--
-- Hours are counted in real time: they are cut where the local clock shows a
-- full hour, but one that is running is not begun again when the clock is moved
-- by half an hour (Lord Howe), which ends in a half hour to be on the grid again.
CREATE FUNCTION interval.grid(
    kind text, zone text, instant timestamptz,
    OUT starts_at timestamptz, OUT ends_at timestamptz, OUT next_ends_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    step  interval;
    local timestamp;
BEGIN
    IF kind = 'single' THEN
        RETURN;
    END IF;

    step := ('1 ' || kind)::interval;
    IF kind = 'hour' THEN
        starts_at := date_trunc(kind, instant, zone);
        ends_at := starts_at + step;
        next_ends_at := date_trunc(kind, ends_at, zone) + step;
        IF date_trunc(kind, starts_at, zone) <> starts_at THEN
            starts_at := date_trunc(kind, starts_at, zone) + step;
        END IF;
        RETURN;
    END IF;

    local := date_trunc(kind, instant AT TIME ZONE zone);
    IF local AT TIME ZONE zone > instant THEN
        local := local - step;
    END IF;
    starts_at := local AT TIME ZONE zone;
    ends_at := (local + step) AT TIME ZONE zone;
    next_ends_at := (local + step + step) AT TIME ZONE zone;
END;
$$;
COMMENT ON FUNCTION interval.grid(text, text, timestamptz) IS
    'The window of the grid that holds an instant, and the end of the one after it. A single cap '
    'has no grid: NULLs.';
