#!/bin/sh
# Makes what compose.yaml mounts: certificates, passwords, the program's own secrets, and the templates of deploy/ filled in.
# As root, in this directory, when the image is built:
#
#   ./prepare.sh                # all of it, once; refuses to run over what is there
#   ./prepare.sh certificates   # new certificates from a new authority, then: docker compose up --detach --force-recreate
#
# Everything goes into made/, each file readable by the user that its container runs as alone, and .env beside it.
#
#   FLUX_GATE     the program (default: from the image)
#   KEEP_OWNER=1  leaves the files to whoever runs this: for tests, and engines that map users
set -eu

here=$(cd "$(dirname "$0")" && pwd)
deploy=$(dirname "$here")
made=$here/made
days=730
umask 077

# The users inside the images, as compose.yaml names them.
redis=999:999
postgres=999:999
kafka=1000:1000
program=65532:65532

fail() {
    echo "prepare.sh: $*" >&2
    exit 1
}

# own USER FILE…
own() {
    [ -n "${KEEP_OWNER:-}" ] || chown "$@"
}

# put USER FILE TEXT: without a newline at its end, so that it is the text itself
put() {
    printf %s "$3" > "$made/$2"
    own "$1" "$made/$2"
}

# certificate USER DIR NAME HOST USES: server.key, server.crt and (as Kafka reads it) node.pem in that directory
certificate() {
    printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=%s\nsubjectAltName=DNS:%s\n' \
        "$5" "$4" > "$work/extensions"
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$3" \
        -keyout "$work/key" -out "$work/request" 2> /dev/null
    openssl x509 -req -in "$work/request" -days "$days" -CA "$made/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
        -CAserial "$work/serial" -extfile "$work/extensions" -out "$work/crt" 2> /dev/null
    # In place: what is mounted stays the same file.
    cat "$work/key" > "$made/$2/server.key"
    cat "$work/crt" > "$made/$2/server.crt"
    cat "$work/key" "$work/crt" > "$made/$2/node.pem"
    own "$1" "$made/$2/server.key" "$made/$2/server.crt" "$made/$2/node.pem"
}

# The authority's key is gone when this ends: nobody signs another certificate with it.
certificates() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" -subj "/CN=Flux-Gate stores" \
        -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign \
        -keyout "$work/ca.key" -out "$work/ca.pem" 2> /dev/null
    cat "$work/ca.pem" > "$made/ca.pem"
    chmod 0644 "$made/ca.pem"
    certificate "$redis" redis redis redis serverAuth
    certificate "$postgres" postgres postgres postgres serverAuth
    certificate "$kafka" kafka kafka-1 kafka serverAuth,clientAuth
    rm "$made/redis/node.pem" "$made/postgres/node.pem" "$made/kafka/server.key" "$made/kafka/server.crt"
}

# fill USER TEMPLATE FILE NAME=VALUE…
fill() {
    owner=$1 template=$2 file=$3
    shift 3
    # Comments speak of {{NAME}} in general.
    text=$(sed 's|{{NAME}}|{NAME}|g' "$deploy/$template")
    for pair in "$@"; do
        text=$(printf '%s\n' "$text" | sed "s|{{${pair%%=*}}}|${pair#*=}|g")
    done
    case $text in *'{{'*) fail "$template has a place without a value" ;; esac
    put "$owner" "$file" "$text
"
}

password() {
    openssl rand -hex 24
}

sha256() {
    printf %s "$1" | openssl dgst -sha256 -r | cut -d' ' -f1
}

[ -n "${KEEP_OWNER:-}" ] || [ "$(id -u)" = 0 ] \
    || fail "run it as root: each file belongs to the user that its container runs as"
case ${1:-all} in
    certificates)
        [ -d "$made" ] || fail "there is nothing yet: run it without an argument first"
        certificates
        exit
        ;;
    all) ;;
    *) fail "write certificates, or nothing" ;;
esac
[ ! -e "$made" ] || fail "$made is there: its passwords are those of the stores' volumes"
# First what can fail.
keys=$(${FLUX_GATE:-docker run --rm --network none flux-gate:0.1.0} keygen --many-nodes) \
    || fail "the program does not run: docker compose build, or name it in FLUX_GATE"
mkdir -m 0711 "$made" "$made/redis" "$made/postgres" "$made/kafka" "$made/flux-gate"
certificates

# Redis
api=$(password) worker=$(password) loader=$(password)
fill "$redis" redis/users.acl redis/users.acl \
    "REDIS_API_PASSWORD_SHA256=$(sha256 "$api")" \
    "REDIS_WORKER_PASSWORD_SHA256=$(sha256 "$worker")" \
    "REDIS_LOADER_PASSWORD_SHA256=$(sha256 "$loader")"
