SELECT count(*) FILTER (WHERE later.offset IS NULL), count(later.offset)
FROM log
LEFT JOIN log AS later ON later.reverses = log.offset
WHERE log.product = (SELECT id FROM products WHERE name = ?1)
    AND log.kind = 'order_proposed' AND log.outcome = 'confirmed'
