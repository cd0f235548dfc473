-- migrate:up

-- Only definitions whose home is here have a revision: whose database this is, at a glance.
CREATE INDEX cap_defined_here ON meta.cap (home) WHERE revision > 0;
COMMENT ON INDEX meta.cap_defined_here IS
    'The name under which this data centre defined its caps: it cannot be given another.';
