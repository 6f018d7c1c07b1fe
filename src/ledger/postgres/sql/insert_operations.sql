INSERT INTO flux_gate.operations (product, operation, "offset")
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
