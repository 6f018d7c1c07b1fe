SELECT o.product, o.operation, o."offset"
FROM flux_gate.operations AS o
JOIN flux_gate.products AS p ON p.product = o.product
WHERE p.partition = ANY($1)
ORDER BY o."offset"
