INSERT INTO flux_gate.orders (partition, place, "offset", confirmed_at_ms, order_id, buyer, product)
SELECT *
FROM unnest(
    $1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::uuid[], $6::bytea[], $7::text[]
)
