-- migrate:up

-- How long another data centre has not answered.

ALTER TABLE local.peer_row
    ADD COLUMN unechoed_since_ms   bigint NOT NULL DEFAULT 0,
    ADD COLUMN unanswered_since_ms bigint NOT NULL DEFAULT 0;

-- Not valid: for rows written from now on; those that are there have the default.
ALTER TABLE local.peer_row
    ADD CONSTRAINT peer_row_since_not_negative CHECK
        (unechoed_since_ms >= 0 AND unanswered_since_ms >= 0) NOT VALID;

COMMENT ON COLUMN local.peer_row.unechoed_since_ms IS
    'Real time of this database, in ms since 1970, since which units have been in transit to it'
    ' without an echo of anything new.';
COMMENT ON COLUMN local.peer_row.unanswered_since_ms IS
    'Real time of this database, in ms since 1970, since which it has been asked for units without'
    ' a new row from it; 0: it has answered, or is asked for nothing.';
