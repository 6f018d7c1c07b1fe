-- Events after ?1 up to and including ?2.
SELECT log.offset, log.reverses, placed.record ->> '$.record.order_proposed.order_id',
    products.name, subjects.user_id, log.log_time_ms
FROM log
JOIN log AS placed ON placed.offset = coalesce(log.reverses, log.offset)
JOIN products ON products.id = log.product
LEFT JOIN subjects ON subjects.offset = placed.offset
WHERE log.offset > ?1 AND log.offset <= ?2
    AND (log.reverses IS NOT NULL OR (log.kind = 'order_proposed' AND log.outcome = 'confirmed'))
ORDER BY log.offset
LIMIT ?3
