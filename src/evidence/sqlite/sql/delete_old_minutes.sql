-- Minutes that were over at ?1.
DELETE FROM minutes WHERE minute_ms + 60000 <= ?1
