-- The orders after ?1 up to and including ?2.
SELECT offset, product, record
FROM log
WHERE offset > ?1 AND offset <= ?2 AND kind = 'order_proposed' AND outcome = 'confirmed'
