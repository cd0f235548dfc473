-- migrate:up

-- Totals that other data centres have heard of.

ALTER TABLE local.pool
    ADD COLUMN heard_max bigint NOT NULL DEFAULT 0;

-- Not valid: for rows written from now on; those that are there have the default.
ALTER TABLE local.pool
    ADD CONSTRAINT pool_heard_not_negative CHECK (heard_max >= 0) NOT VALID;

COMMENT ON COLUMN local.pool.heard_max IS
    'The largest total that another data centre has heard of. Above requested_max, a definition is'
    ' on its way here, and nothing is used up for certain.';
