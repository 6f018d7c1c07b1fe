SELECT
    o.order_id, o.product, o.buyer, r.order_offset IS NOT NULL, o.confirmed_at_ms, o."offset"
FROM flux_gate.archived_orders AS a
JOIN flux_gate.orders AS o ON o.partition = a.partition AND o."offset" = a."offset"
LEFT JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset"
WHERE a.order_id = $1
