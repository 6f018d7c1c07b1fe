INSERT INTO flux_gate.control AS c (partition, state, log_time_ms, applied_offset)
VALUES ($1, $2::text::jsonb, $3, $4)
ON CONFLICT (is_only) DO UPDATE
SET state = excluded.state, log_time_ms = excluded.log_time_ms, applied_offset = excluded.applied_offset
WHERE c.partition = excluded.partition
