-- A role for people who ask the job database questions: it reads everything and writes nothing.
-- Run once as the database's owner, and after that give people logins:
--   psql "$DATABASE" -f deploy/postgresql/analysts.sql
--   CREATE ROLE ada LOGIN PASSWORD '...' IN ROLE photochrom_analyst;

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
-- A question that is asked wrongly must not hold up a job for long.
ALTER ROLE photochrom_analyst SET statement_timeout = '5min';
