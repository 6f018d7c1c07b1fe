INSERT INTO flux_gate.archived_orders (order_id, partition, "offset")
SELECT o.order_id, o.partition, o."offset"
FROM flux_gate.products AS p
JOIN flux_gate.orders AS o
    ON o.partition = p.partition AND o."offset" >= p.opened_offset AND o.product = p.product
WHERE p.product = ANY($1)
ON CONFLICT DO NOTHING
