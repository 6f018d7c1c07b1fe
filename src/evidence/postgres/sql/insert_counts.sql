INSERT INTO flux_gate.evidence_minutes (minute_ms, product, what, count)
SELECT *
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
