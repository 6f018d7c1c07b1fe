-- Orders after ?1 up to and including ?2, of product ?3 or, if that is null, of all.
SELECT offset, order_id, product, buyer, status, created_at_ms
FROM orders
WHERE offset > ?1 AND offset <= ?2 AND (?3 IS NULL OR product = ?3)
ORDER BY offset
LIMIT ?4
