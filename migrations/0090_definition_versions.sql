-- migrate:up

-- Which version of a cap's definition a window follows, as the cap's home
-- numbers them: data centres can tell which of two totals is the newer one.

-- Of what is there only meta-svc could say it: it does with the next version.
ALTER TABLE interval.definition
    ADD COLUMN home_version bigint NOT NULL DEFAULT 0 CHECK (home_version >= 0);
COMMENT ON COLUMN interval.definition.home_version IS
    'Of the definition, as its home numbers them: the same in all data centres. 0: not known.';
COMMENT ON COLUMN interval.definition.version IS
    'Of the message, as meta-svc counts them here: over all homes that define the id.';

-- The totals that pools have heard of already may be of any version, and so may those that a
-- process of an older release hears of in a pool that it has made.
ALTER TABLE local.pool
    ADD COLUMN definition       bigint NOT NULL DEFAULT 0,
    ADD COLUMN heard_definition bigint NOT NULL DEFAULT 9007199254740991;

-- Not valid: for rows written from now on; those that are there have the defaults.
ALTER TABLE local.pool
    ADD CONSTRAINT pool_definitions_not_negative CHECK
        (definition >= 0 AND heard_definition >= 0) NOT VALID;

COMMENT ON COLUMN local.pool.definition IS
    'The version of the cap''s definition, as its home numbers them, that `requested` is of; 0: not'
    ' known.';
COMMENT ON COLUMN local.pool.heard_definition IS
    'The newest version that another data centre has heard of; the largest number: it did not say'
    ' which. Not above definition, a heard_max above requested_max is history.';
COMMENT ON COLUMN local.pool.heard_max IS
    'The largest total that another data centre has heard of. Above requested_max, and with a newer'
    ' definition heard of than the own, that is on its way here.';

CREATE TRIGGER pool_definitions_only_grow BEFORE UPDATE ON local.pool
    FOR EACH ROW WHEN (
        NEW.definition < OLD.definition OR NEW.heard_definition < OLD.heard_definition)
    EXECUTE FUNCTION local.refuse();
