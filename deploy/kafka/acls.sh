#!/bin/sh
# Grants each Kafka user what it needs and nothing else, one operation at a time: the shortcuts --producer and
# --consumer grant more (Create on the topic, for one). Safe to run again.
#
#   KAFKA_BOOTSTRAP=host:port KAFKA_COMMAND_CONFIG=client.properties ./acls.sh
#
# KAFKA_COMMAND_CONFIG names a user who may alter ACLs: at first a node's certificate on the INTERNAL listener,
# afterwards `admin`. Why each right is here: deploy/README.md.
#
#   KAFKA_ACLS        the command (default: kafka-acls.sh from Kafka's bin/)
#   KAFKA_ACL_PREFIX  also grants the same on topics and groups whose names begin with this. For tests only.
set -eu

: "${KAFKA_BOOTSTRAP:?}" "${KAFKA_COMMAND_CONFIG:?}"

add() {
    "${KAFKA_ACLS:-kafka-acls.sh}" --bootstrap-server "$KAFKA_BOOTSTRAP" \
        --command-config "$KAFKA_COMMAND_CONFIG" --add "$@"
}

# grant PATTERN ORDERS DEAD_LETTERS GROUP
grant() {
    # Nodes write orders, and answer when they have read them back.
    add --allow-principal User:ingestion-api --resource-pattern-type "$1" --topic "$2" \
        --operation Write --operation Read --operation Describe --operation DescribeConfigs

    # Workers read orders as a group, and set aside what cannot be decoded. They never write orders.
    add --allow-principal User:inventory-worker --resource-pattern-type "$1" --topic "$2" \
        --operation Read --operation Describe --operation DescribeConfigs
    add --allow-principal User:inventory-worker --resource-pattern-type "$1" --group "$4" \
        --operation Read
    add --allow-principal User:inventory-worker --resource-pattern-type "$1" --topic "$3" \
        --operation Write --operation Describe
}

grant literal orders orders.dlq inventory-group
# Nodes join no group, but their client library asks twice a second where its coordinator is, and each refusal
# is a line in the authorizer's log.
add --allow-principal User:ingestion-api --group flux-gate-node --operation Describe
if [ -n "${KAFKA_ACL_PREFIX:-}" ]; then
    grant prefixed "$KAFKA_ACL_PREFIX" "$KAFKA_ACL_PREFIX" "$KAFKA_ACL_PREFIX"
fi

# Administrators make and change topics, users, rights and groups, and look at everything. They do not write
# records; one who wants to must grant it to himself, which the authorizer's log shows.
add --allow-principal User:admin --topic '*' \
    --operation Create --operation Delete --operation Alter --operation AlterConfigs \
    --operation Read --operation Describe --operation DescribeConfigs
add --allow-principal User:admin --group '*' \
    --operation Read --operation Describe --operation Delete
add --allow-principal User:admin --cluster \
    --operation Create --operation Alter --operation AlterConfigs \
    --operation Describe --operation DescribeConfigs
