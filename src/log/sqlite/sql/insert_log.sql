INSERT INTO log (offset, product, log_time_ms, reverses, kind, outcome, record, digest)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
