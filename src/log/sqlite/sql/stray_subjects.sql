-- Of at most ?2 subjects after ?1: their offsets, and whether they belong to no confirmed order.
SELECT
    subjects.offset,
    log.kind IS NOT 'order_proposed' OR log.outcome IS NOT 'confirmed'
FROM subjects
LEFT JOIN log ON log.offset = subjects.offset
WHERE subjects.offset > ?1
ORDER BY subjects.offset
LIMIT ?2
