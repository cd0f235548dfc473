-- migrate:up

CREATE SCHEMA calendar;
COMMENT ON SCHEMA calendar IS
    'The only source of calendar time of this data centre; tests and the demo may move it.';

CREATE TABLE calendar.clock (
    one         boolean          PRIMARY KEY DEFAULT true CHECK (one),
    origin      timestamptz      NOT NULL CHECK (isfinite(origin)),
    real_origin timestamptz      NOT NULL CHECK (isfinite(real_origin)),
    speed       double precision NOT NULL CHECK (speed >= 0.001 AND speed <= 1000000)
);
COMMENT ON TABLE calendar.clock IS
    'One row: calendar time as a straight line over the real time of this host.';
COMMENT ON COLUMN calendar.clock.one IS 'Always true: there is one clock.';
COMMENT ON COLUMN calendar.clock.origin IS 'The calendar instant that real_origin stands for.';
COMMENT ON COLUMN calendar.clock.real_origin IS 'The real instant at which the clock was set.';
COMMENT ON COLUMN calendar.clock.speed IS 'Calendar seconds in a real second; 1 in production.';

INSERT INTO calendar.clock (origin, real_origin, speed)
SELECT t, t, 1 FROM clock_timestamp() AS t;

-- An interval made from seconds has no days in it, so that adding it cannot
-- depend on the time zone of the session, as the product of an interval could.
CREATE FUNCTION calendar.now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN (
    SELECT c.origin + make_interval(secs =>
               extract(epoch FROM clock_timestamp() - c.real_origin)::double precision * c.speed)
      FROM calendar.clock AS c
);
COMMENT ON FUNCTION calendar.now() IS
    'Calendar time at this moment; goes on within a transaction. In a WHERE clause write '
    '(SELECT calendar.now()): it is then taken once and an index can be used.';

CREATE FUNCTION calendar.set(origin timestamptz, speed double precision) RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    UPDATE calendar.clock
       SET origin = set.origin, real_origin = clock_timestamp(), speed = set.speed;
    SELECT pg_notify('calendar', '');
END;
COMMENT ON FUNCTION calendar.set(timestamptz, double precision) IS
    'For tests and the demo: calendar time is origin from now on and runs speed times as fast as '
    'real time. Notifies the channel calendar, since every wait for an instant is now wrong.';

CREATE FUNCTION calendar.until_ms(instant timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN (
    SELECT ceil(extract(epoch FROM instant - calendar.now()) * 1000 / c.speed::numeric)::bigint
      FROM calendar.clock AS c
);
COMMENT ON FUNCTION calendar.until_ms(timestamptz) IS
    'Real milliseconds until a calendar instant, rounded up, negative if it is past: who waits '
    'that long finds the instant reached.';

-- Whole seconds times 1000000 are exact in the double that multiplying an
-- interval goes through, up to the year 9999; milliseconds are added apart.
CREATE FUNCTION calendar.from_ms(ms bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (timestamp '1970-01-01 00:00:00' + ms / 1000 * interval '1 second'
        + ms % 1000 * interval '1 millisecond') AT TIME ZONE 'UTC';
COMMENT ON FUNCTION calendar.from_ms(bigint) IS
    'The instant so many milliseconds after 1970 began in UTC.';

CREATE FUNCTION calendar.to_ms(instant timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN floor(extract(epoch FROM instant AT TIME ZONE 'UTC') * 1000)::bigint;
COMMENT ON FUNCTION calendar.to_ms(timestamptz) IS
    'Whole milliseconds since 1970 began in UTC; the inverse of calendar.from_ms.';
