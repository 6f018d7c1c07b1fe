#!/bin/sh
# Makes the two topics with the settings that nodes check at their start. Safe to run again: it leaves a topic
# that exists as it is.
#
#   KAFKA_BOOTSTRAP=host:port KAFKA_COMMAND_CONFIG=admin.properties ./topics.sh
#
#   KAFKA_TOPICS           the command (default: kafka-topics.sh from Kafka's bin/)
#   KAFKA_PARTITIONS       of `orders`, pinned for ever in kafka.partitions (default 6)
#   KAFKA_REPLICATION      copies of each record (default 3)
#   KAFKA_MIN_INSYNC       copies that must exist before a record counts (default 2)
#   KAFKA_FLUSH_MESSAGES   1 on a single broker: on the disk before it counts. Unset with three, where a record
#                          counts when two machines have it
set -eu

: "${KAFKA_BOOTSTRAP:?}" "${KAFKA_COMMAND_CONFIG:?}"

# create TOPIC PARTITIONS RETENTION_MS
create() {
    "${KAFKA_TOPICS:-kafka-topics.sh}" --bootstrap-server "$KAFKA_BOOTSTRAP" \
        --command-config "$KAFKA_COMMAND_CONFIG" --create --if-not-exists \
        --topic "$1" --partitions "$2" --replication-factor "${KAFKA_REPLICATION:-3}" \
        --config cleanup.policy=delete \
        --config retention.ms="$3" \
        --config retention.bytes=-1 \
        --config message.timestamp.type=LogAppendTime \
        --config max.message.bytes=1048576 \
        --config min.insync.replicas="${KAFKA_MIN_INSYNC:-2}" \
        --config unclean.leader.election.enable=false \
        ${KAFKA_FLUSH_MESSAGES:+--config flush.messages="$KAFKA_FLUSH_MESSAGES"}
}

create orders "${KAFKA_PARTITIONS:-6}" -1
# What is no record is there to be looked at. It may be anything, so it goes after 30 days.
create orders.dlq 1 2592000000
