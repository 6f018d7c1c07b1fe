INSERT INTO flux_gate.checkpoints (partition, next_offset, digest)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[])
