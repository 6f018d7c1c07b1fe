-- The join makes sure that the orders are there.
INSERT INTO flux_gate.reversals (partition, order_offset, "offset", place, reversed_at_ms, frees_limit)
SELECT u.*
FROM unnest(
    $1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::bigint[], $6::boolean[]
) AS u (partition, order_offset, "offset", place, reversed_at_ms, frees_limit)
JOIN flux_gate.orders AS o ON o.partition = u.partition AND o."offset" = u.order_offset
