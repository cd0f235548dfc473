-- migrate:up

-- Definitions come from several data centres, and windows must be the same in
-- all of them: what a definition says of its home and its grid.  What is there
-- already has the home that meta-svc gives it, too: the name of a data centre
-- that was never given another.

ALTER TABLE interval.definition
    ADD COLUMN home text NOT NULL DEFAULT 'local' CHECK (home ~ '^[A-Za-z0-9._-]{0,64}$'),
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00',
    ADD COLUMN grid_since timestamptz;
ALTER TABLE interval.definition
    ALTER COLUMN home DROP DEFAULT,
    ALTER COLUMN changed_at DROP DEFAULT;
COMMENT ON COLUMN interval.definition.home IS
    'The data centre that stores it; empty if meta-svc did not say.';
COMMENT ON COLUMN interval.definition.changed_at IS
    'Calendar time of this version, at home: the initial total is for the window that holds it.';
COMMENT ON COLUMN interval.definition.grid_since IS
    'From when on its grid counts; its milliseconds are the phase of all windows since. NULL: the '
    'grid has never changed.';
COMMENT ON COLUMN interval.definition.initial_total IS
    'Units of the window in which this version was made, or of the first. NULL: as the others.';

ALTER TABLE interval.interval
    ADD COLUMN home text NOT NULL DEFAULT 'local' CHECK (home ~ '^[A-Za-z0-9._-]{0,64}$'),
    ADD COLUMN total_max bigint NOT NULL DEFAULT 0
        CHECK (total_max BETWEEN 0 AND 9007199254740991);
UPDATE interval.interval SET total_max = total;
ALTER TABLE interval.interval
    ALTER COLUMN home DROP DEFAULT,
    ALTER COLUMN total_max DROP DEFAULT,
    ADD CONSTRAINT interval_total_within_max CHECK (total <= total_max);
COMMENT ON COLUMN interval.interval.home IS
    'Of the definition that it was cut from: the units come from there.';
COMMENT ON COLUMN interval.interval.total_max IS
    'The most that was ever asked for this window.';

CREATE FUNCTION interval.refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'interval % % would forget a total of % or its home %',
        OLD.cap, OLD.starts_at, OLD.total_max, OLD.home;
END;
$$;
COMMENT ON FUNCTION interval.refuse_to_forget() IS
    'For a trigger: refuses to forget the most that was asked for, and whose units they are.';

CREATE TRIGGER interval_forgets_nothing BEFORE UPDATE ON interval.interval
FOR EACH ROW WHEN (NEW.total_max < OLD.total_max OR NEW.home <> OLD.home)
EXECUTE FUNCTION interval.refuse_to_forget();
