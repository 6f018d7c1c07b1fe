-- Events after ?1 up to and including ?2.
SELECT offset, type, order_id, product, user_id, at_ms
FROM events
WHERE offset > ?1 AND offset <= ?2
ORDER BY offset
LIMIT ?3
