-- migrate:up

-- The outbox of a schema is written only by common/io/outbox.c; the tables are
-- equal but for the schema.  Times are real, not calendar: they time retries.

CREATE SCHEMA meta;
COMMENT ON SCHEMA meta IS 'Cap definitions, as meta-svc keeps them.';

CREATE SCHEMA interval;
COMMENT ON SCHEMA interval IS 'Windows cut from definitions, as interval-svc keeps them.';

CREATE SCHEMA local;
COMMENT ON SCHEMA local IS 'Pools and slices of this data centre, as local-svc keeps them.';

CREATE TABLE meta.outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path        text        NOT NULL UNIQUE CHECK (path ~ '^/' AND length(path) <= 1000),
    body        text        NOT NULL,
    version     bigint      NOT NULL DEFAULT 1 CHECK (version >= 1),
    request_id  text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts    bigint      NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error  text,
    parked_at   timestamptz
);
CREATE INDEX outbox_due ON meta.outbox (due_at) WHERE parked_at IS NULL;
COMMENT ON TABLE meta.outbox IS
    'Messages to interval-svc, written with the change they tell of, deleted when delivered.';
COMMENT ON COLUMN meta.outbox.id IS 'The order of sending.';
COMMENT ON COLUMN meta.outbox.path IS
    'Where to PUT it; a newer message for the same path takes the place of the waiting one.';
COMMENT ON COLUMN meta.outbox.body IS 'The JSON to send, byte for byte.';
COMMENT ON COLUMN meta.outbox.version IS
    'Grows when the message is replaced, so that a delivery of what was there before does not '
    'delete it.';
COMMENT ON COLUMN meta.outbox.request_id IS 'The request that made the change, for the logs.';
COMMENT ON COLUMN meta.outbox.created_at IS 'Since when something waits here.';
COMMENT ON COLUMN meta.outbox.due_at IS
    'Not sent before: the end of a pause after a failure, or of the lease of a relay.';
COMMENT ON COLUMN meta.outbox.attempts IS 'Failures since it was last replaced.';
COMMENT ON COLUMN meta.outbox.last_error IS 'Why the last attempt failed.';
COMMENT ON COLUMN meta.outbox.parked_at IS
    'When the receiver refused it for good; a replacement is sent again. NULL: not parked.';

CREATE TABLE interval.outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path        text        NOT NULL UNIQUE CHECK (path ~ '^/' AND length(path) <= 1000),
    body        text        NOT NULL,
    version     bigint      NOT NULL DEFAULT 1 CHECK (version >= 1),
    request_id  text        NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts    bigint      NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_error  text,
    parked_at   timestamptz
);
CREATE INDEX outbox_due ON interval.outbox (due_at) WHERE parked_at IS NULL;
COMMENT ON TABLE interval.outbox IS
    'Messages to local-svc, written with the change they tell of, deleted when delivered.';
COMMENT ON COLUMN interval.outbox.id IS 'The order of sending.';
COMMENT ON COLUMN interval.outbox.path IS
    'Where to PUT it; a newer message for the same path takes the place of the waiting one.';
COMMENT ON COLUMN interval.outbox.body IS 'The JSON to send, byte for byte.';
COMMENT ON COLUMN interval.outbox.version IS
    'Grows when the message is replaced, so that a delivery of what was there before does not '
    'delete it.';
COMMENT ON COLUMN interval.outbox.request_id IS 'The request that made the change, for the logs.';
COMMENT ON COLUMN interval.outbox.created_at IS 'Since when something waits here.';
COMMENT ON COLUMN interval.outbox.due_at IS
    'Not sent before: the end of a pause after a failure, or of the lease of a relay.';
COMMENT ON COLUMN interval.outbox.attempts IS 'Failures since it was last replaced.';
COMMENT ON COLUMN interval.outbox.last_error IS 'Why the last attempt failed.';
COMMENT ON COLUMN interval.outbox.parked_at IS
    'When the receiver refused it for good; a replacement is sent again. NULL: not parked.';
