-- The ledger's roles and database. Run as an administrator, as often as you like:
--
--   FLUX_GATE_OWNER_PASSWORD=… FLUX_GATE_INGESTION_PASSWORD=… FLUX_GATE_WORKER_PASSWORD=… \
--   FLUX_GATE_AUDITOR_PASSWORD=… FLUX_GATE_FULFILMENT_PASSWORD=… psql -X -f roles.sql 'postgresql://…'
--
-- Rights on tables belong to the five group roles, which cannot log in; `flux-gate migrate` grants them with
-- the tables. A login is a member of one group. Passwords come from the environment (psql 15 or later), so
-- that they stand in no command line and no file.
--
-- For tests: -v createdb=1 lets the owner make databases of its own.

\set ON_ERROR_STOP on

-- A statement that fails would be written to the server's log, with the password in it.
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
SET password_encryption = 'scram-sha-256';

\getenv owner_password FLUX_GATE_OWNER_PASSWORD
\getenv ingestion_password FLUX_GATE_INGESTION_PASSWORD
\getenv worker_password FLUX_GATE_WORKER_PASSWORD
\getenv auditor_password FLUX_GATE_AUDITOR_PASSWORD
\getenv fulfilment_password FLUX_GATE_FULFILMENT_PASSWORD

SELECT format('CREATE ROLE %I', name)
FROM unnest(ARRAY[
    'flux_gate_owner', 'flux_gate_ingestion', 'flux_gate_worker', 'flux_gate_auditor', 'flux_gate_fulfilment',
    'flux_gate_owner_login', 'flux_gate_ingestion_login', 'flux_gate_worker_login', 'flux_gate_auditor_login',
    'flux_gate_fulfilment_login'
]) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

ALTER ROLE flux_gate_owner      NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE flux_gate_ingestion  NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE flux_gate_worker     NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE flux_gate_auditor    NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE flux_gate_fulfilment NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

ALTER ROLE flux_gate_owner_login NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT
    LOGIN CONNECTION LIMIT 10 PASSWORD :'owner_password';
ALTER ROLE flux_gate_ingestion_login NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT
    LOGIN CONNECTION LIMIT 40 PASSWORD :'ingestion_password';
ALTER ROLE flux_gate_worker_login NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT
    LOGIN CONNECTION LIMIT 30 PASSWORD :'worker_password';
ALTER ROLE flux_gate_auditor_login NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT
    LOGIN CONNECTION LIMIT 10 PASSWORD :'auditor_password';
ALTER ROLE flux_gate_fulfilment_login NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT
    LOGIN CONNECTION LIMIT 10 PASSWORD :'fulfilment_password';

GRANT flux_gate_owner      TO flux_gate_owner_login;
GRANT flux_gate_ingestion  TO flux_gate_ingestion_login;
GRANT flux_gate_worker     TO flux_gate_worker_login;
GRANT flux_gate_auditor    TO flux_gate_auditor_login;
GRANT flux_gate_fulfilment TO flux_gate_fulfilment_login;

-- What migrations make belongs to the group, not to whoever ran them.
ALTER ROLE flux_gate_owner_login SET role = 'flux_gate_owner';

-- Three of them only ever read: a query that tries to write is a mistake or an attack. (The rights on the
-- tables say so too; this one also holds for a table whose rights somebody got wrong.) Nodes write one thing, the evidence,
-- and say so in each transaction that does.
ALTER ROLE flux_gate_ingestion_login  SET default_transaction_read_only = on;
ALTER ROLE flux_gate_auditor_login    SET default_transaction_read_only = on;
ALTER ROLE flux_gate_fulfilment_login SET default_transaction_read_only = on;

-- Limits in time. Ingestion reads a snapshot of all sales at its start and pages afterwards. A worker that
-- hangs in the middle of a batch must not hold `progress` against the others for long.
ALTER ROLE flux_gate_ingestion_login  SET statement_timeout = '60s';
ALTER ROLE flux_gate_worker_login     SET statement_timeout = '60s';
ALTER ROLE flux_gate_auditor_login    SET statement_timeout = '5min';
ALTER ROLE flux_gate_fulfilment_login SET statement_timeout = '60s';
ALTER ROLE flux_gate_ingestion_login  SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE flux_gate_worker_login     SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE flux_gate_auditor_login    SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE flux_gate_fulfilment_login SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE flux_gate_worker_login     SET lock_timeout = '30s';

\if :{?createdb}
ALTER ROLE flux_gate_owner CREATEDB;
-- Tests run side by side, each with databases of its own.
ALTER ROLE flux_gate_owner_login CONNECTION LIMIT -1;
\endif

SELECT 'CREATE DATABASE flux_gate OWNER flux_gate_owner'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'flux_gate')
\gexec

-- A role that is in none of the five groups does not even get in.
REVOKE ALL ON DATABASE flux_gate FROM PUBLIC;
GRANT CONNECT ON DATABASE flux_gate TO
    flux_gate_ingestion, flux_gate_worker, flux_gate_auditor, flux_gate_fulfilment;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
\if :{?createdb}
-- Somewhere to stand while making a database.
GRANT CONNECT ON DATABASE postgres TO flux_gate_owner;
\endif

-- Nobody leaves objects in everybody's schema, where they would be found before the real ones. In template1
-- too, so that it holds for every database made later.
\connect flux_gate
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY ON DATABASE flux_gate FROM PUBLIC;
-- For `flux-gate privacy vacuum`: what was deleted leaves the write-ahead log, too.
GRANT pg_checkpoint TO flux_gate_owner;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO flux_gate_owner;
\connect template1
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO flux_gate_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
