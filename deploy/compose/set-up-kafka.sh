#!/bin/sh
# Rights and topics, by the scripts that are there for it; safe to run again.
set -eu

export KAFKA_ACLS=/opt/kafka/bin/kafka-acls.sh KAFKA_TOPICS=/opt/kafka/bin/kafka-topics.sh
# At first nobody has a right but the broker itself, by its certificate.
KAFKA_BOOTSTRAP=kafka:9094 KAFKA_COMMAND_CONFIG=/etc/flux-gate/node-client.properties sh /etc/flux-gate/acls.sh
# One broker: a record is on its disk before it counts.
export KAFKA_REPLICATION=1 KAFKA_MIN_INSYNC=1 KAFKA_FLUSH_MESSAGES=1
KAFKA_BOOTSTRAP=kafka:9092 KAFKA_COMMAND_CONFIG=/run/secrets/kafka_admin sh /etc/flux-gate/topics.sh
