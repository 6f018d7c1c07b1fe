-- All erasures that the log holds, in its order.
SELECT log.record, log.log_time_ms
FROM chores
JOIN log ON log.offset = chores.offset
WHERE chores.kind = 'erase'
ORDER BY chores.offset