fill "$redis" redis/redis.conf redis/redis.conf \
    REDIS_BIND=0.0.0.0 REDIS_TLS_PORT=6379 \
    REDIS_CERT_FILE=/etc/redis/server.crt REDIS_KEY_FILE=/run/secrets/redis_key CA_FILE=/etc/flux-gate/ca.pem \
    REDIS_ACL_FILE=/run/secrets/redis_users REDIS_DIR=/data REDIS_MAXMEMORY=256mb
put "$program" flux-gate/redis_api_url "rediss://api:$api@redis:6379"
put "$program" flux-gate/redis_worker_url "rediss://worker:$worker@redis:6379"
put "$program" flux-gate/redis_loader_url "rediss://loader:$loader@redis:6379"

# PostgreSQL
fill "$postgres" postgres/postgresql.conf postgres/postgresql.conf \
    'POSTGRES_LISTEN=*' POSTGRES_PORT=5432 \
    POSTGRES_CERT_FILE=/etc/postgresql/server.crt POSTGRES_KEY_FILE=/run/secrets/postgres_key \
    POSTGRES_SHARED_BUFFERS=128MB
fill "$postgres" postgres/pg_hba.conf postgres/pg_hba.conf \
    POSTGRES_DATABASES=flux_gate POSTGRES_CLIENTS=samenet POSTGRES_SUPERUSER=postgres
put "$postgres" postgres/superuser_password "$(password)"
for role in owner ingestion worker auditor fulfilment; do
    password=$(password)
    put "$postgres" "postgres/${role}_password" "$password"
    put "$program" "flux-gate/database_${role}_url" \
        "postgresql://flux_gate_${role}_login:$password@postgres:5432/flux_gate?sslmode=verify-full"
done

# Kafka: one broker, which has a record on its disk before it counts (set-up-kafka.sh).
fill "$kafka" kafka/server.properties kafka/server.properties \
    NODE_ID=1 LOG_DIR=/var/lib/kafka/data CONTROLLER_VOTERS=1@kafka:9093 \
    HOST=kafka CLIENT_PORT=9092 CONTROLLER_PORT=9093 INTERNAL_PORT=9094 \
    NODE_PEM_FILE=/run/secrets/kafka_node CA_FILE=/etc/flux-gate/ca.pem SUPER_USERS=User:CN=kafka-1 \
    REPLICATION=1 MIN_INSYNC=1
fill "$kafka" kafka/node-client.properties kafka/node-client.properties \
    NODE_PEM_FILE=/run/secrets/kafka_node CA_FILE=/etc/flux-gate/ca.pem
admin=$(password)
fill "$kafka" kafka/client.properties kafka/admin.properties \
    USERNAME=admin "PASSWORD=$admin" CA_FILE=/etc/flux-gate/ca.pem
put "$kafka" kafka/admin_password "$admin"
for user in ingestion-api inventory-worker; do
    password=$(password)
    put "$kafka" "kafka/${user}_password" "$password"
    put "$program" "flux-gate/kafka_${user}_password" "$password"
done

# The program's own
# key NAME: of what keygen printed
key() {
    value=$(printf '%s\n' "$keys" | sed -n "s|^FLUX_GATE__$1=||p")
    [ -n "$value" ] || fail "keygen printed no FLUX_GATE__$1"
    printf %s "$value"
}
for name in ORDER_KEY BUYER_KEY PASS_KEYS RECORD_KEYS OPERATOR_KEY SEAL_PRIVATE_KEYS RECEIPT_KEY; do
    file=$(printf %s "$name" | tr '[:upper:]' '[:lower:]')
    put "$program" "flux-gate/$file" "$(key "SECRETS__$name")"
done
put "$program" flux-gate/node_token "$(key ADMIN__TOKEN)"
put "$program" flux-gate/operator_token "$(openssl rand -hex 32)"
put "$program" flux-gate/clients "shop:$(openssl rand -hex 32)"

# No secrets: every node and worker has them in its environment.
cat > "$here/.env" <<END
FLUX_GATE_OPERATOR_PUBLIC_KEY=$(key SECRETS__OPERATOR_PUBLIC_KEY)
FLUX_GATE_SEAL_PUBLIC_KEY=$(key SECRETS__SEAL_PUBLIC_KEY)
END
chmod 0644 "$here/.env"
echo "made/ and .env are ready. Your backend's id and secret: made/flux-gate/clients. Keep a copy of made/ with the backups."
