-- A role for workers: it has the rights that a worker needs, and no others. It can't change the schema, and it can't
-- read accounts, tokens and sessions. Workers decode files that come from outside, so they have the least rights.
-- Run it as the database's owner, again after each `photochrom db upgrade`, because a new version may need more:
--   psql "$PHOTOCHROM_DATABASE_URL" --file deploy/postgresql/workers.sql
-- Then make a login, and use it in the workers' PHOTOCHROM_DATABASE_URL:
--   CREATE ROLE colourist LOGIN PASSWORD '...' IN ROLE photochrom_worker;

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'photochrom_worker') THEN
    CREATE ROLE photochrom_worker NOLOGIN;
  END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO photochrom_worker;
-- The revision of the schema and the oldest one whose workers it supports. A worker compares them with its own before it
-- starts and with each heartbeat.
GRANT SELECT ON alembic_version TO photochrom_worker;
GRANT SELECT ON job TO photochrom_worker;
-- It claims chunks. If processes die, it divides their chunk, so that one scan can't hold up the others.
GRANT SELECT, INSERT, UPDATE ON chunk TO photochrom_worker;
GRANT USAGE ON SEQUENCE chunk_id_seq TO photochrom_worker;
GRANT SELECT, UPDATE ON scan TO photochrom_worker;
GRANT SELECT, INSERT, UPDATE ON tally TO photochrom_worker;
GRANT SELECT, INSERT, UPDATE ON worker TO photochrom_worker;
-- For `photochrom doctor` on a worker's machine.
GRANT SELECT ON scheduler, schedule, firing TO photochrom_worker;
