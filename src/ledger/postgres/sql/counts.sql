SELECT count(*) FILTER (WHERE r.order_offset IS NULL), count(r.order_offset)
FROM flux_gate.products AS p
JOIN flux_gate.orders AS o
    ON o.partition = p.partition AND o."offset" >= p.opened_offset AND o.product = p.product
LEFT JOIN flux_gate.reversals AS r ON r.partition = o.partition AND r.order_offset = o."offset"
WHERE p.product = $1
