-- Orders whose events come after $1 up to and including $2, of product $3 or, if that is null, of all; at
-- most $4. A batch has at most $5 events, which bounds the stretch of `batches` that is looked at.
SELECT b.first_seq + o.place, o.order_id, o.product, o.buyer, o.reversed, o.confirmed_at_ms, o."offset"
FROM flux_gate.batches AS b
CROSS JOIN LATERAL (
    SELECT o.*, r.order_offset IS NOT NULL AS reversed
    FROM flux_gate.orders AS o
    LEFT JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset"
    WHERE o.partition = b.partition AND o."offset" BETWEEN b.from_offset AND b.to_offset
    -- Keeps the planner from reading all orders for it.
    OFFSET 0
) AS o
WHERE b.last_seq > $1 AND b.last_seq < $2::bigint + $5::bigint AND b.first_seq <= $2
    AND b.first_seq + o.place > $1 AND b.first_seq + o.place <= $2
    AND ($3::text IS NULL OR o.product = $3)
ORDER BY 1
LIMIT $4
