-- Every partition at its beginning.
INSERT INTO flux_gate.progress (partition, next_offset, digest, previous, last_outcome)
SELECT partition, 0, $2, $2, '' FROM generate_series(0, $1::integer - 1) AS partition
