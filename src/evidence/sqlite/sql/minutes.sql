SELECT minute_ms, product, what, count
FROM minutes
WHERE minute_ms > ?1 - 60000 AND minute_ms < ?2 AND (?3 IS NULL OR product = ?3)
ORDER BY minute_ms, product, what
