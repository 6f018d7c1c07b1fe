-- Whether any sale was archived before ?1 (log time, Unix milliseconds).
SELECT EXISTS (
    SELECT 1
    FROM chores
    JOIN log ON log.offset = chores.offset
    WHERE chores.kind = 'archive' AND log.log_time_ms < ?1
)
