-- The orders of the buyer ?1, at most ?2. Reads the whole log: for operators.
SELECT offset, order_id, product, buyer, status, created_at_ms, user_id
FROM orders
WHERE buyer = ?1
ORDER BY offset
LIMIT ?2
