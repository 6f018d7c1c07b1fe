-- Events after $1 up to and including $2. A batch has at most $3 events.
SELECT b.first_seq + e.place, e.reversed, o.order_id, o.product, s.user_id, e.at_ms
FROM flux_gate.batches AS b
CROSS JOIN LATERAL (
    SELECT "offset" AS order_offset, place, false AS reversed, confirmed_at_ms AS at_ms
    FROM flux_gate.orders
    WHERE partition = b.partition AND "offset" BETWEEN b.from_offset AND b.to_offset
    UNION ALL
    SELECT order_offset, place, true, reversed_at_ms
    FROM flux_gate.reversals
    WHERE partition = b.partition AND "offset" BETWEEN b.from_offset AND b.to_offset
    -- Keeps the planner from reading all orders for it.
    OFFSET 0
) AS e
JOIN flux_gate.orders AS o ON o.partition = b.partition AND o."offset" = e.order_offset
LEFT JOIN flux_gate.subjects AS s ON s.partition = b.partition AND s."offset" = e.order_offset
WHERE b.last_seq > $1 AND b.last_seq < $2::bigint + $3::bigint AND b.first_seq <= $2
    AND b.first_seq + e.place > $1 AND b.first_seq + e.place <= $2
ORDER BY 1
