-- At most ?3 rows (-1 is all) after ?1 up to and including ?2, in log order.
SELECT offset, product, log_time_ms, reverses, kind, outcome, record, digest
FROM log
WHERE offset > ?1 AND offset <= ?2
ORDER BY offset
LIMIT ?3
