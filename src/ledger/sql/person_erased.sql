-- The latest erasure of the buyer ?1, and whether all of them are done. No row: there was none.
SELECT max(log.log_time_ms), min(chores.done)
FROM chores
JOIN log ON log.offset = chores.offset
WHERE chores.kind = 'erase' AND log.record ->> '$.record.subject_erased.buyer' = ?1
