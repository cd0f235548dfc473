-- migrate:up

-- Definitions of several data centres.  Each is changed only at its home and
-- read everywhere.  Two homes may define the same id before they hear of each
-- other: each data centre then keeps both, and the one whose home has the lower
-- name is the cap.  What is there already has the home "local", the name of a
-- data centre that was never given another.

ALTER TABLE meta.cap
    ADD COLUMN home text COLLATE "C" NOT NULL DEFAULT 'local'
        CHECK (home ~ '^[A-Za-z0-9._-]{1,64}$'),
    ADD COLUMN grid_since timestamptz,
    ADD COLUMN revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0);
ALTER TABLE meta.cap ALTER COLUMN home DROP DEFAULT;
ALTER TABLE meta.cap DROP CONSTRAINT cap_pkey, ADD PRIMARY KEY (id, home);
CREATE INDEX cap_by_revision ON meta.cap (home, revision);
COMMENT ON COLUMN meta.cap.home IS
    'The data centre that stores the definition; of several with one id the lowest home''s counts.';
COMMENT ON COLUMN meta.cap.grid_since IS
    'From when on its grid counts; its milliseconds are the phase of all windows since. NULL: the '
    'grid has never changed.';
COMMENT ON COLUMN meta.cap.revision IS
    'In commit order over all definitions whose home is here; 0 of those from elsewhere.';

CREATE TABLE meta.revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL CHECK (revision >= 0)
) WITH (fillfactor = 10);
COMMENT ON TABLE meta.revision IS
    'One row. Locked last in every transaction that changes a definition at its home, so that '
    'revisions are in commit order.';
COMMENT ON COLUMN meta.revision.only_row IS 'True: there is one row.';
COMMENT ON COLUMN meta.revision.revision IS 'The highest revision given so far.';

-- What is there has never been told to anybody.
ALTER TABLE meta.cap DISABLE TRIGGER cap_goes_forward;
WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM meta.cap)
UPDATE meta.cap SET revision = n FROM numbered WHERE cap.id = numbered.id;
ALTER TABLE meta.cap ENABLE TRIGGER cap_goes_forward;
INSERT INTO meta.revision (revision) SELECT count(*) FROM meta.cap;

CREATE FUNCTION meta.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was told to others cannot go back',
        lower(TG_OP), TG_TABLE_NAME;
END;
$$;
COMMENT ON FUNCTION meta.refuse() IS 'For triggers: a change that must not happen.';

CREATE TRIGGER revision_only_grows BEFORE UPDATE ON meta.revision
FOR EACH ROW WHEN (NEW.revision < OLD.revision) EXECUTE FUNCTION meta.refuse();
CREATE TRIGGER revision_stays BEFORE DELETE ON meta.revision
FOR EACH ROW EXECUTE FUNCTION meta.refuse();

CREATE TRIGGER cap_stays_at_home BEFORE UPDATE ON meta.cap
FOR EACH ROW WHEN (NEW.home <> OLD.home OR NEW.revision < OLD.revision)
EXECUTE FUNCTION meta.refuse();

CREATE TABLE meta.peer (
    dc               text COLLATE "C" PRIMARY KEY CHECK (dc ~ '^[A-Za-z0-9._-]{1,64}$'),
    applied_revision bigint NOT NULL CHECK (applied_revision >= 0)
);
COMMENT ON TABLE meta.peer IS 'How much of other data centres'' definitions is here.';
COMMENT ON COLUMN meta.peer.dc IS 'The other data centre.';
COMMENT ON COLUMN meta.peer.applied_revision IS
    'All its definitions up to this revision of its are here.';

CREATE TRIGGER peer_only_grows BEFORE UPDATE ON meta.peer
FOR EACH ROW WHEN (NEW.applied_revision < OLD.applied_revision OR NEW.dc <> OLD.dc)
EXECUTE FUNCTION meta.refuse();
