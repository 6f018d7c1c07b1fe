SELECT chores.offset, chores.kind, chores.scanned_to, log.product, log.record
FROM chores
JOIN log ON log.offset = chores.offset
WHERE chores.done = 0
ORDER BY chores.offset
LIMIT 1
