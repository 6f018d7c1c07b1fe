#!/bin/sh
# Kafka in its container: formats the volume the first time, with the users of deploy/README.md in its first records,
# and becomes the broker.
set -eu

bin=/opt/kafka/bin
config=/etc/flux-gate/server.properties

# user NAME FILE
user() {
    printf 'SCRAM-SHA-512=[name=%s,password=%s]' "$1" "$(cat "/run/secrets/$2")"
}

if [ ! -f /var/lib/kafka/data/meta.properties ]; then
    # The passwords are in this command's arguments: nobody else is in the container to see them.
    "$bin/kafka-storage.sh" format --cluster-id "$("$bin/kafka-storage.sh" random-uuid)" --config "$config" \
        --add-scram "$(user admin kafka_admin_password)" \
        --add-scram "$(user ingestion-api kafka_api_password)" \
        --add-scram "$(user inventory-worker kafka_worker_password)"
fi
# The log goes to standard output, and nothing into the image.
export KAFKA_LOG4J_OPTS=-Dlog4j2.configurationFile=/etc/flux-gate/log4j2.properties
export LOG_DIR=/tmp EXTRA_ARGS='-name kafkaServer'
exec "$bin/kafka-server-start.sh" "$config"
