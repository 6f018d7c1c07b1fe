SELECT offset, order_id, product, buyer, status, created_at_ms
FROM orders
WHERE offset = (SELECT offset FROM archived_orders WHERE order_id = ?1)
