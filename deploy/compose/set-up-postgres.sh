#!/bin/sh
# Roles, logins and the database, by roles.sql; safe to run again. It runs in PostgreSQL's own network namespace, since
# the administrator may come from 127.0.0.1 alone.
set -eu

secret() {
    cat "/run/secrets/postgres_$1_password"
}

FLUX_GATE_OWNER_PASSWORD=$(secret owner)
FLUX_GATE_INGESTION_PASSWORD=$(secret ingestion)
FLUX_GATE_WORKER_PASSWORD=$(secret worker)
FLUX_GATE_AUDITOR_PASSWORD=$(secret auditor)
FLUX_GATE_FULFILMENT_PASSWORD=$(secret fulfilment)
PGPASSWORD=$(secret superuser)
export FLUX_GATE_OWNER_PASSWORD FLUX_GATE_INGESTION_PASSWORD FLUX_GATE_WORKER_PASSWORD FLUX_GATE_AUDITOR_PASSWORD \
    FLUX_GATE_FULFILMENT_PASSWORD PGPASSWORD
# The certificate is for the name `postgres`; the address is this very machine's.
export PGHOST=postgres PGHOSTADDR=127.0.0.1 PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
export PGSSLMODE=verify-full PGSSLROOTCERT=/etc/flux-gate/ca.pem
exec psql -X -q -f /etc/flux-gate/roles.sql
