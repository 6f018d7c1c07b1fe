-- At most $4 orders of the products $3 in partition $1 from the offset $2 on.
SELECT
    o."offset", o.product, o.order_id, o.buyer, o.confirmed_at_ms, r.frees_limit
FROM flux_gate.orders AS o
LEFT JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset"
WHERE o.partition = $1 AND o."offset" >= $2 AND o.product = ANY($3)
ORDER BY o."offset"
LIMIT $4
