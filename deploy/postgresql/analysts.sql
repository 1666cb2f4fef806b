-- A role for people who query the job database: it can read everything and write nothing.
-- Run it once as the database's owner: psql "$PHOTOCHROM_DATABASE_URL" --file deploy/postgresql/analysts.sql
-- Then make a login for each person. Members do not inherit a role's settings, so each login needs its own: a time
-- limit, so that a bad query can't hold up a job for long, and UTC, in which docs/queries.md counts days:
--   CREATE ROLE ada LOGIN PASSWORD '...' IN ROLE photochrom_analyst;
--   ALTER ROLE ada SET statement_timeout = '5min';
--   ALTER ROLE ada SET timezone = 'UTC';

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'photochrom_analyst') THEN
    CREATE ROLE photochrom_analyst NOLOGIN;
  END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO photochrom_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO photochrom_analyst;
-- For tables that later versions add.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO photochrom_analyst;
