-- migrate:up

-- A member that rests, or whose service is silent, is alive and no standby.
ALTER TABLE coordinator.member ADD COLUMN competes boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN coordinator.member.competes IS
    'It takes the lock when it is free; not while it rests, or its service does not ask it.';
