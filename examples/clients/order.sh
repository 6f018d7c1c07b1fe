#!/bin/sh
# One order by an API client, with curl and openssl.
#   FLUX_GATE_CLIENT=shop:SECRET sh order.sh phone alice [http://127.0.0.1:3000]
set -eu
product=$1 user=$2 url=${3:-http://127.0.0.1:3000}
id=${FLUX_GATE_CLIENT%%:*} secret=${FLUX_GATE_CLIENT#*:}

body="{\"productId\":\"$product\",\"userId\":\"$user\"}"
now=$(date +%s)000
# Kept by whoever may have to ask again: the same key is the same order.
key=${IDEMPOTENCY_KEY:-$(openssl rand -hex 16)}
signature=$(printf 'POST:/order:%s:%s:%s' "$body" "$now" "$key" |
    openssl dgst -sha256 -hmac "$secret" -hex | sed 's/.* //')

curl --silent --show-error "$url/order" --data "$body" --header 'content-type: application/json' \
    --header "x-api-key: $id" --header "x-request-time: $now" \
    --header "x-idempotency-key: $key" --header "x-signature: $signature"
