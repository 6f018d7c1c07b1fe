-- Those before ?1, at most ?2, the oldest first.
DELETE FROM sightings
WHERE id IN (SELECT id FROM sightings WHERE at_ms < ?1 ORDER BY at_ms, id LIMIT ?2)
