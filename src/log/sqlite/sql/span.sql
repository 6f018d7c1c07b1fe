-- The first and the last offset of the rows from ?1 on and before ?2 (log time, Unix milliseconds).
SELECT min(offset), max(offset)
FROM log
WHERE log_time_ms >= ?1 AND log_time_ms < ?2
