-- The orders of the buyer $1 with the user ids that are kept, at most $2. Reads all orders: for operators.
SELECT o.order_id, o.product, o.buyer, r.order_offset IS NOT NULL, o.confirmed_at_ms, o."offset", s.user_id
FROM flux_gate.orders AS o
LEFT JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset"
LEFT JOIN flux_gate.subjects AS s ON s.partition = o.partition AND s."offset" = o."offset"
WHERE o.buyer = $1
ORDER BY o.confirmed_at_ms, o.partition, o."offset"
LIMIT $2
