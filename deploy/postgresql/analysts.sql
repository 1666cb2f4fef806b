-- A role for people who ask the job database questions: it reads everything and writes nothing.
-- Run it once as the database's owner: psql "$PHOTOCHROM_DATABASE_URL" --file deploy/postgresql/analysts.sql
-- Then make a login for each person. A role's settings are not its members', so these are each login's own: the limit, which
-- keeps a question that is asked wrongly from holding up a job for long, and UTC, in which docs/queries.md counts days:
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
-- Tables that later versions bring.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO photochrom_analyst;
