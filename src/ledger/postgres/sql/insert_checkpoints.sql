INSERT INTO flux_gate.checkpoints (partition, "offset", digest)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bytea[])
