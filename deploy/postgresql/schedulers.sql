-- A role for schedulers, for the pages, and for people who submit jobs: it reads and writes all rows, and it can't change
-- the schema. Only `photochrom db upgrade` needs the database's owner.
-- Run it as the database's owner: psql "$PHOTOCHROM_DATABASE_URL" --file deploy/postgresql/schedulers.sql
-- Then make a login, and use it in PHOTOCHROM_DATABASE_URL:
--   CREATE ROLE registrar LOGIN PASSWORD '...' IN ROLE photochrom_scheduler;

DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'photochrom_scheduler') THEN
    CREATE ROLE photochrom_scheduler NOLOGIN;
  END IF;
END $$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO photochrom_scheduler;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO photochrom_scheduler;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO photochrom_scheduler;
-- Only `photochrom db upgrade` writes the revision of the schema.
REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM photochrom_scheduler;
-- For tables that later versions add.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO photochrom_scheduler;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO photochrom_scheduler;
