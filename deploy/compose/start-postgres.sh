#!/bin/sh
# PostgreSQL in its container: makes the cluster the first time and becomes the server. Not by the image's own entry,
# which sets up by a socket file: here is none.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata "$PGDATA" --pwfile /run/secrets/postgres_superuser_password --username postgres \
        --auth scram-sha-256 --data-checksums --encoding UTF8 --no-locale --no-instructions
fi
exec postgres -D "$PGDATA" -c config_file=/etc/postgresql/postgresql.conf -c hba_file=/etc/postgresql/pg_hba.conf
