-- At most ?3 user ids after ?1 whose sale was archived before ?2 (log time, Unix milliseconds).
SELECT subjects.offset
FROM subjects
JOIN log ON log.offset = subjects.offset
WHERE subjects.offset > ?1 AND log.product IN (
    SELECT archiving.product
    FROM chores
    JOIN log AS archiving ON archiving.offset = chores.offset
    WHERE chores.kind = 'archive' AND archiving.log_time_ms < ?2
)
ORDER BY subjects.offset
LIMIT ?3
